"""A cursor continues its own list and is refused by every other list."""

import re

import pytest
from chalice.app import Request
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.http import cursors
from chalicelib.api.http.parameters import CURSOR, LIMIT, LOG_CURSOR, MAX_ID, parse_query
from chalicelib.errors import InvalidInput
from tests.support.builders import gateway_event
from tests.support.client import Answer, Api
from tests.support.embedded import create_ecs_service

PROJECTS = cursors.name_of("/v1/projects", {})


def query(**values: str) -> Request:
    event = gateway_event("GET", "/v1/projects")
    event["multiValueQueryStringParameters"] = {name: [text] for name, text in values.items()}
    return Request(event)


@given(st.integers(1, MAX_ID))
def test_a_cursor_is_read_back_by_its_own_list_only(number: int) -> None:
    sent = query(cursor=cursors.seal(str(number), PROJECTS))
    read = parse_query(sent, (LIMIT, CURSOR), "/v1/projects")
    assert read.values == {"limit": 20, "cursor": number}
    with pytest.raises(InvalidInput):
        parse_query(sent, (LIMIT, CURSOR), "/v1/tokens")


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/v1/projects?page=2", "The parameters are cursor, limit."),
        ("/v1/projects/1?expand=all", "It has none."),
    ],
)
def test_an_unknown_parameter_is_answered_with_the_known_ones(
    api: Api, path: str, known: str
) -> None:
    answer = api.get(path)
    assert (answer.status, answer.body["code"]) == (400, "unknown_parameter")
    assert answer.body["detail"] == f"this route has no such query parameter. {known}"


@given(st.text(max_size=40))
def test_any_text_that_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_query(query(cursor=text), (CURSOR,), "/v1/projects")
    assert (refused.value.code, refused.value.field) == ("invalid_cursor", "cursor")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_forged_cursor_is_parsed_or_refused(position: str) -> None:
    for parameter in (CURSOR, LOG_CURSOR):
        try:
            read = parse_query(
                query(cursor=cursors.seal(position, PROJECTS)), (parameter,), "/v1/projects"
            )
        except InvalidInput:
            continue
        assert str(read.values["cursor"]) == (
            position.lstrip("0") if parameter is CURSOR else position
        )


@pytest.fixture
def next_cursors(api: Api, service: int, new_service: dict[str, object]) -> dict[str, str]:
    """The cursor after the first row of each kind of list, by the path and query of the list."""
    project = api.post("/v1/projects", {"name": "other"}).body["id"]
    for name in ("second", "third", "fourth"):
        create_ecs_service(name)
    api.post("/v1/projects/1/services", new_service | {"name": "second", "ecs_service": "second"})
    for name in ("third", "fourth"):
        target = {"name": name, "ecs_service": name}
        api.post(f"/v1/projects/{project}/services", new_service | target)
    for number in (1, 1, 2, 2):
        assert api.post(f"/v1/cicd/services/{number}/build", {}).status == 202
    api.post("/v1/tokens", {"name": "another", "role": "viewer"})
    lists = [
        "/v1/projects?",
        "/v1/projects/1/services?",
        "/v1/projects/2/services?",
        "/v1/cicd/services/1/builds?",
        "/v1/cicd/services/2/builds?",
        "/v1/cicd/services/1/builds?status=queued",
        "/v1/cicd/jobs?",
        "/v1/cicd/jobs?type=build",
        "/v1/tokens?",
        "/v1/audit?",
        "/v1/audit?project_id=1",
        "/v1/audit?service_id=1",
    ]
    pages = {path: api.get(f"{path}&limit=1").body for path in lists}
    return {path: page["next_cursor"] for path, page in pages.items()}


def test_a_cursor_of_another_list_is_refused(api: Api, next_cursors: dict[str, str]) -> None:
    assert all(next_cursors.values())
    for own_list, cursor in next_cursors.items():
        for path in next_cursors:
            answer = api.get(f"{path}&limit=2&cursor={cursor}")
            if path == own_list:
                assert answer.status == 200, path
            else:
                assert (answer.status, answer.body["code"]) == (400, "invalid_cursor"), (
                    own_list,
                    path,
                )
                assert answer.body["field"] == "cursor"


def next_path(answer: Answer) -> str:
    """The target of the answer's Link header."""
    link = re.fullmatch(r'<(\S+)>; rel="next"', answer.headers["link"])
    assert link is not None
    return link[1]


def test_links_walk_the_whole_list_with_the_original_query(
    api: Api, next_cursors: dict[str, str]
) -> None:
    answer = api.get("/v1/audit?service_id=1&limit=1")
    seen = answer.body["items"]
    while answer.body["next_cursor"]:
        assert answer.body["next_cursor"] in answer.headers["link"]
        answer = api.get(next_path(answer))
        assert len(answer.body["items"]) <= 1
        seen += answer.body["items"]
    assert "link" not in answer.headers
    assert seen == api.get("/v1/audit?service_id=1").body["items"]


def test_a_link_contains_the_stage_of_the_gateway(api: Api, next_cursors: dict[str, str]) -> None:
    from app import app

    event = gateway_event("GET", "/v1/projects/{project_id}/services", project_id="1")
    event["headers"] = {"authorization": f"Bearer {api.token}"}
    event["multiValueQueryStringParameters"] = {"limit": ["1"]}

    class Context:
        aws_request_id = "r-1"

    answer = app(event, Context())
    link = answer["headers"]["Link"]
    assert link.startswith("</api/v1/projects/1/services?limit=1&cursor=")


def test_a_log_refuses_the_cursor_of_another_builds_log(api: Api, service: int) -> None:
    api.post(f"/v1/cicd/services/{service}/build", {})
    api.post(f"/v1/cicd/services/{service}/build", {})
    cursor = cursors.seal("f/123/s", cursors.name_of("/v1/cicd/builds/1/logs", {}))
    assert api.get(f"/v1/cicd/builds/1/logs?cursor={cursor}").status == 200
    refused = api.get(f"/v1/cicd/builds/2/logs?cursor={cursor}")
    assert (refused.status, refused.body["code"]) == (400, "invalid_cursor")
