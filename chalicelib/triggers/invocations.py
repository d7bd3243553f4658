"""What the functions are invoked with, which need not be what AWS would send.

Chalice's own event classes take an envelope's fields as they are and fail on one that is missing,
before any code of ours runs.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Invocation:
    """An event, of whatever shape, and Lambda's context."""

    event: Any
    context: Any

    def text(self, name: str) -> str | None:
        """A member of the envelope, if it is a text."""
        value = self.event.get(name) if isinstance(self.event, dict) else None
        return value if isinstance(value, str) else None


def as_invoked(handler: Any) -> Any:
    """Hand an `Invocation` to a function that Chalice has registered, not an event of its own."""
    handler.event_class = Invocation
    return handler
