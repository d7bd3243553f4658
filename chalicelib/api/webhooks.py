"""GitHub's webhook: a signature authenticates a delivery, instead of a token.

Facts about deliveries are from GitHub's "Validating webhook deliveries" and "Webhook events and
payloads".
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from chalice.app import Request

from chalicelib.api.http.answers import Reply
from chalicelib.api.http.bodies import check_media_type, decode_json, raw_body
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.domain.pushes import claimed_repository, parse_push
from chalicelib.domain.statuses import job_id
from chalicelib.domain.webhook_secrets import is_signature
from chalicelib.errors import InvalidInput
from chalicelib.pipeline.commands.pushes import Decision, receive_other, receive_push
from chalicelib.pipeline.signatures import verify

routes = Routes(__name__)

# API Gateway accepts 10 MB and Lambda 6 MB. A push of thousands of commits is smaller than this.
MAX_BYTES = 5 * 1024 * 1024

# GitHub: "Webhook events and payloads", delivery headers.
_WORD = r"[A-Za-z0-9_-]{1,100}"
_HEADERS = {
    "X-Hub-Signature-256": (
        "`sha256=` and the hex HMAC-SHA256 of the body, with the webhook's secret as key.",
        r"sha256=[0-9a-f]{64}",
    ),
    "X-GitHub-Event": ("The name of the event. Only `push` has an effect.", _WORD),
    "X-GitHub-Delivery": ("GitHub's id of the delivery. The response repeats it.", _WORD),
}
DETAILS: Mapping[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": meaning,
            "schema": {"type": "string", "pattern": f"^{pattern}$"},
        }
        for name, (meaning, pattern) in _HEADERS.items()
    ],
    "requestBody": {
        "required": True,
        "description": "The payload of the event, byte for byte as GitHub signed it.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
    "description": "Needs no token: the signature authenticates the delivery. "
    "Returns 202 when builds were started, and 200 when there was nothing to start.",
}

_HEADER = re.compile(_WORD, re.ASCII)


class StartedBuild(msgspec.Struct, kw_only=True):
    """A build that a push started, and its service. A duplicate has no `status`."""

    service_id: int
    build_id: int
    job_id: str
    status: str | None = None


class Received(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The result of a delivery: the builds that it started, or with `duplicate` those that an
    earlier delivery of the push started, or in `ignored` the reason for none.
    """

    delivery: str
    builds: list[StartedBuild] = []
    duplicate: bool = False
    ignored: str | None = None


@routes.endpoint(
    "POST",
    "/v1/webhooks/github",
    role=None,
    status=202,
    answer=Received,
    documented=Documented(other_statuses=(200,), errors=(400, 401, 413, 415, 503), details=DETAILS),
)
def receive_github(request: Request) -> Reply:
    """Receive a delivery of GitHub's webhook."""
    body = raw_body(request, limit=MAX_BYTES)
    signature = request.headers.get("x-hub-signature-256", "")
    payload = _decode(body) if is_signature(signature) else None
    signers = verify(body, signature, repository=_claimed_repository(payload))
    check_media_type(request)
    event, delivery = _header(request, "X-GitHub-Event"), _header(request, "X-GitHub-Delivery")
    if isinstance(payload, InvalidInput):
        raise payload
    if event != "push":
        return _reply(receive_other(delivery, event, signers))
    return _reply(receive_push(delivery, parse_push(payload), signers))


def _decode(body: bytes) -> Any:
    """The payload, or the error: a wrong signature must be reported before it."""
    try:
        return decode_json(body)
    except InvalidInput as error:
        return error


def _claimed_repository(payload: Any) -> str | None:
    """The repository that the payload names, which is not verified yet; None without one."""
    try:
        return claimed_repository(payload)
    except InvalidInput:
        return None


def _header(request: Request, name: str) -> str:
    value = request.headers.get(name)
    if not value:
        raise InvalidInput(
            f"the header {name} is missing; GitHub sends it with every delivery",
            code="missing_header",
            field=name,
        )
    if not _HEADER.fullmatch(value):
        raise InvalidInput(
            f"the header {name} must be 1 to 100 letters, digits, - and _",
            code="invalid_header",
            field=name,
        )
    return str(value)


def _reply(decision: Decision) -> Reply:
    if decision.started:
        builds = [
            _shown(build.service_id, build.number, build.status) for build in decision.started
        ]
        return Reply(Received(delivery=decision.delivery, builds=builds))
    if decision.duplicates:
        known = [_shown(service, build) for service, build in decision.duplicates]
        return Reply(Received(delivery=decision.delivery, duplicate=True, builds=known), status=200)
    return Reply(Received(delivery=decision.delivery, ignored=decision.reason), status=200)


def _shown(service_id: int, number: int, status: str | None = None) -> StartedBuild:
    return StartedBuild(
        service_id=service_id, build_id=number, job_id=job_id("build", number), status=status
    )
