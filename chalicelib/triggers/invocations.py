"""Events as the functions receive them; they may have any shape.

Chalice's own event classes read an envelope's fields unchecked. They fail on a missing field before
any code of Slipway runs.
"""

from typing import Any

import msgspec


class Invocation(msgspec.Struct, frozen=True):
    """An event of any shape, and Lambda's context."""

    event: Any
    context: Any

    def text(self, name: str) -> str | None:
        """A field of the envelope if it is text, else None."""
        value = self.event.get(name) if isinstance(self.event, dict) else None
        return value if isinstance(value, str) else None


def with_raw_event(handler: Any) -> Any:
    """Make Chalice call a registered function with an `Invocation`, not with Chalice's event."""
    handler.event_class = Invocation
    return handler
