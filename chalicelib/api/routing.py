"""The frame around every view: who asks, what was sent, and one shape for whatever goes wrong.

A view is declared with all that the frame does for it (role, body, query, answer), and the same
declaration is what the OpenAPI document is made from. Chalice would turn an exception in a view
into its own answer before any middleware sees it, so the frame is around the view itself.
"""

import base64
import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from chalice.app import Blueprint, Request, Response

from chalicelib import access, budget, correlation
from chalicelib.api import cursors
from chalicelib.api.bodies import raw_body, read_body
from chalicelib.api.parameters import Parameter, parse_id, parse_query
from chalicelib.api.problems import plain_problem, problem
from chalicelib.domain.tokens import Role
from chalicelib.errors import InvalidInput, SlipwayError
from chalicelib.pipeline.once import Once
from chalicelib.store.history import Origin, asked_from

logger = logging.getLogger("slipway")

View = Callable[..., Any]

# Of every answer that does not say otherwise.
HEADERS: Mapping[str, str] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

# Ids of these names are numbers; what a job is called is for the one who looks it up to judge.
NUMBERED = frozenset({"project_id", "service_id", "build_id", "deployment_id", "token_id"})

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# RFC 9110, section 8.8.3; weak tags compare equal to strong ones of the same value (13.1.2).
_ENTITY_TAG = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")')


# Answers again with what a request had made, by its number.
Repeat = Callable[[access.Principal, int], "Reply"]


@dataclass(frozen=True)
class Endpoint:
    """One declared route; `role` None means that everybody may ask."""

    method: str
    path: str
    view: str
    summary: str
    role: Role | None
    body: type[msgspec.Struct] | None
    body_is_optional: bool
    query: Sequence[Parameter]
    status: int
    answer: Any
    other_statuses: Sequence[int]
    refusals: Sequence[int]
    headers: Sequence[str]
    media_types: Sequence[str]
    details: Mapping[str, Any]
    repeat: Repeat | None
    group: str

    @property
    def is_tagged(self) -> bool:
        """Whether callers who have the answer can ask if it is still the same.

        One resource or document is; lists and logs are asked for once, or change all the time.
        """
        return self.method == "GET" and self.path.endswith(("}", ".json", "/docs"))


@dataclass(frozen=True)
class Reply:
    """A view's answer where there is more to say than its body.

    `location` is a path below this API's root. A body that is a str is sent as it is; where it goes
    on is then said in `next_place`, and by other bodies in their `next_cursor`.
    """

    body: Any
    status: int | None = None
    location: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    next_place: str | None = None
    media_type: str = "text/plain; charset=utf-8"


ENDPOINTS: list[Endpoint] = []


class Routes(Blueprint):
    """A blueprint whose views run inside the frame."""

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        role: Role | None,
        body: type[msgspec.Struct] | None = None,
        body_is_optional: bool = False,
        query: Sequence[Parameter] = (),
        status: int = 200,
        answer: Any = None,
        other_statuses: Sequence[int] = (),
        refusals: Sequence[int] = (),
        headers: Sequence[str] = (),
        media_types: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
        repeat: Repeat | None = None,
    ) -> Callable[[View], View]:
        """Declare a view.

        With a role it is called with the Principal, without one with the Request; then by name
        with the path's ids, the query's parameters and, where a `body` is declared, the `body`.
        With `repeat` callers may send an Idempotency-Key, and the view gets `once`.
        `other_statuses` come with the same `answer`; `refusals` and `headers` are those that do not
        follow from the rest of the declaration, `media_types` what it answers that is not JSON, and
        `details` parts of the OpenAPI operation that nothing here can know: what a view reads of
        the request by itself.
        """

        def declare(view: View) -> View:
            summary = (view.__doc__ or "").strip().partition("\n")[0]
            endpoint = Endpoint(
                method,
                path,
                view.__name__,
                summary,
                role,
                body,
                body_is_optional,
                tuple(query),
                status,
                answer,
                tuple(other_statuses),
                tuple(refusals),
                tuple(headers),
                tuple(media_types),
                details or {},
                repeat,
                view.__module__.rpartition(".")[2],
            )
            ENDPOINTS.append(endpoint)
            # Media types are checked where a body is read; Chalice would want one of a GET, too.
            register = self.route(path, methods=[method], content_types=[])
            register(self._framed(endpoint, view))
            return view

        return declare

    def _framed(self, endpoint: Endpoint, view: View) -> View:
        @wraps(view)
        def run(**ids: str) -> Response:
            request = self.current_request
            try:
                with budget.within(budget.HTTP_SECONDS):
                    return _respond(endpoint, request, _call(endpoint, view, request, ids))
            except SlipwayError as error:
                return problem(error, request_id=request_id(request))
            except Exception:
                logger.exception("%s failed", endpoint.view)
                return plain_problem(
                    500, detail="this is a bug in Slipway", request_id=request_id(request)
                )

        return run


