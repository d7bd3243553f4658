"""Tokens: authentication, and the permissions of each role."""

import pytest
from chalice.test import Client

from chalicelib import clock
from chalicelib.access import Principal, principal, require
from chalicelib.domain.tokens import Role
from chalicelib.errors import Forbidden, Unauthorized
from chalicelib.store.models import Token
from chalicelib.store.tokens import create_token
from tests.support.client import Api
from tests.support.written import everything_written, nothing_is_written

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


def protected_routes() -> list[tuple[str, str]]:
    from app import app

    known = [(method, path) for path, methods in app.routes.items() for method in methods]
    return [route for route in known if route not in PUBLIC]


def with_ids(path: str) -> str:
    for name in ("project_id", "service_id", "build_id", "deployment_id"):
        path = path.replace(f"{{{name}}}", "1")
    return path.replace("{job_id}", "build-1")


def test_every_route_but_the_public_ones_requires_a_token(api: Api, service: int) -> None:
    with nothing_is_written():
        for method, path in protected_routes():
            answer = api.request(method, with_ids(path), body={}, headers={"Authorization": None})
            assert (answer.status, answer.body["code"]) == (401, "unauthorized"), (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


ALLOWED_WRITES = {
    "viewer": set[str](),
    "deployer": {"build", "deploy", "rollback", "cancel", "retry", "config", "approve", "reject"},
}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEPLOYER])
def test_a_role_that_is_too_low_is_forbidden_and_changes_nothing(
    client: Client, service: int, role: Role
) -> None:
    caller = Api(client, create_token("low", role).secret)
    caller.get("/v1/projects")  # records the first use of the token
    with nothing_is_written():
        for method, path in protected_routes():
            if method == "GET" or path.rpartition("/")[2] in ALLOWED_WRITES[role]:
                continue
            answer = caller.request(method, with_ids(path), body={})
            assert (answer.status, answer.body["code"]) == (403, "forbidden"), (method, path)


def test_a_deployer_may_build_and_a_viewer_may_read(client: Client, service: int) -> None:
    deployer = Api(client, create_token("ci", Role.DEPLOYER).secret)
    assert deployer.post(f"/v1/cicd/services/{service}/build", {}).status == 202
    viewer = Api(client, create_token("screen", Role.VIEWER).secret)
    assert viewer.get("/v1/cicd/builds/1").body["requested_by"] == "token:ci"


def test_only_the_hash_of_a_token_is_stored(aws: None) -> None:
    token = create_token("ci", Role.DEPLOYER).secret
    assert len(token) == 4 + 43 + 6
    assert token not in str(everything_written())
    assert principal(f"Bearer {token}").actor == "token:ci"
    assert principal(f"bearer {token}").role is Role.DEPLOYER


def test_a_malformed_token_is_refused_without_a_read(aws: None) -> None:
    token = create_token("ci", Role.ADMIN).secret
    for row in Token.scan():
        row.delete()  # with a read the message would be "unknown"
    for header in [
        None,
        "",
        "Bearer ",
        "Bearer slw_",
        "Basic dXNlcjpwdw==",
        token,
        f"Bearer {token[:-1]}",
        f"Bearer {token}x",
        f"Bearer {token}, Bearer {token}",
        f"Bearer {token}\t{token}",
        f"Bearer {token}\n",
        f"Bearer {token[:10]}{'a' if token[10] != 'a' else 'b'}{token[11:]}",
        f"Bearer {token[:-1]}{'0' if token[-1] != '0' else '1'}",
        "Bearer slw_" + "é" * 49,
    ]:
        with pytest.raises(Unauthorized, match="send a token"):
            principal(header)
    with pytest.raises(Unauthorized, match="unknown"):
        principal(f"Bearer {token}")


def test_expired_and_revoked_tokens_are_refused_at_once(aws: None) -> None:
    token = create_token("ci", Role.ADMIN).secret
    row = next(iter(Token.scan()))
    row.update(actions=[Token.expires_at.set(clock.now() + 60)])
    assert principal(f"Bearer {token}").token_id == row.number
    row.refresh()
    row.update(actions=[Token.expires_at.set(clock.now())])
    with pytest.raises(Unauthorized):
        principal(f"Bearer {token}")
    row.delete()
    with pytest.raises(Unauthorized):
        principal(f"Bearer {token}")


def test_each_role_includes_the_lower_roles() -> None:
    order = list(Role)
    for index, role in enumerate(order):
        caller = Principal(1, role, "token:x")
        for needed in order[: index + 1]:
            require(caller, needed)
        for needed in order[index + 1 :]:
            with pytest.raises(Forbidden):
                require(caller, needed)
