"""Lists of open jobs: they are found behind any number of jobs that have ended since."""

from typing import Any

import pytest

from chalicelib.store import due, reads
from tests.support.client import Api
from tests.support.embedded import Cloud
from tests.support.sdk import Calls

JOBS = "/v1/cicd/jobs"


@pytest.fixture(autouse=True)
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search ends after one row, and not after a thousand."""
    monkeypatch.setattr(reads, "_SEARCHED_PAGES", 1)
    monkeypatch.setattr("chalicelib.store.jobs.MOST_KEYS", 1)


@pytest.fixture
def open_jobs(cloud: Cloud) -> Cloud:
    """Two services, each with a deployment that runs and one that waits, and with a build that runs
    and one that is queued. After them, jobs of both services have ended.
    """
    first, other = cloud.service_id, cloud.add_service("other")
    for service in (first, other):
        cloud.service_id = service
        (build,) = ask(cloud, 1)
        cloud.settle()
        cloud.finish_build(build)
        for _ in range(3):
            cloud.deploy_build(build)
    cloud.settle()
    for service in (first, other):
        cloud.service_id = service
        (runs,) = ask(cloud, 1)
        cloud.settle()
        cloud.enter_phase(runs, "BUILD")
    for service in (first, other):
        cloud.service_id = service
        _, *ended = ask(cloud, 4)
        for number in ended:
            assert cloud.api.post(f"{JOBS}/build-{number}/cancel").status == 202
    cloud.service_id = first
    cloud.advance(1)
    return cloud


def ask(cloud: Cloud, count: int) -> list[int]:
    return [cloud.ask_for_build(git_ref=f"ref-{number}") for number in range(count)]


def walk(api: Api, path: str, cursor: str | None = None) -> list[list[Any]]:
    """The ids on each page, from a cursor to the last page."""
    found = []
    while True:
        body = api.get(path if cursor is None else f"{path}&cursor={cursor}").body
        found.append([item["id"] for item in body["items"]])
        cursor = body["next_cursor"]
        if cursor is None:
            return found


def holder(cloud: Cloud, **restriction: int) -> Api:
    body = {"name": "x", "role": "viewer", **restriction}
    return cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])


@pytest.fixture
def lists(open_jobs: Cloud) -> dict[str, list[Any]]:
    """All open jobs, newest first: as job ids by status, and of both services."""
    found: dict[str, list[Any]] = {}
    for item in open_jobs.api.get(f"{JOBS}?limit=100").body["items"]:
        found.setdefault(item["status"], []).append(item)
    return found


def ids(jobs: list[Any], kind: str = "", **wanted: int) -> list[str]:
    return [
        job["id"]
        for job in jobs
        if job["id"].startswith(kind) and all(job[name] == each for name, each in wanted.items())
    ]


def pages(found: list[Any], size: int) -> list[list[Any]]:
    return [found[first : first + size] for first in range(0, len(found), size)]


@pytest.mark.parametrize("status", ["queued", "running"])
@pytest.mark.parametrize("kind", ["", "build", "deploy"])
def test_open_jobs_are_in_full_pages(
    open_jobs: Cloud, lists: dict[str, list[Any]], kind: str, status: str
) -> None:
    wanted = ids(lists[status], kind)
    assert len(wanted) == (2 if kind else 4)
    of_type = f"&type={kind}" if kind else ""
    for size in (1, 3, 20):
        path = f"{JOBS}?limit={size}&status={status}{of_type}"
        assert walk(open_jobs.api, path) == pages(wanted, size)


def test_open_jobs_of_a_service_are_in_full_pages(open_jobs: Cloud) -> None:
    base = f"/v1/cicd/services/{open_jobs.service_id}"
    assert walk(open_jobs.api, f"{base}/builds?limit=1&status=building") == [[3]]
    assert walk(open_jobs.api, f"{base}/builds?limit=1&status=queued") == [[5]]
    assert walk(open_jobs.api, f"{base}/deployments?limit=1&status=deploying") == [[1]]
    assert walk(open_jobs.api, f"{base}/deployments?limit=1&status=queued") == [[3]]
    ask(open_jobs, 2)
    assert walk(open_jobs.api, f"{base}/builds?limit=2&status=queued") == [[14, 13], [5]]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_restricted_token_sees_only_its_open_jobs(
    open_jobs: Cloud, lists: dict[str, list[Any]], status: str
) -> None:
    service, project = open_jobs.service_id, open_jobs.project
    other = int(open_jobs.api.post("/v1/projects", {"name": "other"}).body["id"])
    path = f"{JOBS}?limit=1&status={status}"
    member = holder(open_jobs, project_id=project)
    assert walk(member, path) == pages(ids(lists[status]), 1)
    own = holder(open_jobs, project_id=project, service_id=service)
    assert walk(own, path) == pages(ids(lists[status], service_id=service), 1)
    assert walk(holder(open_jobs, project_id=other), path) == [[]]


def test_a_job_that_has_ended_leaves_the_list_between_two_pages(open_jobs: Cloud) -> None:
    path = f"{JOBS}?limit=1&type=deploy&status=queued"
    first = open_jobs.api.get(path).body
    (newest,) = first["items"]
    assert open_jobs.api.post(f"{JOBS}/{newest['id']}/cancel").status == 202
    (rest,) = open_jobs.api.get(f"{path}&cursor={first['next_cursor']}").body["items"]
    assert (rest["id"], walk(open_jobs.api, path)) == ("deploy-3", [["deploy-3"]])


def test_no_history_is_read_for_open_jobs(open_jobs: Cloud, calls: Calls) -> None:
    calls.clear()
    open_jobs.api.get(f"{JOBS}?status=running")
    assert [each["IndexName"] for each in calls.to("dynamodb.Query")] == ["due", "due-ids"]
    calls.clear()
    open_jobs.api.get(f"/v1/cicd/services/{open_jobs.service_id}/builds?status=queued")
    assert calls.to("dynamodb.Query") == []


@pytest.mark.parametrize("kind", ["", "build", "deploy"])
def test_very_many_open_jobs_are_searched(
    open_jobs: Cloud, lists: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Page by page, also with a cursor of a page that an index has made."""
    of_type = f"&type={kind}" if kind else ""
    path = f"{JOBS}?limit=1&status=running{of_type}"
    first = open_jobs.api.get(path).body
    monkeypatch.setattr(due, "_MAX_OPEN", 1)
    found = walk(open_jobs.api, path)
    shown = [job_id for page in found for job_id in page]
    assert shown == ids(lists["running"], kind)
    assert len(found) > len(shown)
    rest = walk(open_jobs.api, path, first["next_cursor"])
    assert [job_id for page in rest for job_id in page] == shown[1:]
