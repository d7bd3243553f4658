"""The embedded cloud, and the SDK seen from below."""

import pytest

from tests.embedded import cloud
from tests.sdk import Calls, Trouble, record_calls

__all__ = ["cloud"]


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """Calls that fail as a test plans it."""
    return Trouble(monkeypatch)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Every call of the SDK."""
    return record_calls(monkeypatch)
