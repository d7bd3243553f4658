"""Every route, every kind of object, every kind of token: who gets in, made from the app's routes.

A route that is added is in the matrix by itself; one that takes a body must be given one here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from moto import mock_aws

import app as the_app
from chalicelib.api.http.endpoints import ENDPOINTS, Endpoint
from chalicelib.domain.tokens import Role, new_token
from tests.faults.trials import forked
from tests.support.client import Api
from tests.support.embedded import Cloud
from tests.support.written import nothing_is_written

assert the_app  # its import declares the routes

PUBLIC = {
    ("GET", "/v1/health"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/docs"),
    ("POST", "/v1/webhooks/github"),
}
PROTECTED = [endpoint for endpoint in ENDPOINTS if endpoint.role is not None]
# Routes that are about everything, so that a restricted token has no business there.
FOR_ALL = {
    "create_project",
    "update_project",
    "create_token",
    "list_tokens",
    "get_token",
    "revoke_token",
}
# What a good request sends; by view.
BODIES: Mapping[str, Any] = {
    "create_project": {"name": "new"},
    "update_project": {"name": "other"},
    "create_service": {
        "name": "new",
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "image_repository": "hello",
    },
    "update_service": {"branch": "main"},
    "start_build": {},
    # What the build of the release made.
    "deploy": {"image_tag": "hello:master-111111111111-1"},
    "roll_back": {},
    "create_token": {"name": "new", "role": "viewer"},
}
IDS = {
    "project_id": "1",
    "service_id": "1",
    "build_id": "1",
    "deployment_id": "1",
    "job_id": "build-1",
    "delivery_id": "delivery-1",
    "token_id": "1",
}
MISSING = {
    "project_id": "77",
    "service_id": "77",
    "build_id": "77",
    "deployment_id": "77",
    "job_id": "build-77",
    "delivery_id": "delivery-77",
    "token_id": "77",
}


@dataclass(frozen=True)
class Holder:
    """Somebody who asks, and what may be seen with their token: all, mine, or others' things."""

    name: str
    role: Role | None
    sees: str = "all"


HOLDERS = [
    Holder("no token", None),
    Holder("a malformed token", None),
    Holder("an unknown token", None),
    Holder("an expired token", None),
    Holder("a revoked token", None),
    Holder("a viewer", Role.VIEWER),
    Holder("a deployer", Role.DEPLOYER),
    Holder("an admin", Role.ADMIN),
    *(Holder(f"the project's {role}", role, "project") for role in Role),
    *(Holder(f"the service's {role}", role, "service") for role in Role),
    *(Holder(f"another project's {role}", role, "another project") for role in Role),
    *(Holder(f"another service's {role}", role, "another service") for role in Role),
]
RANKS = list(Role)


class World:
    """A service with a release, a neighbour in its project, and a stranger; tokens for all."""

    def __init__(self, cloud: Cloud) -> None:
        self.api = cloud.api
        cloud.push("1" * 40, delivery="delivery-1")
        cloud.settle()
        cloud.finish_build(1)
        cloud.finish_rollout()
        neighbour = cloud.add_service("neighbour", branch="develop")
        cloud.project = self._made("/v1/projects", {"name": "theirs"})["id"]
        cloud.add_service("stranger", branch="develop")
        self._restrictions = {
            "all": {},
            "project": {"project_id": 1},
            "service": {"service_id": cloud.service_id},
            "another project": {"project_id": cloud.project},
            "another service": {"service_id": neighbour},
        }
        self.callers = {holder.name: self._caller(cloud, holder) for holder in HOLDERS}
        for caller in self.callers.values():
            caller.get("/v1/projects")  # that a token is used is noted once an hour

    def _made(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, body)
        assert answer.status == 201, answer.text
        return answer.body

    def _caller(self, cloud: Cloud, holder: Holder) -> Api:
        if holder.role is not None:
            body = {"name": "x", "role": holder.role, **self._restrictions[holder.sees]}
            return self.api.as_holder_of(self._made("/v1/tokens", body)["token"])
        body = {"name": "x", "role": "admin", "expires_in_days": 1}
        made = self._made("/v1/tokens", body)
        if holder.name == "an expired token":
            # The clock goes on for everybody; the others' tokens do not expire.
            cloud.advance(24 * 3600)
            return self.api.as_holder_of(made["token"])
        if holder.name == "a revoked token":
            assert self.api.request("DELETE", f"/v1/tokens/{made['id']}").status == 204
            return self.api.as_holder_of(made["token"])
        if holder.name == "an unknown token":
            return self.api.as_holder_of(new_token())
        return self.api.as_holder_of("" if holder.name == "no token" else f"{made['token']}x")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One for all: who is refused changes nothing, and who is let in is so in a copy."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        yield World(Cloud(monkeypatch))


