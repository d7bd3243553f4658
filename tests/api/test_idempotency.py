"""Idempotency-Key: what is asked again is answered again, and not done again."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chalice.test import Client

from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from tests.faults.rows import rows
from tests.support.client import Answer, Api
from tests.support.embedded import Cloud, put_image
from tests.support.sdk import Killed, Trouble

DAY = 24 * 60 * 60


def ask(api: Api, path: str, body: Any, key: str = "k-1") -> Answer:
    return api.post(path, body, headers={"Idempotency-Key": key})


def requests(cloud: Cloud) -> list[tuple[str, dict[str, Any]]]:
    """One of each kind that takes a key."""
    cloud.release(1)
    cloud.release(2)
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


def test_each_request_is_answered_as_before_and_done_once(cloud: Cloud) -> None:
    for path, body in requests(cloud):
        first = ask(cloud.api, path, body)
        assert first.status in {201, 202}, first.text
        before = {table: rows(table) for table in ("projects", "services", "jobs", "receipts")}
        again = ask(cloud.api, path, body)
        assert (again.status, again.text) == (first.status, first.text), path
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert {table: rows(table) for table in before} == before


def test_the_answer_stays_the_same_however_far_the_work_has_come(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    first = ask(cloud.api, path, {})
    cloud.settle()
    assert cloud.build(1)["status"] == "building"
    assert ask(cloud.api, path, {}).text == first.text


def test_another_body_under_one_key_is_refused_and_does_nothing(cloud: Cloud) -> None:
    for path, body in requests(cloud):
        ask(cloud.api, path, body)
        before = rows("jobs")
        name = "reason" if "image_tag" in body else next(iter(body), "reason")  # still well-formed
        answer = ask(cloud.api, path, {**body, name: f"{body.get(name)}-other"})
        assert (answer.status, answer.body["code"]) == (409, "idempotency_key_reused"), path
        assert answer.body["field"] == "Idempotency-Key"
        assert rows("jobs") == before


def test_a_key_is_its_callers_and_its_routes_own(cloud: Cloud) -> None:
    other = Api(cloud.api._client, create_token("other", Role.ADMIN).secret)
    second = cloud.add_service("second")
    asked = [
        ask(cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {}),
        ask(other, f"/v1/cicd/services/{cloud.service_id}/build", {}),
        ask(cloud.api, f"/v1/cicd/services/{second}/build", {}),
        ask(cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {}, key="k-2"),
    ]
    assert [answer.body["build_id"] for answer in asked] == [1, 2, 3, 4]


def test_a_refused_request_uses_up_no_key(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/deploy"
    assert ask(cloud.api, path, {"image_tag": "hello:none"}).status == 404
    digest = put_image("hello", "a")
    assert ask(cloud.api, path, {"image_tag": f"hello@{digest}"}).status == 202


def test_a_key_is_forgotten_after_a_day_though_its_row_is_still_there(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    ask(cloud.api, path, {})
    cloud.advance(DAY - 1)
    assert ask(cloud.api, path, {}).body["build_id"] == 1
    cloud.advance(1)
    assert ask(cloud.api, path, {}).body["build_id"] == 2
    assert ask(cloud.api, path, {}).body["build_id"] == 2


def test_a_role_that_is_too_low_is_told_nothing_of_what_a_key_did(cloud: Cloud) -> None:
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    ask(cloud.api, path, {})
    viewer = Api(cloud.api._client, create_token("viewer", Role.VIEWER).secret)
    assert ask(viewer, path, {}).status == 403


def test_a_lost_answer_of_the_database_is_found_out_at_once(cloud: Cloud, trouble: Trouble) -> None:
    trouble.lose_answers("dynamodb.TransactWriteItems")
    answer = ask(cloud.api, f"/v1/cicd/services/{cloud.service_id}/build", {})
    assert (answer.status, answer.body["build_id"]) == (202, 1)
    assert list(rows("jobs")) == ["build-1"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_request_that_died_is_done_once_when_it_is_sent_again(
    cloud: Cloud, trouble: Trouble, moment: str
) -> None:
    kill = trouble.kill_before if moment == "before" else trouble.kill_after
    kill("dynamodb.TransactWriteItems")
    path = f"/v1/cicd/services/{cloud.service_id}/build"
    with pytest.raises(Killed):
        ask(cloud.api, path, {})
    assert ask(cloud.api, path, {}).status == 202
    assert len(rows("jobs")) == 1


@pytest.mark.parametrize("what", ["build", "project"])
def test_of_many_at_once_one_does_the_work_and_all_answer_alike(cloud: Cloud, what: str) -> None:
    build = f"/v1/cicd/services/{cloud.service_id}/build"
    path, body = (build, {}) if what == "build" else ("/v1/projects", {"name": "new"})

    def send(_: int) -> Answer:
        return ask(Api(Client(cloud.app), cloud.api.token), path, body)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(8)))
    assert len({answer.text for answer in answers}) == 1, [answer.text for answer in answers]
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count(None) == 1
    assert len(rows("jobs")) == (1 if what == "build" else 0)
    assert len(rows("projects")) == (1 if what == "build" else 2)


def test_a_key_is_known_however_the_path_is_spelt(cloud: Cloud) -> None:
    headers: dict[str, str | None] = {"Idempotency-Key": "k"}
    answers = [
        cloud.api.post(f"/v1/cicd/services/{spelt}/build", {}, headers=headers).body["build_id"]
        for spelt in ("1", "01")
    ]
    assert answers == [1, 1]
