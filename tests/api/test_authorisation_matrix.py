"""Every route with every kind of token: the expected_answer status for each combination.

The matrix is built from the app's routes. A new route with a body needs an entry in BODIES.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from moto import mock_aws

import app as the_app
from chalicelib.api.http.endpoints import ENDPOINTS, Endpoint
from chalicelib.domain.tokens import Role, new_token
from tests.faults.trials import forked
from tests.support.builders import push_payload
from tests.support.client import Api
from tests.support.embedded import Cloud, add_topic
from tests.support.written import nothing_is_written

assert the_app  # its import declares the routes

PUBLIC = {
    ("GET", "/v1/health"),
    ("GET", "/v1/ready"),
    ("GET", "/v1/services/{service_id}/badge.svg"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("GET", "/assets/{version}/{name}"),
    ("POST", "/v1/webhooks/github"),
}
PROTECTED = [endpoint for endpoint in ENDPOINTS if endpoint.role is not None]
# Routes about the whole installation: a restricted token gets 403.
FOR_ALL = {
    "create_project",
    "update_project",
    "create_token",
    "list_tokens",
    "get_token",
    "revoke_token",
    "list_access",
    "create_channel",
    "list_channels",
    "list_channel_kinds",
    "get_channel",
    "update_channel",
    "delete_channel",
    "test_channel",
}
# A valid body for each view that takes one.
BODIES: Mapping[str, Any] = {
    "create_project": {"name": "new"},
    "update_project": {"name": "other"},
    "create_service": {
        "name": "new",
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "image_repository": "hello",
    },
    "update_service": {"branch": "main"},
    "update_config": {"environment": {"LEVEL": "debug"}},
    "start_build": {},
    # The image of build 1.
    "deploy": {"image_tag": "hello:master-111111111111-1"},
    "roll_back": {},
    "approve_deployment": {},
    "reject_deployment": {},
    "create_token": {"name": "new", "role": "viewer"},
    "test_push": push_payload(),
    "create_channel": {
        "name": "new",
        "kind": "github",
        "secret": "secretsmanager:slipway/tell/all/github",
    },
    "update_channel": {"name": "other"},
}
IDS = {
    "project_id": "1",
    "service_id": "1",
    "build_id": "1",
    "deployment_id": "1",
    "job_id": "build-1",
    "delivery_id": "delivery-1",
    "token_id": "1",
    "channel_id": "1",
}
MISSING = {
    "project_id": "77",
    "service_id": "77",
    "build_id": "77",
    "deployment_id": "77",
    "job_id": "build-77",
    "delivery_id": "delivery-77",
    "token_id": "77",
    "channel_id": "77",
}


@dataclass(frozen=True)
class Caller:
    """A kind of caller; `scope` is the part of the installation that its token covers."""

    name: str
    role: Role | None
    scope: str = "all"


CALLERS = [
    Caller("no token", None),
    Caller("a malformed token", None),
    Caller("an unknown token", None),
    Caller("an expired token", None),
    Caller("a revoked token", None),
    Caller("a viewer", Role.VIEWER),
    Caller("a deployer", Role.DEPLOYER),
    Caller("an admin", Role.ADMIN),
    *(Caller(f"the project's {role}", role, "project") for role in Role),
    *(Caller(f"the service's {role}", role, "service") for role in Role),
    *(Caller(f"another project's {role}", role, "another project") for role in Role),
    *(Caller(f"another service's {role}", role, "another service") for role in Role),
]
RANKS = list(Role)


class World:
    """A service with a release, another in its project, one in another project; all callers."""

    def __init__(self, cloud: Cloud) -> None:
        self.api = cloud.api
        cloud.push("1" * 40, delivery="delivery-1")
        cloud.settle()
        cloud.finish_build(1)
        cloud.finish_rollout()
        neighbour = cloud.add_service("neighbour", branch="develop")
        cloud.project = self._made("/v1/projects", {"name": "other"})["id"]
        cloud.add_service("unrelated", branch="develop")
        self._restrictions = {
            "all": {},
            "project": {"project_id": 1},
            "service": {"service_id": cloud.service_id},
            "another project": {"project_id": cloud.project},
            "another service": {"service_id": neighbour},
        }
        self.apis = {caller.name: self._api_for(cloud, caller) for caller in CALLERS}
        add_topic(cloud)
        for api in self.apis.values():
            api.get("/v1/projects")  # records the use of the token, so that later requests do not

    def _made(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.api.post(path, body)
        assert answer.status == 201, answer.text
        return answer.body

    def _api_for(self, cloud: Cloud, caller: Caller) -> Api:
        if caller.role is not None:
            body = {"name": "x", "role": caller.role, **self._restrictions[caller.scope]}
            return self.api.as_holder_of(self._made("/v1/tokens", body)["token"])
        body = {"name": "x", "role": "admin", "expires_in_days": 1}
        made = self._made("/v1/tokens", body)
        if caller.name == "an expired token":
            # The time passes for all tokens, but the others do not expire.
            cloud.advance(24 * 3600)
            return self.api.as_holder_of(made["token"])
        if caller.name == "a revoked token":
            assert self.api.request("DELETE", f"/v1/tokens/{made['id']}").status == 204
            return self.api.as_holder_of(made["token"])
        if caller.name == "an unknown token":
            return self.api.as_holder_of(new_token())
        return self.api.as_holder_of("" if caller.name == "no token" else f"{made['token']}x")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One world for all tests: only allowed changes change it, and they run in a forked copy."""
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        yield World(Cloud(monkeypatch))


