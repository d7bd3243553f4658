"""What Slipway says of itself to everybody: that it is up, and how it is used."""

from functools import cache
from typing import Any

import msgspec
from chalice.app import Request

from chalicelib.api.openapi import document
from chalicelib.api.routing import ENDPOINTS, Routes
from chalicelib.settings import settings

routes = Routes(__name__)

VERSION = "0.1.0"


class Health(msgspec.Struct, kw_only=True):
    """That the API answers; it asks nothing of AWS."""

    status: str
    version: str
    simulated: bool


@routes.endpoint("GET", "/v1/health", role=None, answer=Health)
def get_health(_request: Request) -> Health:
    """Say that the API is up."""
    return Health(status="ok", version=VERSION, simulated=settings().simulated)


@routes.endpoint("GET", "/v1/openapi.json", role=None, answer=dict[str, Any])
def get_openapi(_request: Request) -> dict[str, Any]:
    """Describe every route as an OpenAPI 3.1 document."""
    return _document()


@cache
def _document() -> dict[str, Any]:
    return document(ENDPOINTS, version=VERSION)
