"""The route table, and the parts of an answer that all routes have in common."""

import logging
from typing import Any

import pytest
from chalice.app import Chalice
from chalice.test import Client

from app import app
from chalicelib.api.http.endpoints import ENDPOINTS, Routes
from chalicelib.api.http.middleware import complete
from chalicelib.errors import Rejected
from tests.support.builders import gateway_event
from tests.support.client import Api


def served() -> set[tuple[str, str]]:
    return {(method, path) for path, methods in app.routes.items() for method in methods}


def test_every_route_is_declared_as_an_endpoint() -> None:
    assert served() == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert len(ENDPOINTS) == len(served())


def test_one_position_in_a_path_has_one_variable_name() -> None:
    names: dict[str, str] = {}
    for _, path in served():
        parts = path.split("/")
        for index, part in enumerate(parts):
            if part.startswith("{"):
                assert names.setdefault("/".join(parts[:index]), part) == part, path


def test_health_is_public_and_calls_no_aws(client: Client) -> None:
    answer = Api(client, "none").get("/v1/health", headers={"Authorization": None})
    assert answer.status == 200
    assert answer.body["status"] == "ok"


def test_an_unsupported_method_is_a_405_problem_document(api: Api) -> None:
    answer = api.request("PUT", "/v1/health")
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "GET"


def test_every_answer_has_a_request_id_and_forbids_sniffing_and_storing(api: Api) -> None:
    for path in ("/v1/health", "/v1/projects", "/v1/projects/0"):
        answer = api.get(path, headers={"X-Request-Id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.body["instance"] == "mine-1"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "<script>", "é"])
def test_an_unsafe_request_id_is_replaced(api: Api, sent: str) -> None:
    answer = api.get("/v1/health", headers={"X-Request-Id": sent})
    assert answer.headers["x-request-id"] not in {"", sent}


def test_a_location_contains_the_stage_of_the_gateway(api: Api) -> None:
    class Context:
        aws_request_id = "r-1"

    event = gateway_event("POST", "/v1/projects", body='{"name": "shop"}')
    event["headers"]["authorization"] = f"Bearer {api.token}"
    assert app(event, Context())["headers"]["Location"] == "/api/v1/projects/1"


def broken_app() -> Chalice:
    broken = Chalice(app_name="broken", configure_logs=False)
    broken.register_middleware(complete, "http")
    routes = Routes(__name__)
    declared = len(ENDPOINTS)

    @routes.endpoint("GET", "/bug", role=None)
    def bug(request: Any) -> None:
        raise RuntimeError("secret detail")

    @routes.endpoint("GET", "/rejected", role=None)
    def rejected(request: Any) -> None:
        raise Rejected("ECS says no")

    del ENDPOINTS[declared:]
    broken.register_blueprint(routes)
    return broken


def test_a_bug_is_logged_in_full_and_hidden_from_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, logger="slipway"):
        answer = Api(Client(broken_app()), "").get("/bug")
    assert (answer.status, answer.body["code"]) == (500, "internal_server_error")
    assert "secret detail" not in answer.text
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert vars(line)["request_id"] == answer.headers["x-request-id"]
    assert "RuntimeError: secret detail" in caplog.text


def test_an_error_of_any_view_becomes_a_problem_document() -> None:
    answer = Api(Client(broken_app()), "").get("/rejected")
    assert (answer.status, answer.body["detail"]) == (409, "ECS says no")
