"""Answers: a view's result as an HTTP response, with its Location, Link and ETag."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from chalice.app import Request, Response
from msgspec.structs import replace

from chalicelib.api.http import cursors
from chalicelib.api.http.requests import root
from chalicelib.domain.regex import regex

# Headers of every response, unless the response sets them itself.
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    # A year. Browsers heed it only over https (RFC 6797, 8.1), so it does nothing on this machine.
    "Strict-Transport-Security": "max-age=31536000",
}

# RFC 9110, section 8.8.3; weak tags compare equal to strong ones of the same value (13.1.2).
_ENTITY_TAG = regex(r'(?:W/)?("[!#-~\x80-\xff]*")')

# Query parameters that only choose where a list begins.
_OF_FIRST_PAGES = frozenset({"tail"})


class Reply(msgspec.Struct, frozen=True):
    """A view's answer with more than a body.

    `location` is a path below the root of this API. A body of type str is sent unchanged, and
    `next_position` is where its next page starts; other bodies have this in their `next_cursor`.
    With `says_more` such a body ends with a line that has the address of the next page.
    """

    body: Any
    status: int | None = None
    location: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    next_position: str | None = None
    says_more: bool = False
    media_type: str = "text/plain; charset=utf-8"


def as_reply(answer: Any) -> Reply:
    """A view's answer as a Reply; a view may also return only a body."""
    return answer if isinstance(answer, Reply) else Reply(answer)


def link_next(reply: Reply, request: Request, path: str, list_name: str) -> Reply:
    """Add the cursor of the next page, and a Link header to that page (RFC 8288)."""
    position = reply.next_position or getattr(reply.body, "next_cursor", None)
    if not position:
        return reply
    cursor = cursors.seal(position, list_name)
    sent = {k: v for k, v in (request.query_params or {}).items() if k not in _OF_FIRST_PAGES}
    following = f"{root(request)}{path}?{urlencode({**sent, 'cursor': cursor})}"
    link = ("Link", f'<{following}>; rel="next"')
    if isinstance(reply.body, str):
        more = f"[more lines may follow: GET {following}]\n"
        body = reply.body + more if reply.says_more else reply.body
        return replace(reply, body=body, headers=(*reply.headers, link, ("X-Next-Cursor", cursor)))
    body = msgspec.structs.replace(reply.body, next_cursor=cursor)
    return replace(reply, body=body, headers=(*reply.headers, link))


def respond(reply: Reply, request: Request, *, status: int, is_tagged: bool) -> Response:
    """The HTTP response. It is 304 without a body if If-None-Match has the tag of the body."""
    headers: dict[str, str | list[str]] = {**dict(reply.headers)}
    if reply.location:
        headers["Location"] = root(request) + reply.location
    body = _encode(reply, headers)
    if is_tagged:
        tag = _tag(body)
        headers = {"ETag": f"W/{tag}", "Cache-Control": "private, no-cache", **headers}
        if _matches(tag, request.headers.get("if-none-match", "")):
            del headers["Content-Type"]
            return Response("", headers=headers, status_code=304)
    return Response(body, headers=headers, status_code=reply.status or status)


def _encode(reply: Reply, headers: dict[str, str | list[str]]) -> str:
    if reply.body is None:
        return ""
    if isinstance(reply.body, str):
        headers["Content-Type"] = reply.media_type
        return reply.body
    headers["Content-Type"] = "application/json"
    return msgspec.json.encode(reply.body).decode()


def _tag(body: str) -> str:
    """The entity tag of a body. It is sent as a weak tag: API Gateway may compress the body."""
    digest = hashlib.sha256(body.encode()).digest()[:15]
    return f'"{base64.urlsafe_b64encode(digest).decode()}"'


def _matches(tag: str, if_none_match: str) -> bool:
    return if_none_match.strip() == "*" or tag in _ENTITY_TAG.findall(if_none_match)
