"""Every event that reaches an event bus of the embedded AWS fits the published schema."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from moto.events.models import EventsBackend

from infra.openapi.__main__ import EVENTS

SCHEMA: Any = json.loads(EVENTS.read_text())
# The events that buses have got in this process, the earliest first.
received: list[dict[str, Any]] = []
_VALIDATOR = Draft202012Validator(SCHEMA)


def require_valid(event: dict[str, Any]) -> None:
    """Raise AssertionError if an event does not fit the schema."""
    problems = [each.message for each in _VALIDATOR.iter_errors(event)]
    assert not problems, f"{event} does not fit {EVENTS.name}: {problems}"


def install() -> None:
    """Make event buses keep events, and refuse what does not fit, for the whole process."""
    put: Any = vars(EventsBackend)["put_events"]

    def put_valid(backend: Any, entries: list[dict[str, Any]]) -> Any:
        for entry in entries:
            event = {
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "detail": json.loads(entry["Detail"]),
            }
            require_valid(event)
            received.append(event)
        return put(backend, entries)

    EventsBackend.put_events = put_valid  # type: ignore[assignment,method-assign]
