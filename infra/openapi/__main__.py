"""`make openapi`: write the document and the page that the API serves.

They are committed, and read from their files when they are asked for: making them would cost every
cold start its imports, and the first caller the rest.
"""

import json
import os
from pathlib import Path

from infra.openapi.page import page

ROOT = Path(__file__).parents[2]
SERVED = ROOT / "chalicelib/api"


def rendered() -> dict[str, str]:
    """What the files should hold, by their names."""
    # The routes read their settings as they are declared; those of the example will do.
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
