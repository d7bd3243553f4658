"""For every test: the product's environment, and the number of hypothesis examples.

This file avoids slow imports, so a single pure test takes one second. Directories of tests that
need AWS import `tests.support.fixtures` in their own conftest.py.
"""

import os

from hypothesis import HealthCheck, settings

import tests.support.environment  # noqa: F401

settings.register_profile(
    "default", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
