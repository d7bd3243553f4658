"""`make openapi`: write the document and the page that the API serves.

Both files are committed, and the API serves them as they are. Making them in Lambda would slow down
cold starts and the first request.
"""

import json
import os
from pathlib import Path

from infra.openapi.page import page

ROOT = Path(__file__).parents[2]
SERVED = ROOT / "chalicelib/api"


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
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    return {"openapi.json": text, "docs.html": page(described)}


if __name__ == "__main__":
    for name, text in rendered().items():
        (SERVED / name).write_text(text)
        print(SERVED.relative_to(ROOT) / name)
