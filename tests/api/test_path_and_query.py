"""Ids in paths and parameters in queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.parameters import MAX_ID, parse_id
from chalicelib.errors import InvalidInput, NotFound
from tests.client import Api

NO_IDS = ["-1", "1e3", "%00", "a%0d%0aSet-Cookie:x", "１", "+1", "1.0", "abc", "%31", "0x1"]  # noqa: RUF001
NOBODYS_IDS = ["0", "00", "99999999999999999999999", str(MAX_ID + 1), "9" * 5000]

NUMBERED = [
    "/v1/projects/{}",
    "/v1/projects/{}/services",
    "/v1/services/{}",
    "/v1/cicd/builds/{}",
    "/v1/cicd/builds/{}/logs",
    "/v1/cicd/deployments/{}",
    "/v1/cicd/services/{}/builds",
    "/v1/cicd/services/{}/deployments",
    "/v1/cicd/services/{}/rollback",
]


@pytest.mark.parametrize("path", NUMBERED)
def test_an_id_that_is_no_number_is_400_and_one_that_nothing_has_is_404(
    api: Api, path: str
) -> None:
    for text in NO_IDS:
        answer = api.get(path.format(text))
        assert (answer.status, answer.body["code"]) == (400, "invalid_id"), text
    for text in [*NOBODYS_IDS, "4711"]:
        answer = api.get(path.format(text))
        assert (answer.status, answer.body["code"]) == (404, "not_found"), text


@pytest.mark.parametrize("name", ["build-0", "build-4711", "4711", "Build-1", "deploy-1%00", "x"])
def test_a_job_that_does_not_exist_is_404_whatever_it_is_called(api: Api, name: str) -> None:
    assert api.get(f"/v1/cicd/jobs/{name}").status == 404


BAD_QUERIES = [
    ("limit=-1", "invalid_limit"),
    ("limit=0", "invalid_limit"),
    ("limit=abc", "invalid_limit"),
    ("limit=", "invalid_limit"),
    ("limit=101", "invalid_limit"),
    ("limit=1000000", "invalid_limit"),
    ("limit=%EF%BC%91", "invalid_limit"),
    ("limit=10&limit=99999", "invalid_limit"),
    ("cursor=garbage", "invalid_cursor"),
    ("cursor=", "invalid_cursor"),
    ("cursor=MA", "invalid_cursor"),  # 0
    ("cursor=MDE", "invalid_cursor"),  # 01
    ("cursor=MQ%3D%3D", "invalid_cursor"),
    ("cursor=M%20Q", "invalid_cursor"),
    ("cursor=%F0%9F%92%A9", "invalid_cursor"),
    ("status=bogus", "invalid_status"),
    ("status=queued&status=queued", "invalid_status"),
    ("page=2", "unknown_parameter"),
]


def test_a_bad_query_is_refused(api: Api, service: int) -> None:
    for kind in ("builds", "deployments"):
        for query, code in BAD_QUERIES:
            answer = api.get(f"/v1/cicd/services/{service}/{kind}?{query}")
            assert (answer.status, answer.body["code"]) == (400, code), query
            assert answer.body["field"] == query.partition("=")[0]


def test_a_bad_query_of_a_log_is_refused(api: Api, service: int) -> None:
    api.post(f"/v1/cicd/services/{service}/build", {})
    for query in ("limit=10001", "format=html", "cursor=a%20b", "cursor=" + "a" * 300):
        answer = api.get(f"/v1/cicd/builds/1/logs?{query}")
        name = query.partition("=")[0]
        assert (answer.status, answer.body["code"]) == (400, f"invalid_{name}"), query


@given(st.text(max_size=40))
def test_any_text_in_a_path_is_an_id_or_an_error_of_ours(text: str) -> None:
    try:
        number = parse_id(text)
    except (InvalidInput, NotFound):
        return
    assert text.isascii()
    assert 0 < number <= MAX_ID
