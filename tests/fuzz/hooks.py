"""Facts that schemathesis cannot read from the document: values of custom formats, valid cursors.

The values of a format come from a simple grammar and are filtered by the field's own type.
"""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import schemathesis
from hypothesis import strategies as st

from chalicelib.api.http import cursors
from chalicelib.domain.channels import ALL_STATES, OWN, ChannelSecret, Target
from chalicelib.domain.checks import CheckName
from chalicelib.domain.credentials import GitCredential
from chalicelib.domain.deployment_log import Place, encode
from chalicelib.domain.images import Image
from chalicelib.domain.paths import RepositoryPath
from chalicelib.domain.patterns import PathPattern, TagPattern
from chalicelib.domain.refs import Branch, GitRef
from chalicelib.domain.repositories import GitUrl
from chalicelib.domain.service_settings import EnvironmentUrl
from chalicelib.domain.strategies import Strategy
from chalicelib.domain.webhook_secrets import OwnSecretReference
from chalicelib.errors import InvalidInput
from tests.support.fields import read

POSITION = "position-"
# What the document says of a strategy in words only: which settings a type has, which one it needs,
# its least percentage, and that percentages are multiples of 0.1.
STEPS = {"percent", "step_minutes", "bake_minutes"}
OF_TYPE = {"ROLLING": set[str](), "BLUE_GREEN": {"bake_minutes"}, "LINEAR": STEPS, "CANARY": STEPS}


def _is_accepted(kind: Any) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        try:
            read(kind, text, "field")
        except InvalidInput:
            return False
        return True

    return accepts


def _format(name: str, pattern: str, kind: Any) -> None:
    values = st.from_regex(pattern, fullmatch=True).filter(_is_accepted(kind))
    schemathesis.openapi.format(name, values)


_format("git-url", r"https://github\.com/[a-z][a-z0-9-]{0,20}/[a-z0-9_.-]{1,30}(\.git)?", GitUrl)
_format(
    "git-credential",
    r"arn:aws:secretsmanager:eu-west-1:[0-9]{12}:secret:slipway/git/1/[a-z0-9/-]{1,20}-[A-Za-z0-9]{6}",
    GitCredential,
)
_format(
    "git-ref",
    r"(refs/(heads|tags)/)?[A-Za-z0-9_#\u65e5][A-Za-z0-9._/+@#='(),\u65e5-]{0,40}|[0-9a-f]{40}",
    GitRef,
)
schemathesis.openapi.format(
    "git-full-ref", st.from_regex(r"refs/(heads|tags|notes)/[a-z0-9#=]{1,20}", fullmatch=True)
)
_format("path-pattern", r"!?(\*\*/)?[a-z*\u65e5]{1,9}(/[a-z*]{1,9})?", PathPattern)
_format("tag-pattern", r"!?[a-z0-9.*]{1,9}(/[a-z*]{1,9})?", TagPattern)
_format("git-branch", r"[^\x00-\x20~^:?*\[\\\x7f]{1,40}", Branch)
_format("repository-path", r"[A-Za-z0-9._][A-Za-z0-9._/-]{0,40}", RepositoryPath)
_format(
    "image-reference",
    r"[a-z0-9]{1,9}(/[a-z0-9]{1,9})?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}|@sha256:[0-9a-f]{64})",
    Image,
)
_format(
    "secret-reference",
    r"(ssm:/slipway/|secretsmanager:slipway/)[a-z0-9-]{1,20}",
    OwnSecretReference,
)
schemathesis.openapi.format(
    "build-secret-reference",
    st.from_regex("secretsmanager:slipway/build/1/[a-z]{1,9}", fullmatch=True),
)
schemathesis.openapi.format(
    "task-secret-reference",
    st.from_regex(
        r"arn:aws:secretsmanager:eu-west-1:[0-9]{12}:secret:[a-z/]{1,9}(:[a-z]{0,5}::)?",
        fullmatch=True,
    ),
)
_format("channel-secret", "secretsmanager:slipway/tell/(all|1)/[a-z]{1,9}", ChannelSecret)
_format(
    "channel-target",
    "(arn:aws:sns:eu-west-1:[0-9]{12}:)?slipway-[a-z]{1,9}",
    Target,
)
_format(
    "environment-url",
    r"https?://[a-z0-9.-]{1,30}(:[0-9]{1,5})?(/[A-Za-z0-9._~/%-]{0,20})?",
    EnvironmentUrl,
)
_format("check-name", r"[A-Za-z0-9\u65e5][ -~]{0,20}[A-Za-z0-9)]", CheckName)
schemathesis.openapi.format("command-word", st.from_regex(r"[ -~\n\u65e5]{0,20}", fullmatch=True))
schemathesis.openapi.format(
    "past-day", st.dates(date(2020, 1, 1), datetime.now(UTC).date()).map(date.isoformat)
)
# A cursor belongs to one list, so `before_call` seals the position for the list of the request.
schemathesis.openapi.format(
    "cursor", st.integers(1, 2**53).map(lambda number: f"{POSITION}{number}")
)


