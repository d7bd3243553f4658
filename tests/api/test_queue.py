"""The queue: the open builds with their places."""

from typing import Any

import pytest

from chalicelib.api import jobs
from tests.support.client import Api
from tests.support.embedded import Cloud, sha


def queue(api: Api) -> Any:
    answer = api.get("/v1/cicd/queue")
    assert answer.status == 200, answer.text
    return answer.body


def numbers(api: Api) -> list[int]:
    return [build["id"] for build in queue(api)["items"]]


def ask(cloud: Cloud, count: int, service: int | None = None) -> list[int]:
    path = f"/v1/cicd/services/{service or cloud.service_id}/build"
    answers = [cloud.api.post(path, {"git_ref": f"ref-{number}"}) for number in range(count)]
    return [int(answer.body["build_id"]) for answer in answers]


def caller_with(cloud: Cloud, **restriction: int) -> Api:
    body = {"name": "x", "role": "viewer", **restriction}
    return cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])


def test_open_builds_are_listed_in_the_order_of_their_start(cloud: Cloud) -> None:
    builds = ask(cloud, 4)
    cloud.settle()
    cloud.enter_phase(1, "BUILD")
    found = queue(cloud.api)
    assert ([build["id"] for build in found["items"]], found["total"]) == (builds, 4)
    for build in found["items"]:
        single = cloud.build(build["id"])
        assert build == {name: single[name] for name in build}
    shown = [(build["status"], build["position"]) for build in found["items"]]
    assert shown == [("building", None), ("building", None), ("queued", 1), ("queued", 2)]
    assert "1 build before it" in found["items"][3]["waiting_for"]


def test_a_build_of_a_pull_request_is_listed_as_one(cloud: Cloud) -> None:
    cloud.change_service(build_pull_requests=True)
    cloud.pull("opened", sha(1))
    (build,) = queue(cloud.api)["items"]
    assert build["pull_request"] == {"number": 2, "title": "Update the README", "withheld": []}


def test_a_service_that_has_had_no_turn_comes_before_the_next_build_of_another(
    cloud: Cloud,
) -> None:
    first = ask(cloud, 5)
    cloud.settle()
    (own,) = ask(cloud, 1, cloud.add_service("other"))
    cloud.settle()
    assert numbers(cloud.api) == [*first[:3], own, *first[3:]]


def test_a_build_that_has_ended_leaves_the_queue(cloud: Cloud) -> None:
    first, second = ask(cloud, 2)
    cloud.api.post(f"/v1/cicd/jobs/build-{first}/cancel")
    found = queue(cloud.api)
    assert ([build["id"] for build in found["items"]], found["total"]) == ([second], 1)


def test_open_builds_are_found_behind_any_number_of_ended_ones(cloud: Cloud) -> None:
    number = int(cloud.push(sha(1)).body["builds"][0]["build_id"])
    for _ in range(3):
        (ended,) = ask(cloud, 1)
        cloud.api.post(f"/v1/cicd/jobs/build-{ended}/cancel")
    (found,) = cloud.api.get("/v1/cicd/jobs?limit=3&status=queued").body["items"]
    assert found["id"] == f"build-{number}"
    assert numbers(cloud.api) == [number]


def test_a_restricted_token_sees_only_builds_of_its_own(cloud: Cloud) -> None:
    neighbour = cloud.add_service("neighbour")
    (own,), (other,) = ask(cloud, 1), ask(cloud, 1, neighbour)
    project = cloud.project
    cloud.project = int(cloud.api.post("/v1/projects", {"name": "other"}).body["id"])
    ask(cloud, 1, cloud.add_service("hidden"))
    member = caller_with(cloud, project_id=project)
    single = caller_with(cloud, service_id=cloud.service_id)
    assert (numbers(member), queue(member)["total"]) == ([own, other], 2)
    assert (numbers(single), queue(single)["total"]) == ([own], 1)
    assert queue(cloud.api)["total"] == 3


def test_a_long_queue_is_counted_beyond_what_is_listed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_KEYS", 3)
    ask(cloud, 5)
    found = queue(cloud.api)
    assert ([build["position"] for build in found["items"]], found["total"]) == ([1, 2, 3], 5)
