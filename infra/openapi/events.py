"""The JSON Schema of the events that channels put on event buses, made from what writes them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from chalicelib.aws.targets import SOURCE
from chalicelib.domain.messages import TESTED, JobData, ServiceData, TestData
from chalicelib.domain.telling import OF_SERVICES, Event

# What the detail of each event is.
DETAILS: dict[type[msgspec.Struct], Iterable[str]] = {
    JobData: [event for event in Event if event not in OF_SERVICES],
    ServiceData: [event for event in Event if event in OF_SERVICES],
    TestData: [TESTED],
}


def events_schema() -> dict[str, Any]:
    """The schema of an event as a rule of EventBridge matches it, and as its target gets it."""
    _, parts = msgspec.json.schema_components(DETAILS, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of Slipway",
        "description": "EventBridge adds more fields, such as id, account, time and region.",
        "type": "object",
        "required": ["source", "detail-type", "detail"],
        "properties": {"source": {"const": SOURCE}},
        "oneOf": [
            {
                "properties": {
                    "detail-type": {"enum": [str(each) for each in events]},
                    "detail": {"$ref": f"#/$defs/{struct.__name__}"},
                }
            }
            for struct, events in DETAILS.items()
        ],
        "$defs": parts,
    }
