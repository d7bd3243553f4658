"""Tests of this room stand on an AWS in this process."""

from tests.support.fixtures import *  # noqa: F403
