"""All use cases."""

from tests.faults.traffic_cases import TRAFFIC
from tests.faults.use_cases import CHECKS, PULL_REQUESTS, READINGS, TELLINGS, USE_CASES

CASES = (*USE_CASES, *TELLINGS, *CHECKS, *PULL_REQUESTS, *TRAFFIC, *READINGS)
