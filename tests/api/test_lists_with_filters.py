"""Lists with a filter: a rare status is found in few requests."""

import pytest

from chalicelib.store import reads
from tests.support.embedded import Cloud, sha

JOBS = "/v1/cicd/jobs"


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
