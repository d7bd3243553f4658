"""`make openapi`: write the document and the page that the API serves, and the schema of events.

All three are committed, and the API serves the first two as they are. Making them in Lambda would
slow down cold starts and the first request.
"""

import json
import os
from pathlib import Path
from typing import Any

from infra.openapi.page import page

ROOT = Path(__file__).parents[2]
SERVED = ROOT / "chalicelib/api"
EVENTS = ROOT / "docs/events.schema.json"


def rendered() -> dict[str, str]:
    """The contents of both files, by file name."""
    # Declaring the routes reads the settings; the example configuration has some.
    example = json.loads((ROOT / ".chalice/config.json").read_text())["environment_variables"]
    for name, value in example.items():
        os.environ.setdefault(name, value)
    import app  # noqa: F401  # declares every route
    from chalicelib.api.about import VERSION
    from chalicelib.api.http.endpoints import ENDPOINTS
    from infra.openapi.document import document

    described = document(ENDPOINTS, version=VERSION)
    return {"openapi.json": _text_of(described), "docs.html": page(described)}


def rendered_events() -> str:
    """The content of the schema of events."""
    from infra.openapi.events import events_schema

    return _text_of(events_schema())


def _text_of(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in rendered().items():
        (SERVED / name).write_text(text)
        print(SERVED.relative_to(ROOT) / name)
    EVENTS.write_text(rendered_events())
    print(EVENTS.relative_to(ROOT))
