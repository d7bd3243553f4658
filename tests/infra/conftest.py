"""These tests use an AWS in this process."""

from tests.support.fixtures import *  # noqa: F403