def finish(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """HTTP middleware: headers of every answer, and Chalice's own refusals in our shape."""
    name = request_id(request)
    with correlation.working_on(request_id=name):
        response = get_response(request)
        _note(request, response.status_code)
    if response.status_code >= 400 and not isinstance(response.body, str):
        refusal = plain_problem(
            response.status_code, detail=str(response.body.get("Message", "")), request_id=name
        )
        refusal.headers.update(response.headers)
        refusal.headers["Content-Type"] = "application/problem+json"
        response = refusal
    response.headers["X-Request-Id"] = name
    response.headers = {**HEADERS, **response.headers}
    return response


def _note(request: Request, status: int) -> None:
    """Log what changed something and what was refused; whoever polls would drown the rest.

    The path is the route's and not the caller's: nothing that was sent gets into the log.
    """
    if request.method != "GET" or status >= 400:
        level = logging.WARNING if status >= 500 else logging.INFO
        logger.log(level, "%s %s: %d", request.method, request.path, status)


def request_id(request: Request) -> str:
    """The caller's own name for the request if it is a harmless one, else Lambda's."""
    sent = request.headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(sent):
        return str(sent)
    context: Any = request.lambda_context
    return str(context.aws_request_id)


def _call(endpoint: Endpoint, view: View, request: Request, ids: dict[str, str]) -> Any:
    address = request.context.get("identity", {}).get("sourceIp")
    if endpoint.role is None:
        with asked_from(Origin(address=address)):
            return view(request, **ids)
    caller = access.principal(request.headers.get("authorization"))
    access.require(caller, endpoint.role)
    with asked_from(Origin(token_id=caller.token_id, address=address)):
        return _call_as(caller, endpoint, view, request, ids)


def _call_as(
    caller: access.Principal, endpoint: Endpoint, view: View, request: Request, ids: dict[str, str]
) -> Any:
    sent: dict[str, Any] = {name: _id(name, text) for name, text in ids.items()}
    path = endpoint.path.format(**sent)
    query = parse_query(request, endpoint.query, path)
    sent |= query.values
    if endpoint.body is not None:
        sent["body"] = read_body(request, endpoint.body, optional=endpoint.body_is_optional)
    if endpoint.repeat is None:
        return _linked(request, path, query.list_name, view(caller, **sent))
    return _once(endpoint.repeat, caller, request, path, partial(view, caller, **sent))


def _once(repeat: Repeat, caller: access.Principal, request: Request, path: str, run: View) -> Any:
    """Run a view unless its request was done before; then answer as at that time."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return run(once=None)
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput(
            "a key has 1 to 255 visible ASCII characters",
            code="invalid_idempotency_key",
            field="Idempotency-Key",
        )
    once = Once(
        token=caller.token_id,
        request=f"{request.method} {path}",
        key=key,
        body=raw_body(request),
    )
    made = once.recall()
    if made is None:
        try:
            return run(once=once)
        except SlipwayError:
            # Another of this key may have been faster, or AWS did it and its answer was lost.
            made = once.recall()
            if made is None:
                raise
    return replace(repeat(caller, made), headers=(("Idempotency-Replayed", "true"),))


def _id(name: str, text: str) -> int | str:
    return parse_id(text) if name in NUMBERED else text


def _linked(request: Request, path: str, list_name: str, answer: Any) -> Reply:
    """The answer with a cursor for what follows, also as a link (RFC 8288) to the next page."""
    reply = _reply(answer)
    place = reply.next_place or getattr(reply.body, "next_cursor", None)
    if not place:
        return reply
    cursor = cursors.seal(place, list_name)
    query = urlencode({**(request.query_params or {}), "cursor": cursor})
    link = ("Link", f'<{_root(request)}{path}?{query}>; rel="next"')
    if isinstance(reply.body, str):
        return replace(reply, headers=(*reply.headers, link, ("X-Next-Cursor", cursor)))
    body = msgspec.structs.replace(reply.body, next_cursor=cursor)
    return replace(reply, body=body, headers=(*reply.headers, link))


def _reply(answer: Any) -> Reply:
    return answer if isinstance(answer, Reply) else Reply(answer)


def _respond(endpoint: Endpoint, request: Request, answer: Any) -> Response:
    reply = _reply(answer)
    headers: dict[str, str | list[str]] = {**dict(reply.headers)}
    if reply.location:
        headers["Location"] = _root(request) + reply.location
    body = _encoded(reply, headers)
    if endpoint.is_tagged:
        tag = _tag(body)
        headers |= {"ETag": f"W/{tag}", "Cache-Control": "private, no-cache"}
        if _is_known(tag, request.headers.get("if-none-match", "")):
            del headers["Content-Type"]
            return Response("", headers=headers, status_code=304)
    return Response(body, headers=headers, status_code=reply.status or endpoint.status)


def _tag(body: str) -> str:
    """What stands for this body. It is sent as a weak tag: API Gateway may compress the body."""
    digest = hashlib.sha256(body.encode()).digest()[:15]
    return f'"{base64.urlsafe_b64encode(digest).decode()}"'


def _is_known(tag: str, if_none_match: str) -> bool:
    return if_none_match.strip() == "*" or tag in _ENTITY_TAG.findall(if_none_match)


def _encoded(reply: Reply, headers: dict[str, str | list[str]]) -> str:
    if reply.body is None:
        return ""
    if isinstance(reply.body, str):
        headers["Content-Type"] = reply.media_type
        return reply.body
    headers["Content-Type"] = "application/json"
    return msgspec.json.encode(reply.body).decode()


def _root(request: Request) -> str:
    """What precedes our paths: API Gateway puts the stage's name there, custom domains may not."""
    path = str(request.context.get("path", request.path)).rstrip("/")
    return quote("/".join(path.split("/")[: -request.path.count("/")]))
