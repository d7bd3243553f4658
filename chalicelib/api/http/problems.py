"""Errors as problem documents (RFC 9457): the body of every error response."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar

import msgspec
from chalice.app import Response

from chalicelib.domain.log_text import clean_text
from chalicelib.domain.preflight import Finding, PreflightFailed, errors_as_text
from chalicelib.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Rejected,
    SlipwayError,
    Stale,
    Unauthorized,
    Unavailable,
)
from chalicelib.known_secrets import known_secrets

# The most specific class of an error that is listed here decides.
STATUSES: Mapping[type[SlipwayError], HTTPStatus] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    # AWS lacks the resource or denies the call. Waiting does not help, so this is not a 503.
    Rejected: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    # Another request changed the row first. This one had no effect, so it is not a 5xx.
    Stale: HTTPStatus.CONFLICT,
}
# Codes of InvalidInput with another status than 400.
_BY_CODE: Mapping[str, HTTPStatus] = {
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
_HEADERS: Mapping[type[SlipwayError], Mapping[str, str]] = {
    Unauthorized: {"WWW-Authenticate": "Bearer"},
    Unavailable: {"Retry-After": "5"},
    Stale: {"Retry-After": "1"},
}
_MAX_TEXT_LENGTH = 700

_T = TypeVar("_T")


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An error: `code` for programs, `detail` for people, `field` for the part that is wrong. With
    the code `preflight_failed`, `findings` are all findings about the release.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    field: str = ""
    findings: list[Finding] = []


def problem(error: SlipwayError, *, request_id: str) -> Response:
    """The response for a request that raised `error`."""
    findings: list[Finding] = []
    detail = _presentable(error.detail)
    if isinstance(error, PreflightFailed):
        findings = cleaned(error.findings)
        detail = errors_as_text(findings)  # whole: it names each problem
    return _document(
        status_of(error),
        code=error.code,
        detail=detail,
        findings=findings,
        field=error.field,
        request_id=request_id,
        headers=_lookup(_HEADERS, error) or {},
    )


def plain_problem(status: int, *, detail: str, request_id: str) -> Response:
    """The response without a SlipwayError: for a bug, or for an error that Chalice raised."""
    known = HTTPStatus(status)
    shown = _presentable(detail)
    return _document(known, code=known.name.lower(), detail=shown, request_id=request_id)


def status_of(error: SlipwayError) -> HTTPStatus:
    """The HTTP status of `error`; raises KeyError for a class without a status."""
    if isinstance(error, InvalidInput) and error.code in _BY_CODE:
        return _BY_CODE[error.code]
    status = _lookup(STATUSES, error)
    if status is None:
        raise KeyError(type(error).__name__)
    return status


def _lookup(table: Mapping[type[SlipwayError], _T], error: SlipwayError) -> _T | None:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)


def _document(
    status: HTTPStatus,
    *,
    code: str,
    detail: str,
    request_id: str,
    field: str = "",
    headers: Mapping[str, str] | None = None,
    findings: Sequence[Finding] = (),
) -> Response:
    document = Problem(
        type="about:blank",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        field=_presentable(field),
        instance=request_id,
        findings=list(findings),
    )
    return Response(
        msgspec.json.encode(document).decode(),
        headers={"Content-Type": "application/problem+json", **(headers or {})},
        status_code=status,
    )


def cleaned(findings: Iterable[Finding]) -> list[Finding]:
    """Findings as the API shows them: they have texts of AWS."""
    return [
        msgspec.structs.replace(each, message=clean_text(each.message, known_secrets()))
        for each in findings
    ]


def _presentable(text: str) -> str:
    """A text that may quote the request, cut to 700 characters that can be encoded."""
    return text[:_MAX_TEXT_LENGTH].encode(errors="replace").decode()
