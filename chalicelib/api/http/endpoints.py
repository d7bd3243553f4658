"""Declaring a route, and running its view.

A declaration says what is checked and parsed before the view runs (role, query, body) and which
answer it returns. The OpenAPI document is made from the same declarations. Chalice turns an
exception of a view into a response before any middleware sees it, so `Routes` wraps each view.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any

import msgspec
from chalice.app import Blueprint, Request, Response

from chalicelib import access, budget
from chalicelib.api.http.answers import Reply, as_reply, link_next, respond
from chalicelib.api.http.bodies import read_body
from chalicelib.api.http.idempotency import Repeat, run_or_replay
from chalicelib.api.http.parameters import DRY_RUN, Parameter, parse_id, parse_query
from chalicelib.api.http.problems import plain_problem, problem
from chalicelib.api.http.requests import request_id, source_address
from chalicelib.domain.tokens import Role
from chalicelib.errors import SlipwayError
from chalicelib.store.history import Origin, asked_from

logger = logging.getLogger("slipway")

View = Callable[..., Any]

# Path variables that are numbers. The others are text, which `access` checks.
NUMBERED = frozenset(
    {"project_id", "service_id", "build_id", "deployment_id", "token_id", "channel_id"}
)


class Documented(msgspec.Struct, frozen=True):
    """Facts for the OpenAPI document that do not follow from the rest of a declaration.

    `other_statuses` are further statuses of the same answer, and `errors` further error statuses.
    `other_answers` are the answers of further statuses; a tuple has alternatives.
    `headers` are further headers of the answer, and `media_types` its types other than JSON.
    `details` are parts of the operation that describe what the view itself reads of the request.
    """

    other_statuses: Sequence[int] = ()
    other_answers: Mapping[int, Any] = msgspec.field(default_factory=dict)
    errors: Sequence[int] = ()
    headers: Sequence[str] = ()
    media_types: Sequence[str] = ()
    details: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Endpoint(msgspec.Struct, frozen=True):
    """One declared route. It is public if `role` is None.

    A success has the status `status` and a body of the type `answer`. With `repeat` a caller may
    send an Idempotency-Key. `is_tagged` is an answer with an ETag: pages and programs read it again
    and again, and it may be stored.
    """

    method: str
    path: str
    view: str
    group: str
    summary: str
    role: Role | None
    body: type[msgspec.Struct] | None
    body_is_optional: bool
    query: Sequence[Parameter]
    status: int
    answer: Any
    repeat: Repeat | None
    is_tagged: bool
    documented: Documented


ENDPOINTS: list[Endpoint] = []


class Routes(Blueprint):
    """A blueprint that declares its views as endpoints and wraps them."""

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
        repeat: Repeat | None = None,
        is_tagged: bool = False,
        documented: Documented | None = None,
    ) -> Callable[[View], View]:
        """Declare a view as an `Endpoint`.

        The view's first argument is the Principal, or the Request if the route is public. It gets
        the path's ids and the query's parameters as keywords, also `body` if a body is declared,
        and `idempotency_key` with `repeat`.
        """

        def declare(view: View) -> View:
            endpoint = Endpoint(
                method=method,
                path=path,
                view=view.__name__,
                group=view.__module__.rpartition(".")[2],
                summary=(view.__doc__ or "").strip().partition("\n")[0],
                role=role,
                body=body,
                body_is_optional=body_is_optional,
                query=query,
                status=status,
                answer=answer,
                repeat=repeat,
                is_tagged=is_tagged,
                documented=documented or Documented(),
            )
            ENDPOINTS.append(endpoint)
            # `read_body` checks the media type: Chalice would require one for GET, too.
            register = self.route(path, methods=[method], content_types=[])
            register(self._wrapped(endpoint, view))
            return view

        return declare

    def _wrapped(self, endpoint: Endpoint, view: View) -> View:
        @wraps(view)
        def run(**ids: str) -> Response:
            request = self.current_request
            try:
                with budget.within(budget.HTTP_SECONDS):
                    reply = as_reply(_call(endpoint, view, request, ids))
                    return respond(
                        reply, request, status=endpoint.status, is_tagged=endpoint.is_tagged
                    )
            except SlipwayError as error:
                return problem(error, request_id=request_id(request))
            except Exception:
                logger.exception("%s failed", endpoint.view)
                return plain_problem(
                    500,
                    detail="internal error; search the API's log for the request id in `instance`",
                    request_id=request_id(request),
                )

        return run


def _call(endpoint: Endpoint, view: View, request: Request, ids: dict[str, str]) -> Any:
    address = source_address(request)
    if endpoint.role is None:
        with asked_from(Origin(address=address)):
            return view(request, **ids)
    caller = access.principal(request.headers.get("authorization"))
    access.require(caller, endpoint.role)
    with asked_from(Origin(token_id=caller.token_id, address=address)):
        return _call_as(caller, endpoint, view, request, ids)


def _call_as(
    caller: access.Principal, endpoint: Endpoint, view: View, request: Request, ids: dict[str, str]
) -> Reply:
    sent: dict[str, Any] = {
        name: parse_id(text) if name in NUMBERED else text for name, text in ids.items()
    }
    path = endpoint.path.format(**sent)
    query = parse_query(request, endpoint.query, path)
    sent |= query.values
    if endpoint.body is not None:
        sent["body"] = read_body(request, endpoint.body, optional=endpoint.body_is_optional)
    if endpoint.repeat is None:
        return link_next(as_reply(view(caller, **sent)), request, path, query.list_name)
    run = partial(view, caller, **sent)
    is_dry_run = sent.get(DRY_RUN.name, False)
    return as_reply(
        run_or_replay(endpoint.repeat, caller, request, path, run, is_dry_run=is_dry_run)
    )
