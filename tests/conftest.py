"""For every test: the environment of the product, and how many examples hypothesis tries.

Nothing heavy is imported here, so that a pure test alone takes a second. Rooms whose tests need an
AWS import `tests.support.fixtures` in their own conftest.
"""

import os

from hypothesis import HealthCheck, settings

import tests.support.environment  # noqa: F401

settings.register_profile(
    "default", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
