"""Idempotency-Key: a repeated request gets the same answer and has no second effect."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from chalice.test import Client

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.faults.injector import Injector
from tests.faults.rows import rows
from tests.support.client import Answer, Api
from tests.support.embedded import Cloud, create_image_repository, put_image
from tests.support.sdk import Killed, Trouble

DAY = 24 * 60 * 60


def post(api: Api, path: str, body: Any, key: str = "k-1") -> Answer:
    return api.post(path, body, headers={"Idempotency-Key": key})


def requests(cloud: Cloud) -> list[tuple[str, dict[str, Any]]]:
    """A path and body for each route that accepts a key."""
    cloud.release(1)
    cloud.release(2)
    create_image_repository("new")
    service = f"/v1/cicd/services/{cloud.service_id}"
    return [
        ("/v1/projects", {"name": "new"}),
        (
            f"/v1/projects/{cloud.project}/services",
            {
                "name": "new",
                "git_url": "https://github.com/Codertocat/Hello-World.git",
                "branch": "master",
                "image_repository": "new",
            },
        ),
        (f"{service}/build", {"git_ref": "master"}),
        (f"{service}/deploy", {"image_tag": f"hello@{put_image('hello', 'c')}"}),
        (f"{service}/rollback", {}),
    ]


def test_a_repeated_request_gets_the_same_answer_and_is_done_once(cloud: Cloud) -> None:
    for path, body in requests(cloud):
        first = post(cloud.api, path, body)
        assert first.status in {201, 202}, first.text
        before = {table: rows(table) for table in ("projects", "services", "jobs", "receipts")}
        again = post(cloud.api, path, body)
        assert (again.status, again.text) == (first.status, first.text), path
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert {table: rows(table) for table in before} == before


def test_a_repeated_answer_is_the_same_after_the_work_has_begun(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    first = post(cloud.api, path, {})
    cloud.settle()
    assert cloud.build(1)["status"] == "building"
    assert post(cloud.api, path, {}).text == first.text


def test_a_used_key_with_another_body_is_refused_and_does_nothing(cloud: Cloud) -> None:
    for path, body in requests(cloud):
        post(cloud.api, path, body)
        before = rows("jobs")
        name = "reason" if "image_tag" in body else next(iter(body), "reason")  # still well-formed
        answer = post(cloud.api, path, {**body, name: f"{body.get(name)}-other"})
        assert (answer.status, answer.body["code"]) == (409, "idempotency_key_reused"), path
        assert answer.body["field"] == "Idempotency-Key"
        assert rows("jobs") == before


def test_a_key_belongs_to_one_token_and_one_path(cloud: Cloud) -> None:
    other = Api(cloud.api._client, create_token("other", Role.ADMIN).secret)
    second = cloud.add_service("second")
    answers = [
        post(cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {}),
        post(other, f"/v1/cicd/services/{cloud.service_id}/build", {}),
        post(cloud.api, f"/v1/cicd/services/{second}/build", {}),
        post(cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {}, key="k-2"),
    ]
    assert [answer.body["build_id"] for answer in answers] == [1, 2, 3, 4]


def test_a_refused_request_does_not_use_up_its_key(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/deploy"
    assert post(cloud.api, path, {"image_tag": "hello:none"}).status == 404
    digest = put_image("hello", "a")
    assert post(cloud.api, path, {"image_tag": f"hello@{digest}"}).status == 202


def test_a_key_expires_after_a_day_even_if_its_row_still_exists(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    post(cloud.api, path, {})
    cloud.advance(DAY - 1)
    assert post(cloud.api, path, {}).body["build_id"] == 1
    cloud.advance(1)
    assert post(cloud.api, path, {}).body["build_id"] == 2
    assert post(cloud.api, path, {}).body["build_id"] == 2


def test_a_used_key_does_not_let_a_lower_role_in(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    post(cloud.api, path, {})
    viewer = Api(cloud.api._client, create_token("viewer", Role.VIEWER).secret)
    assert post(viewer, path, {}).status == 403


def test_a_lost_answer_of_dynamodb_is_recovered_in_the_same_request(
    cloud: Cloud, trouble: Trouble
) -> None:
    trouble.lose_answers("dynamodb.TransactWriteItems")
    answer = post(cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {})
    assert (answer.status, answer.body["build_id"]) == (202, 1)
    assert list(rows("jobs")) == ["build-1"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_request_is_done_once_when_it_is_repeated(
    cloud: Cloud, trouble: Trouble, moment: str
) -> None:
    kill = trouble.kill_before if moment == "before" else trouble.kill_after
    kill("dynamodb.TransactWriteItems")
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    with pytest.raises(Killed):
        post(cloud.api, path, {})
    assert post(cloud.api, path, {}).status == 202
    assert len(rows("jobs")) == 1


@pytest.mark.parametrize("kind", ["build", "project"])
def test_concurrent_requests_with_one_key_work_once_and_answer_alike(
    cloud: Cloud, kind: str
) -> None:
    build = f"/v1/cicd/services/{cloud.service_id}/build"
    path, body = (build, {}) if kind == "build" else ("/v1/projects", {"name": "new"})

    def send(_: int) -> Answer:
        return post(Api(Client(cloud.app), cloud.api.token), path, body)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(8)))
    assert len({answer.text for answer in answers}) == 1, [answer.text for answer in answers]
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count(None) == 1
    assert len(rows("jobs")) == (1 if kind == "build" else 0)
    assert len(rows("projects")) == (1 if kind == "build" else 2)


def overtaken(faults: Injector, request: Callable[[], Answer]) -> tuple[Answer, Answer, int]:
    """The answers of a request and of a repeat that overtakes it, and the tries of the first."""
    faster: list[Answer] = []

    def overtake(number: int, name: str) -> None:
        if name == "dynamodb.TransactWriteItems" and not faster:
            faster.append(request())

    faults.reset()
    faults.before = overtake
    slower = request()
    return slower, faster[0], faults.names.count("dynamodb.TransactWriteItems")


def test_a_request_overtaken_by_its_repeat_gets_the_same_answer_at_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = requests(cloud)
    faults = Injector(monkeypatch)
    for path, body in sent:
        slower, faster, tries = overtaken(faults, partial(post, cloud.api, path, body))
        assert slower.headers["idempotency-replayed"] == "true", slower.text
        assert (slower.status, slower.text, tries) == (faster.status, faster.text, 1)


def test_a_request_with_an_expired_key_overtaken_by_its_repeat_gets_the_same_answer(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = partial(post, cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {})
    request()
    cloud.advance(DAY)
    slower, faster, tries = overtaken(Injector(monkeypatch), request)
    assert (slower.body["build_id"], tries) == (faster.body["build_id"], 1)


def test_a_lost_answer_of_dynamodb_needs_no_key(cloud: Cloud, trouble: Trouble) -> None:
    trouble.lose_answers("dynamodb.TransactWriteItems", times=1)
    answer = cloud.api.post(f"/v1/cicd/services/{cloud.service_id}/build", {})
    assert (answer.status, list(rows("jobs"))) == (202, ["build-1"])
