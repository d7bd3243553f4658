"""Lists with a filter: a rare status is found in few requests."""

from typing import Any

import pytest

from chalicelib.domain.schema import ROW, SCHEMA
from chalicelib.store import reads
from chalicelib.store.models import Claim, Job
from infra.upgrade import upgrade
from tests.support.client import Api
from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls

JOBS = "/v1/cicd/jobs"


@pytest.fixture(params=["indexes of ends", "a search"])
def way(request: pytest.FixtureRequest, cloud: Cloud) -> None:
    """How ends are found: in indexes, or before `make deploy` has filled them, by a search."""
    if request.param == "indexes of ends":
        Claim(ROW, value=SCHEMA).save()


@pytest.fixture
def builds(cloud: Cloud) -> str:
    """The path of a list: builds 1, 4 and 7 of nine were cancelled, all others wait."""
    cloud.change_service(supersede_builds=False, max_open_builds=50)
    for number in range(1, 10):
        cloud.push(sha(number))
        cloud.advance(1)
    for number in (1, 4, 7):
        assert cloud.api.post(f"{JOBS}/build-{number}/cancel").status == 202
    return f"/v1/cicd/services/{cloud.service_id}/builds"


def walk(cloud: Cloud, path: str) -> list[list[int]]:
    """The numbers of the builds on each page, to the last page."""
    pages, cursor = [], ""
    while True:
        body = cloud.api.get(path + cursor).body
        pages.append([int(str(item["id"]).removeprefix("build-")) for item in body["items"]])
        if body["next_cursor"] is None:
            return pages
        cursor = f"&cursor={body['next_cursor']}"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("list_of", ["the service", "all"])
def test_each_page_of_a_filtered_list_is_full(cloud: Cloud, builds: str, list_of: str) -> None:
    path = builds if list_of == "the service" else JOBS
    assert walk(cloud, f"{path}?limit=2&status=cancelled") == [[7, 4], [1]]
    assert walk(cloud, f"{path}?limit=3&status=cancelled") == [[7, 4, 1]]
    assert walk(cloud, f"{path}?limit=5&status=queued") == [[9, 8, 6, 5, 3], [2]]
    assert walk(cloud, f"{path}?limit=5&status=failed") == [[]]
    assert walk(cloud, f"{JOBS}?limit=5&type=deploy") == [[]]
    assert walk(cloud, f"{JOBS}?limit=2&type=build&status=cancelled") == [[7, 4], [1]]


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_search_that_ends_early_goes_on_with_the_next_page(
    cloud: Cloud, builds: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(reads, "_SEARCHED_PAGES", 1)
    monkeypatch.setattr("chalicelib.store.jobs.MOST_KEYS", rows)
    pages = walk(cloud, f"{builds}?limit=2&status=cancelled")
    assert [number for page in pages for number in page] == [7, 4, 1]
    assert len(pages) >= 9 // rows


def ids(api: Api, path: str) -> list[str]:
    found: list[dict[str, Any]] = api.get(path).body["items"]
    return [each.get("job_id", each["id"]) for each in found]


@pytest.mark.usefixtures("way")
def test_each_end_is_in_the_lists_of_its_status(cloud: Cloud) -> None:
    """Also the end of a release that a rollback left, and that of an interrupted rollout."""
    cloud.release(1)
    cloud.release(2)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    cloud.begin_release(3)
    cloud.push(sha(4))
    cloud.settle()
    cloud.end_build(4, "FAILED")
    cloud.deploy_build(3)
    cloud.settle()
    cloud.roll_back()
    cloud.settle()
    builds = f"/v1/cicd/services/{cloud.service_id}/builds"
    deployments = f"/v1/cicd/services/{cloud.service_id}/deployments"
    jobs = {each["id"]: each["status"] for each in cloud.api.get(JOBS).body["items"]}
    for status in ("failed", "cancelled", "success"):
        wanted = [each for each in jobs if jobs[each] == status]
        assert ids(cloud.api, f"{JOBS}?status={status}") == wanted
    left = cloud.api.get(f"{deployments}?status=rolled_back").body["items"]
    assert [each["id"] for each in left] == [4, 2]
    assert [each["id"] for each in cloud.api.get(f"{builds}?status=failed").body["items"]] == [4]


def test_a_rare_end_is_found_in_one_page_by_one_query(cloud: Cloud, calls: Calls) -> None:
    Claim(ROW, value=SCHEMA).save()
    cloud.push(sha(1))
    cloud.api.post(f"{JOBS}/build-1/cancel")
    cloud.api.get(f"{JOBS}?status=failed")
    path = f"/v1/cicd/services/{cloud.service_id}/builds?status=cancelled"
    calls.clear()
    assert walk(cloud, path) == [[1]]
    indexes = [each["IndexName"] for each in calls.to("dynamodb.Query")]
    assert indexes == ["service-ends"]


def test_a_token_of_a_project_sees_only_its_ends(cloud: Cloud) -> None:
    Claim(ROW, value=SCHEMA).save()
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.api.post(f"{JOBS}/build-{number}/cancel")
    other = cloud.api.post("/v1/projects", {"name": "other"}).body["id"]
    for project, wanted in ((other, []), (cloud.project, ["build-2", "build-1"])):
        body = {"name": f"of {project}", "role": "viewer", "project_id": project}
        token = cloud.api.post("/v1/tokens", body).body["token"]
        assert ids(cloud.api.as_holder_of(token), f"{JOBS}?status=cancelled") == wanted


def test_ends_of_the_version_before_are_found_after_the_migration(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.push(sha(number))
        cloud.api.post(f"{JOBS}/build-{number}/cancel")
    names = (Job.end, Job.project_end, Job.service_end)
    Job.get("build-1").update(actions=[each.remove() for each in names])
    path = f"{JOBS}?status=cancelled"
    assert ids(cloud.api, path) == ["build-2", "build-1"]
    assert upgrade({}) == 1
    assert ids(cloud.api, path) == ["build-2", "build-1"]
    assert Job.get("build-1").service_end == f"{cloud.service_id}#build#cancelled"
