"""Warm up before the first story, and let no busy machine look like a slow AWS."""

from tests.faults.conftest import _time_stands_still, _warm
from tests.support.fixtures import *  # noqa: F403

__all__ = ["_time_stands_still", "_warm"]