def send(api: Api, endpoint: Endpoint, ids: Mapping[str, str] = IDS) -> tuple[int, str]:
    """The status and the text of the answer."""
    path = endpoint.path.format(**ids)
    body = BODIES[endpoint.view] if endpoint.body is not None else BODIES.get(endpoint.view)
    headers: dict[str, str | None] = {"X-Request-Id": "x"}
    if not api.token:
        headers["Authorization"] = None
    answer = api.request(endpoint.method, path, body=body, headers=headers)
    return answer.status, answer.text


def names_an_object(endpoint: Endpoint) -> bool:
    return "{" in endpoint.path


def is_hidden(endpoint: Endpoint, caller: Caller) -> bool:
    """Whether the object in the path is hidden; the token of a service sees its project."""
    names_project = "/projects/" in endpoint.path
    return caller.scope == "another project" or (
        caller.scope == "another service" and not names_project
    )


def expected_answer(endpoint: Endpoint, caller: Caller) -> str:
    """The answer that the rules demand: "401", "403", "missing" or "allowed"."""
    if caller.role is None:
        return "401"
    assert endpoint.role is not None
    if RANKS.index(caller.role) < RANKS.index(endpoint.role):
        return "403"
    for_all = endpoint.view in FOR_ALL or endpoint.path == "/v1/audit"
    if for_all and (caller.scope != "all" or caller.role is not Role.ADMIN):
        return "403"
    if names_an_object(endpoint) and is_hidden(endpoint, caller):
        return "missing"
    if endpoint.view == "create_service" and caller.scope != "all":
        return "403"
    return "allowed"


def test_only_the_listed_routes_need_no_token() -> None:
    public = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.role is None}
    assert public == PUBLIC


@pytest.mark.parametrize(
    "endpoint", PROTECTED, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}"
)
def test_every_kind_of_caller_gets_the_expected_answer(endpoint: Endpoint, world: World) -> None:
    problems = []
    missing = send(world.api, endpoint, MISSING)
    for caller in CALLERS:
        api = world.apis[caller.name]
        expected = expected_answer(endpoint, caller)
        if expected == "allowed" and endpoint.method != "GET":
            # The request may change the world, so it runs in a copy.
            trouble = forked(partial(check_answer, expected, api, endpoint, missing)).trouble
            problems += [f"{caller.name} should be allowed:\n{trouble}"] if trouble else []
        else:
            check_answer(expected, api, endpoint, missing)
    assert not problems, "\n".join(problems)


def check_answer(expected: str, api: Api, endpoint: Endpoint, missing: tuple[int, str]) -> None:
    if expected == "allowed":
        with nothing_is_written() if endpoint.method == "GET" else nullcontext():
            status, text = send(api, endpoint)
        assert status < 500, text
        assert status not in {401, 403, 404}, text
        return
    with nothing_is_written():
        status, text = send(api, endpoint)
        if expected != "missing":
            assert status == int(expected), text
            return
        assert missing[0] == 404
        assert (status, _unnumbered(text, IDS)) == (404, _unnumbered(missing[1], MISSING))


def _unnumbered(text: str, ids: Mapping[str, str]) -> str:
    """A problem document with every id replaced by #."""
    for value in sorted(set(ids.values()), key=len, reverse=True):
        text = text.replace(value, "#")
    return text


@pytest.mark.parametrize(
    "path",
    ["/v1/cicd/jobs", "/v1/services", "/v1/webhooks/github/deliveries", "/v1/projects/2/services"],
)
def test_lists_show_no_trace_of_other_projects(path: str, world: World) -> None:
    api = world.apis["another project's viewer"]
    answer = api.get(f"{path}?limit=1")
    items = answer.body["items"]
    assert answer.body["next_cursor"] is None
    assert [item["name"] for item in items] == (["unrelated"] if "services" in path else [])
