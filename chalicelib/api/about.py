"""Public routes about Slipway: its health and its documentation."""

import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from chalice.app import Request

from chalicelib import budget
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.aws import queue
from chalicelib.settings import settings
from chalicelib.store.services import find_service

logger = logging.getLogger("slipway")

routes = Routes(__name__)

VERSION = "0.1.0"

# Services are numbered from 1.
_NO_SERVICE = 0
# For a check to begin. The call may then take two seconds in SQS, and five in DynamoDB.
_SECONDS = 1.0

# The page is one file with inline styles. It loads no other file and runs no script.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Health(msgspec.Struct, kw_only=True):
    """The health of the API. The check does not call AWS. `commit` is that of the deployed package,
    with `-dirty` if it had changes; `unknown` if the package was not made from a git clone.
    """

    status: str
    version: str
    commit: str
    simulated: bool


class Checks(msgspec.Struct, kw_only=True):
    """The result of each check."""

    table: Literal["ok", "failed"]
    queue: Literal["ok", "failed"]


class Readiness(msgspec.Struct, kw_only=True):
    """Whether requests can be served now: the tables and the queue answer."""

    status: Literal["ready", "not_ready"]
    checks: Checks


@routes.endpoint("GET", "/v1/health", role=None, answer=Health)
def get_health(_request: Request) -> Health:
    """Check that the API is up."""
    simulated = settings().simulated
    return Health(status="ok", version=VERSION, commit=commit(), simulated=simulated)


@routes.endpoint(
    "GET",
    "/v1/ready",
    role=None,
    answer=Readiness,
    documented=Documented(other_answers={503: Readiness}),
)
def get_readiness(_request: Request) -> Reply:
    """Check that the tables and the queue answer; the result comes within seven seconds."""
    queue_is = _check("queue", queue.check)
    checks = Checks(table=_check("table", partial(find_service, _NO_SERVICE)), queue=queue_is)
    if checks.table == checks.queue == "ok":
        return Reply(Readiness(status="ready", checks=checks))
    return Reply(Readiness(status="not_ready", checks=checks), status=503)


def _check(name: str, look: Callable[[], object]) -> Literal["ok", "failed"]:
    """The result of a look at AWS. Any error means that requests would fail, too."""
    try:
        with budget.spending(budget.part(_SECONDS, keep=0, tries=1)):
            look()
    except Exception:
        logger.exception("not ready: the %s does not answer", name)
        return "failed"
    return "ok"


@routes.endpoint("GET", "/v1/openapi.json", role=None, answer=dict[str, Any], is_tagged=True)
def get_openapi(_request: Request) -> Reply:
    """Get the OpenAPI 3.1 document of this API."""
    return Reply(_file("openapi.json"), media_type="application/json")


@routes.endpoint(
    "GET", "/docs", role=None, is_tagged=True, documented=Documented(media_types=("text/html",))
)
def get_docs(_request: Request) -> Reply:
    """Get this documentation as an HTML page."""
    headers = (("Content-Security-Policy", _POLICY), ("Referrer-Policy", "no-referrer"))
    return Reply(_file("docs.html"), media_type="text/html; charset=utf-8", headers=headers)


@cache
def commit() -> str:
    """The commit that `make package` or `make deploy` packaged; "unknown" in any other place."""
    path = Path(__file__).parents[1] / "commit"
    return path.read_text() if path.exists() else "unknown"


@cache
def _file(name: str) -> str:
    """A file that `make openapi` wrote. Generating it in Lambda would slow down cold starts."""
    return (Path(__file__).parent / name).read_text()
