"""GitHub's webhook: a signature authenticates a delivery, instead of a token.

Facts about deliveries are from GitHub's "Validating webhook deliveries" and "Webhook events and
payloads".
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from chalice.app import Request

from chalicelib.access import Principal
from chalicelib.api.deliveries import ServiceVerdict, service_verdicts
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.bodies import check_media_type, check_size, decode_json, raw_body
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.correlation import note
from chalicelib.domain.deliveries import Outcome, outcome_of
from chalicelib.domain.fields import END
from chalicelib.domain.payloads import HOST, MAX_TIME, NAME, PATH
from chalicelib.domain.pull_requests import PullRequest, parse_pull_request
from chalicelib.domain.pushes import Push, claimed_repository, parse_push
from chalicelib.domain.refs import MAX_PUSHED_LENGTH, PUSHED_REF, SHA
from chalicelib.domain.regex import regex
from chalicelib.domain.statuses import job_id
from chalicelib.domain.tokens import Role
from chalicelib.errors import InvalidInput
from chalicelib.pipeline.commands.pull_requests import receive_pull_request
from chalicelib.pipeline.commands.pushes import (
    preview_push,
    receive_other,
    receive_push,
    receive_refused,
)
from chalicelib.pipeline.deliveries import Decision
from chalicelib.pipeline.signatures import verify

routes = Routes(__name__)

# GitHub sends up to 25 MB. API Gateway accepts 10 MB, and Lambda 6 MB with the event around it.
MAX_BYTES = 5 * 1024 * 1024

# GitHub: "Webhook events and payloads", delivery headers.
_WORD = r"[A-Za-z0-9_-]{1,100}"
_HEADERS = {
    "X-Hub-Signature-256": (
        "`sha256=` and the hex HMAC-SHA256 of the body, with the webhook's secret as key.",
        r"sha256=[0-9a-f]{64}",
    ),
    "X-GitHub-Event": ("The name of the event. `push` and `pull_request` have an effect.", _WORD),
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

# The parts of a push that must have a certain form.
_PUSH = {
    "type": "object",
    "required": ["ref", "after", "repository"],
    "properties": {
        "ref": {
            "type": "string",
            "pattern": f"^{PUSHED_REF}{END}",
            "maxLength": MAX_PUSHED_LENGTH,
            "format": "git-full-ref",
        },
        "before": {"type": ["string", "null"], "pattern": f"^{SHA}{END}"},
        "after": {"type": "string", "pattern": f"^{SHA}{END}"},
        "repository": {
            "type": "object",
            "required": ["full_name", "pushed_at"],
            "properties": {
                "full_name": {
                    "type": "string",
                    "pattern": f"^{NAME}/{NAME}{END}",
                },
                "html_url": {
                    "type": ["string", "null"],
                    "pattern": f"^https://{HOST}/{PATH}{END}",
                },
                "pushed_at": {"type": "integer", "minimum": 0, "maximum": MAX_TIME - 1},
            },
        },
        "head_commit": {
            "type": ["object", "null"],
            "properties": {
                "id": {"type": ["string", "null"], "pattern": f"^{SHA}{END}"},
                "author": {"type": ["object", "null"]},
            },
        },
        "sender": {"type": ["object", "null"]},
    },
}
TEST_DETAILS: Mapping[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The payload of a push event, such as one of GitHub's recent deliveries.",
        "content": {"application/json": {"schema": _PUSH}},
    },
    "description": "Requires role admin or higher. Nothing is built or recorded. The answer shows "
    "the services that you can see, as if the webhook of each had delivered the push.",
}

# GitHub's form for a new webhook chooses the other type, a form, if nobody changes it.
_FIX_OF_FORMS = (
    "on GitHub, in the settings of the webhook, set Content type to application/json, and then "
    "redeliver"
)
_PARSERS: Mapping[str, Callable[[Any], Push | PullRequest]] = {
    "push": parse_push,
    "pull_request": parse_pull_request,
}
_HEADER = regex(_WORD, re.ASCII)


class StartedBuild(msgspec.Struct, kw_only=True):
    """A build that a push or a pull request started, and its service. A duplicate has no
    `status`.
    """

    service_id: int
    build_id: int
    job_id: str
    status: str | None = None


class Received(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The result of a delivery: the builds that it started, or with `duplicate` those that an
    earlier delivery started, or in `ignored` the reason for none.
    """

    delivery: str
    builds: list[StartedBuild] = []
    duplicate: bool = False
    ignored: str | None = None


class TestedPush(msgspec.Struct, kw_only=True):
    """The effect that a push would have. A service with the outcome `started` would build it; a
    `duplicate` has built it. `reason` says why no build would be started. Each service has its own
    reason.
    """

    outcome: Outcome
    reason: str | None
    repository: str
    ref: str
    sha: str
    services: list[ServiceVerdict]


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
    body = raw_body(request)
    # Before a signature fits, anyone can have sent the body: do nothing with it that costs much.
    signers = verify(body, request.headers.get("x-hub-signature-256", ""))
    event, delivery = _header(request, "X-GitHub-Event"), _header(request, "X-GitHub-Delivery")
    try:
        payload = _payload(request, body)
        parse = _PARSERS.get(event)
        change = parse(payload) if parse is not None else None
        if change and not signers.installation and change.repository != claimed_repository(body):
            raise InvalidInput(
                "the body names several repositories", code="invalid_payload", field="repository"
            )
    except InvalidInput as refusal:
        receive_refused(delivery, event, refusal, claimed_repository(body), signers)
        raise
    note(delivery=delivery, **({} if change is None else {"commit_sha": change.sha}))
    if isinstance(change, Push):
        return _reply(receive_push(delivery, change, signers))
    if isinstance(change, PullRequest):
        return _reply(receive_pull_request(delivery, change, signers))
    return _reply(receive_other(delivery, event, signers))


@routes.endpoint(
    "POST",
    "/v1/webhooks/github/test",
    role=Role.ADMIN,
    answer=TestedPush,
    documented=Documented(errors=(413, 415), details=TEST_DETAILS),
)
def test_push(caller: Principal) -> TestedPush:
    """Show what a push would build, without building it."""
    request = routes.current_request
    push = parse_push(_payload(request, raw_body(request)))
    judged = preview_push(push, caller.sees_service)
    outcome = outcome_of(judged.verdicts)
    return TestedPush(
        outcome=outcome,
        reason=judged.reason if outcome is Outcome.IGNORED else None,
        repository=push.repository,
        ref=push.ref,
        sha=push.sha,
        services=service_verdicts(judged.verdicts),
    )


def _payload(request: Request, body: bytes) -> Any:
    """The decoded payload.

    Raises InvalidInput (body_too_large, unsupported_media_type, invalid_json and others).
    """
    check_size(body, MAX_BYTES)
    check_media_type(request, fix=_FIX_OF_FORMS)
    return decode_json(body)


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
