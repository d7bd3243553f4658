"""What schemathesis cannot read out of the document: values of our formats, and what not to do.

A format's values are made by a simple grammar and kept where the product's own parser takes them,
so that data which fits the document must be accepted.
"""

import os
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import strategies as st

from chalicelib.api import cursors
from chalicelib.domain.credentials import parse_git_credential
from chalicelib.domain.images import parse_image_reference, parse_repository_name
from chalicelib.domain.paths import parse_repository_path
from chalicelib.domain.refs import parse_branch, parse_git_ref
from chalicelib.domain.repositories import parse_git_url
from chalicelib.domain.webhook_secrets import parse_own_reference
from chalicelib.errors import InvalidInput

PLACE = "place-"


def _taken_by(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def is_taken(text: str) -> bool:
        try:
            parse(text)
        except InvalidInput:
            return False
        return True

    return is_taken


def _format(name: str, pattern: str, parse: Callable[[str], object]) -> None:
    values = st.from_regex(pattern, fullmatch=True).filter(_taken_by(parse))
    schemathesis.openapi.format(name, values)


_format(
    "git-url",
    r"https://github\.com/[a-z][a-z0-9-]{0,20}/[a-z0-9_.-]{1,30}(\.git)?",
    lambda text: parse_git_url(text, hosts=frozenset({"github.com"})),
)
_format(
    "git-credential",
    r"arn:aws:secretsmanager:eu-west-1:[0-9]{12}:secret:slipway/git/[a-z0-9/-]{1,20}-[A-Za-z0-9]{6}",
    parse_git_credential,
)
_format("git-ref", r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,40}|[0-9a-f]{40}", parse_git_ref)
_format("git-branch", r"[^\x00-\x20~^:?*\[\\\x7f]{1,40}", parse_branch)
_format(
    "repository-path",
    r"[A-Za-z0-9._][A-Za-z0-9._/-]{0,40}",
    lambda text: parse_repository_path(text, field="path"),
)
# A first part with a dot in it would be another registry's host.
_format(
    "image-repository",
    r"[a-z0-9]{2,9}([_-][a-z0-9]{1,9}){0,3}(/[a-z0-9]{1,9})?",
    parse_repository_name,
)
_format(
    "image-reference",
    r"[a-z0-9]{1,9}(/[a-z0-9]{1,9})?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}|@sha256:[0-9a-f]{64})",
    parse_image_reference,
)
_format(
    "secret-reference",
    r"(ssm:/slipway/|secretsmanager:slipway/)[a-z0-9-]{1,20}",
    lambda text: parse_own_reference(text, prefix="slipway"),
)
# A cursor is of one list, which is known when the request is.
schemathesis.openapi.format("cursor", st.integers(1, 2**53).map(lambda number: f"{PLACE}{number}"))


@schemathesis.hook
def before_call(context: Any, case: Any, **kwargs: Any) -> None:
    """Seal cursors for the list that they are sent to, and leave the caller's own token alive.

    schemathesis follows an answer's fields to what they name, and takes the null of one that names
    nothing for an id that fits the document.
    """
    for name, value in (case.path_parameters or {}).items():
        if value in (None, "None"):
            case.path_parameters[name] = 1
    query = case.query or {}
    cursor = query.get("cursor")
    if isinstance(cursor, str) and cursor.startswith(PLACE):
        place = cursor.removeprefix(PLACE)
        if case.operation.path.endswith("/logs"):
            place = f"f/{place:0>56}"  # as CloudWatch's tokens are
        query["cursor"] = cursors.seal(place, _list_of(case))
    own = os.environ["OWN_TOKEN_ID"]
    if case.method.upper() == "DELETE" and str((case.path_parameters or {}).get("token_id")) == own:
        case.path_parameters["token_id"] = int(own) + 1


def _list_of(case: Any) -> str:
    shown = {"cursor", "limit", "format"}
    filters = {name: value for name, value in case.query.items() if name not in shown}
    return cursors.name_of(case.operation.path.format(**(case.path_parameters or {})), filters)
