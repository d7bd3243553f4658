"""These tests run against an AWS that moto embeds in the test process."""

from tests.support.fixtures import *  # noqa: F403
