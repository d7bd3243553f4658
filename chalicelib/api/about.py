"""Public routes about Slipway: its health and its documentation."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from chalice.app import Request

from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.settings import settings

routes = Routes(__name__)

VERSION = "0.1.0"

# The page is one file with inline styles. It loads no other file and runs no script.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Health(msgspec.Struct, kw_only=True):
    """The health of the API. The check does not call AWS."""

    status: str
    version: str
    simulated: bool


@routes.endpoint("GET", "/v1/health", role=None, answer=Health)
def get_health(_request: Request) -> Health:
    """Check that the API is up."""
    return Health(status="ok", version=VERSION, simulated=settings().simulated)


@routes.endpoint("GET", "/v1/openapi.json", role=None, answer=dict[str, Any])
def get_openapi(_request: Request) -> Reply:
    """Get the OpenAPI 3.1 document of this API."""
    return Reply(_file("openapi.json"), media_type="application/json")


@routes.endpoint("GET", "/docs", role=None, documented=Documented(media_types=("text/html",)))
def get_docs(_request: Request) -> Reply:
    """Get this documentation as an HTML page."""
    headers = (("Content-Security-Policy", _POLICY), ("Referrer-Policy", "no-referrer"))
    return Reply(_file("docs.html"), media_type="text/html; charset=utf-8", headers=headers)


@cache
def _file(name: str) -> str:
    """A file that `make openapi` wrote. Generating it in Lambda would slow down cold starts."""
    return (Path(__file__).parent / name).read_text()