def _as_the_words_say(strategy: dict[str, Any]) -> dict[str, Any]:
    """A strategy that fits the schema, changed so that it also fits the words of the document."""
    kind = strategy["type"]
    found = {name: each for name, each in strategy.items() if name in {"type", *OF_TYPE[kind]}}
    if kind == "BLUE_GREEN" and found.get("bake_minutes") is None:
        found["bake_minutes"] = 1
    if found.get("percent") is not None:
        found["percent"] = round(max(found["percent"], 3.0 if kind == "LINEAR" else 0.1), 1)
    return found


def _fits_the_schema(strategy: Any) -> bool:
    try:
        msgspec.convert(strategy, Strategy)
    except msgspec.ValidationError:
        return False
    return True


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Seal each cursor for the list that it is sent to, and never revoke the caller's own token.

    schemathesis takes ids for paths from the fields of earlier answers, even if a field is null.
    Such an id is replaced by 1. It also writes an id as 1.0, which is 1 in JSON, but not in a path.
    A strategy that only fits the schema is changed so that it also fits the words.
    """
    body = case.body
    if isinstance(body, dict) and _fits_the_schema(body.get("strategy")):
        body["strategy"] = _as_the_words_say(body["strategy"])
    for name, value in (case.path_parameters or {}).items():
        if value in (None, "None"):
            case.path_parameters[name] = 1
        elif isinstance(value, float) and value.is_integer():
            case.path_parameters[name] = int(value)
    query = case.query or {}
    cursor = query.get("cursor")
    if isinstance(cursor, str) and cursor.startswith(POSITION):
        position = cursor.removeprefix(POSITION)
        if case.operation.path.endswith("/logs"):
            token = f"f/{position:0>56}"  # the form of CloudWatch's tokens
            of_build = "/builds/" in case.operation.path
            position = token if of_build else encode(Place(tokens={position[-8:].zfill(8): token}))
        query["cursor"] = cursors.seal(position, _list_of(case))
    if case.operation.label == "POST /v1/channels" and case.meta.generation.mode.is_positive:
        _fit_to_kind(case.body)
    own = os.environ["OWN_TOKEN_ID"]
    if case.method.upper() == "DELETE" and str((case.path_parameters or {}).get("token_id")) == own:
        case.path_parameters["token_id"] = int(own) + 1


def _fit_to_kind(body: Any) -> None:
    """Give a channel what its kind needs. The document says this only in words."""
    kind = body["kind"]
    targets = {
        "sns": "arn:aws:sns:eu-west-1:123456789012:slipway-news",
        "eventbridge": "slipway-bus",
    }
    body["target"] = targets.get(kind)
    known = body.get("secret") or "secretsmanager:slipway/tell/all/it"
    body["secret"] = None if kind in OWN else known
    if kind in ALL_STATES:
        body["events"] = []


def _list_of(case: Any) -> str:
    others = {"cursor", "limit", "format", "tail"}
    filters = {name: value for name, value in case.query.items() if name not in others}
    return cursors.name_of(case.operation.path.format(**(case.path_parameters or {})), filters)
