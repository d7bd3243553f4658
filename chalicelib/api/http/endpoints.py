"""Declaring a route, and running its view inside the frame.

A view is declared with everything that the frame does for it (role, body, query, answer), and the
OpenAPI document is made from the same declaration. Chalice turns an exception in a view into its
own answer before any middleware sees it, so the frame is around the view itself.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

import msgspec
from chalice.app import Blueprint, Request, Response

from chalicelib import access, budget
from chalicelib.api.http.answers import Reply, as_reply, link_next, respond
from chalicelib.api.http.bodies import read_body
from chalicelib.api.http.idempotency import Repeat, run_once
from chalicelib.api.http.parameters import Parameter, parse_id, parse_query
from chalicelib.api.http.problems import plain_problem, problem
from chalicelib.api.http.requests import request_id, source_address
from chalicelib.domain.tokens import Role
from chalicelib.errors import SlipwayError
from chalicelib.store.history import Origin, asked_from

logger = logging.getLogger("slipway")

View = Callable[..., Any]

# Path variables that are numbers. A job id is text, and looking the job up checks it.
NUMBERED = frozenset({"project_id", "service_id", "build_id", "deployment_id", "token_id"})


@dataclass(frozen=True)
class Documented:
    """Facts for the OpenAPI document that do not follow from the rest of a declaration.

    `other_statuses` come with the same answer; `refusals` are further error statuses; `headers` are
    further headers of the answer; `media_types` are its types other than JSON; `details` are parts
    of the operation for what a view reads of the request by itself.
    """

    other_statuses: Sequence[int] = ()
    refusals: Sequence[int] = ()
    headers: Sequence[str] = ()
    media_types: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """One declared route; with `role` None everybody may call it.

    `answer` is the type of a success's body and `status` its status. With `repeat` callers may send
    an Idempotency-Key.
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
    documented: Documented

    @property
    def is_tagged(self) -> bool:
        """Whether the answer has an ETag: single resources and documents do, lists and logs not."""
        return self.method == "GET" and self.path.endswith(("}", ".json", "/docs"))


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
        repeat: Repeat | None = None,
        documented: Documented | None = None,
    ) -> Callable[[View], View]:
        """Declare a view as an `Endpoint`.

        With a role the view is called with the Principal, without one with the Request. By name it
        gets the path's ids, the query's parameters, the `body` if one is declared, and with
        `repeat` the `idempotency_key`.
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
                documented=documented or Documented(),
            )
            ENDPOINTS.append(endpoint)
            # `read_body` checks the media type; Chalice would demand one of a GET, too.
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
                    reply = as_reply(_call(endpoint, view, request, ids))
                    return respond(
                        reply, request, status=endpoint.status, is_tagged=endpoint.is_tagged
                    )
            except SlipwayError as error:
                return problem(error, request_id=request_id(request))
            except Exception:
                logger.exception("%s failed", endpoint.view)
                return plain_problem(
                    500, detail="this is a bug in Slipway", request_id=request_id(request)
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
    return as_reply(run_once(endpoint.repeat, caller, request, path, run))
