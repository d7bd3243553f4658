"""The list of jobs: what is going on, and what went on, whatever its type."""

from typing import Any

from tests.support.embedded import Cloud, sha


def names(cloud: Cloud, query: str = "") -> list[str]:
    return [job["id"] for job in page(cloud, query)["items"]]


def page(cloud: Cloud, query: str = "") -> Any:
    answer = cloud.api.get(f"/v1/cicd/jobs{query}")
    assert answer.status == 200, answer.text
    return answer.body


def test_builds_and_deployments_are_one_history_newest_first(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(1)
    cloud.push(sha(2))
    assert names(cloud) == ["build-2", "deploy-1", "build-1"]
    assert page(cloud)["items"][1] == cloud.job("deploy-1")


def test_what_was_accepted_within_one_second_is_on_one_page_or_the_next(cloud: Cloud) -> None:
    wanted = [f"build-{cloud.ask_for_build()}" for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        found = page(cloud, f"?limit=2{cursor}")
        seen += [job["id"] for job in found["items"]]
        if found["next_cursor"] is None:
            break
        cursor = f"&cursor={found['next_cursor']}"
    assert seen == wanted[::-1]


def test_jobs_are_listed_by_type_and_status(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.push(sha(2))
    assert names(cloud, "?type=deploy") == ["deploy-1"]
    assert names(cloud, "?status=queued") == ["build-2"]
    assert names(cloud, "?type=deploy&status=queued") == []


def test_a_type_or_status_that_there_is_not_is_refused(cloud: Cloud) -> None:
    for name, word in (("type", "test"), ("status", "building")):
        answer = cloud.api.get(f"/v1/cicd/jobs?{name}={word}")
        assert (answer.status, answer.body["field"]) == (400, name)
