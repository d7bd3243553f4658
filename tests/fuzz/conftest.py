"""These tests use an AWS inside their own process."""

from tests.support.fixtures import *  # noqa: F403
