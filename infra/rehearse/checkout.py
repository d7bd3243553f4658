"""A second checkout: what happens in it leaves this one as it is."""

import shutil
from pathlib import Path

from infra.package import ROOT

_DIRECTORIES = (".chalice", "chalicelib", "infra")
_FILES = ("app.py", "requirements.txt", "constraints.txt")
# What Chalice and Python leave behind.
_LEFT = shutil.ignore_patterns("__pycache__", "deployed", "deployments", "stages")
_ROUTE = """

@app.route("/v1/rehearsed")
def rehearsed():
    return {"rehearsed": True}
"""


def copy_checkout(place: Path) -> Path:
    """Replace `place` by a copy of what a deploy needs of this checkout."""
    shutil.rmtree(place, ignore_errors=True)
    for name in _DIRECTORIES:
        shutil.copytree(ROOT / name, place / name, ignore=_LEFT)
    for name in _FILES:
        shutil.copy(ROOT / name, place)
    return place


def add_route(checkout: Path) -> None:
    """Add `GET /v1/rehearsed` to the application of a checkout."""
    with (checkout / "app.py").open("a") as code:
        code.write(_ROUTE)
