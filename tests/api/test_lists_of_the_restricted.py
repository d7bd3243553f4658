"""Lists, as whoever may see but a part sees them: in few reads, however much others have."""

from typing import Any

import pytest

from chalicelib.store import reads
from tests.client import Api
from tests.embedded import Cloud, sha
from tests.sdk import Calls, record_calls


def holder(cloud: Cloud, **restriction: int) -> Api:
    body = {"name": "x", "role": "viewer", **restriction}
    made = cloud.api.post("/v1/tokens", body).body
    caller = cloud.api.as_holder_of(made["token"])
    caller.get("/v1/projects")  # that a token is used is noted once an hour
    return caller


def another_project(cloud: Cloud) -> int:
    made: dict[str, Any] = cloud.api.post("/v1/projects", {"name": "theirs"}).body
    return int(made["id"])


@pytest.fixture
def calls(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return record_calls(monkeypatch)


def test_jobs_of_a_project_are_read_without_those_of_others(cloud: Cloud, calls: Calls) -> None:
    stranger = holder(cloud, project_id=another_project(cloud))
    for number in (1, 2, 3):
        cloud.push(sha(number))
    calls.clear()
    answer = stranger.get("/v1/cicd/jobs?limit=1")
    assert (answer.body["items"], answer.body["next_cursor"]) == ([], None)
    assert [query["IndexName"] for query in calls.to("dynamodb.Query")] == ["project"]
    mine = holder(cloud, project_id=cloud.project).get("/v1/cicd/jobs").body["items"]
    assert [job["id"] for job in mine] == ["build-3", "build-2", "build-1"]


def test_what_is_looked_at_has_an_end_and_the_cursor_leads_on(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbour = holder(cloud, service_id=cloud.add_service("neighbour", branch="develop"))
    cloud.push(sha(1), branch="develop")
    for number in range(2, 6):
        cloud.push(sha(number))
    monkeypatch.setattr(reads, "_AT_MOST", 2)
    seen, path = [], "/v1/cicd/jobs"
    for _ in range(4):
        page = neighbour.get(path).body
        seen.append([job["id"] for job in page["items"]])
        if page["next_cursor"] is None:
            break
        path = f"/v1/cicd/jobs?cursor={page['next_cursor']}"
    assert seen == [[], [], ["build-1"]]


def test_the_audit_of_a_project_shows_a_services_token_its_service_alone(cloud: Cloud) -> None:
    cloud.add_service("neighbour", branch="develop")
    viewer = holder(cloud, service_id=cloud.service_id)
    trail = viewer.get(f"/v1/audit?project_id={cloud.project}").body["items"]
    assert {entry["service_id"] for entry in trail} == {cloud.service_id}