def ask(caller: Api, endpoint: Endpoint, ids: Mapping[str, str] = IDS) -> tuple[int, str]:
    """The status and the text of the answer."""
    path = endpoint.path.format(**ids)
    body = BODIES[endpoint.view] if endpoint.body is not None else None
    headers: dict[str, str | None] = {"X-Request-Id": "x"}
    if not caller.token:
        headers["Authorization"] = None
    answer = caller.request(endpoint.method, path, body=body, headers=headers)
    return answer.status, answer.text


def is_about_an_object(endpoint: Endpoint) -> bool:
    return "{" in endpoint.path


def is_hidden(endpoint: Endpoint, holder: Holder) -> bool:
    """Whether what the path names is not there for them; a project is, for its services' tokens."""
    names_project = endpoint.path.startswith("/v1/projects/")
    return holder.sees == "another project" or (
        holder.sees == "another service" and not names_project
    )


def expected(endpoint: Endpoint, holder: Holder) -> str:
    """What the rules say: "401", "403", "missing" or "let in"."""
    if holder.role is None:
        return "401"
    assert endpoint.role is not None
    if RANKS.index(holder.role) < RANKS.index(endpoint.role):
        return "403"
    everything = endpoint.view in FOR_ALL or endpoint.path == "/v1/audit"
    if everything and (holder.sees != "all" or holder.role is not Role.ADMIN):
        return "403"
    if is_about_an_object(endpoint) and is_hidden(endpoint, holder):
        return "missing"
    if endpoint.view == "create_service" and holder.sees != "all":
        return "403"
    return "let in"


def test_what_needs_no_token_is_known_by_name() -> None:
    public = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.role is None}
    assert public == PUBLIC


@pytest.mark.parametrize(
    "endpoint", PROTECTED, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}"
)
def test_who_gets_in(endpoint: Endpoint, world: World) -> None:
    problems = []
    missing = ask(world.api, endpoint, MISSING)
    for holder in HOLDERS:
        caller = world.callers[holder.name]
        wanted = expected(endpoint, holder)
        if wanted == "let in":
            # In a copy of the world, which may change.
            trouble = forked(partial(judge, wanted, caller, endpoint, missing)).trouble
            problems += [f"{holder.name} should be let in:\n{trouble}"] if trouble else []
        else:
            judge(wanted, caller, endpoint, missing)
    assert not problems, "\n".join(problems)


def judge(wanted: str, caller: Api, endpoint: Endpoint, missing: tuple[int, str]) -> None:
    if wanted == "let in":
        status, text = ask(caller, endpoint)
        assert status < 500, text
        assert status not in {401, 403, 404}, text
        return
    with nothing_is_written():
        status, text = ask(caller, endpoint)
        if wanted != "missing":
            assert status == int(wanted), text
            return
        assert missing[0] == 404
        assert (status, _unnumbered(text, IDS)) == (404, _unnumbered(missing[1], MISSING))


def _unnumbered(text: str, ids: Mapping[str, str]) -> str:
    """A problem document without the id that was asked for."""
    for value in sorted(set(ids.values()), key=len, reverse=True):
        text = text.replace(value, "#")
    return text


@pytest.mark.parametrize(
    "path", ["/v1/cicd/jobs", "/v1/webhooks/github/deliveries", "/v1/projects/2/services"]
)
def test_what_others_have_leaves_no_trace_in_lists(path: str, world: World) -> None:
    stranger = world.callers["another project's viewer"]
    answer = stranger.get(f"{path}?limit=1")
    items = answer.body["items"]
    assert answer.body["next_cursor"] is None
    assert [item["name"] for item in items] == (["stranger"] if "services" in path else [])
