"""The list of jobs: builds and deployments, running and ended."""

from typing import Any

from tests.support.embedded import Cloud, sha


def job_ids(cloud: Cloud, query: str = "") -> list[str]:
    return [job["id"] for job in page(cloud, query)["items"]]


def page(cloud: Cloud, query: str = "") -> Any:
    answer = cloud.api.get(f"/v1/cicd/jobs{query}")
    assert answer.status == 200, answer.text
    return answer.body


def test_builds_and_deployments_are_listed_together_newest_first(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.advance(1)
    cloud.push(sha(2))
    assert job_ids(cloud) == ["build-2", "deploy-1", "build-1"]
    assert page(cloud)["items"][1] == cloud.job("deploy-1")


def test_jobs_of_the_same_second_are_each_on_exactly_one_page(cloud: Cloud) -> None:
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
    assert job_ids(cloud, "?type=deploy") == ["deploy-1"]
    assert job_ids(cloud, "?status=queued") == ["build-2"]
    assert job_ids(cloud, "?type=deploy&status=queued") == []


def test_an_unknown_type_or_status_is_refused(cloud: Cloud) -> None:
    for name, word in (("type", "test"), ("status", "building")):
        answer = cloud.api.get(f"/v1/cicd/jobs?{name}={word}")
        assert (answer.status, answer.body["field"]) == (400, name)
