"""For every test: the product's environment, and the number of hypothesis examples.

This file avoids slow imports, so a single pure test takes one second. Directories of tests that
need AWS import `tests.support.fixtures` in their own conftest.py.
"""

import os
from collections.abc import Callable
from functools import partial

import pytest
from _pytest import runner
from hypothesis import HealthCheck, settings

import tests.support.environment  # noqa: F401

settings.register_profile(
    "default", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    """Run a test on one large block of Python's stack.

    CPython 3.11 and 3.12 get the stack from the system in blocks of 16 KiB, and give a block back
    as soon as it is empty (pystate.c, `_PyThreadState_PushFrame`). A loop at the end of a block
    then makes two system calls each time it calls a function: up to half of a test's time. A
    function that asks for a large frame gets a large block, and what it calls uses the rest of it.
    """
    return _on_a_large_block(partial(runner.pytest_runtest_protocol, item, nextitem))


def _on_a_large_block(run: Callable[[], object]) -> object:
    return run()


_on_a_large_block.__code__ = _on_a_large_block.__code__.replace(co_stacksize=100_000)
