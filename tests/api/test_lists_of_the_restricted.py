"""Lists, as whoever may see but a part sees them: whatever others have leaves no trace."""

from typing import Any

import pytest

from chalicelib.pipeline.services import MAX_FOLLOWERS
from tests.client import Api
from tests.embedded import Cloud, sha
from tests.faults.rows import rows
from tests.sdk import Calls, Trouble, record_calls

DELIVERIES = "/v1/webhooks/github/deliveries"
JOBS = "/v1/cicd/jobs"


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


def walk(caller: Api, path: str) -> list[list[Any]]:
    """The ids on each page of two, followed to the last."""
    pages: list[list[Any]] = []
    cursor = None
    while not pages or cursor is not None:
        answer = caller.get(f"{path}?limit=2" + ("" if cursor is None else f"&cursor={cursor}"))
        assert answer.status == 200, answer.text
        pages.append([item["id"] for item in answer.body["items"]])
        cursor = answer.body["next_cursor"]
    return pages


def test_jobs_of_a_project_are_read_without_those_of_others(cloud: Cloud, calls: Calls) -> None:
    stranger = holder(cloud, project_id=another_project(cloud))
    for number in (1, 2, 3):
        cloud.push(sha(number))
    calls.clear()
    assert walk(stranger, JOBS) == [[]]
    assert [query["IndexName"] for query in calls.to("dynamodb.Query")] == ["project"]
    mine = holder(cloud, project_id=cloud.project)
    assert walk(mine, JOBS) == [["build-3", "build-2"], ["build-1"]]


def test_jobs_of_a_service_are_those_of_both_kinds_in_their_order(cloud: Cloud) -> None:
    neighbour = cloud.add_service("neighbour", branch="develop")
    for number in (1, 2):
        cloud.release(number)
        cloud.push(sha(10 + number), branch="develop")
        cloud.advance(1)
    assert walk(holder(cloud, service_id=neighbour), JOBS) == [["build-4", "build-2"]]
    mine = walk(holder(cloud, service_id=cloud.service_id), JOBS)
    assert mine == [["build-3", "deploy-2"], ["deploy-1", "build-1"]]
    everything = [name for page in walk(cloud.api, JOBS) for name in page]
    assert [name for page in mine for name in page] == [
        name for name in everything if name not in {"build-2", "build-4"}
    ]


def test_a_service_sees_itself_alone_among_the_services_of_its_project(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.project}/services"
    neighbour = cloud.add_service("neighbour", branch="develop")
    mine = holder(cloud, service_id=cloud.service_id)
    assert walk(mine, path) == [[cloud.service_id]]
    assert cloud.api.request("DELETE", f"/v1/services/{neighbour}").status == 204
    assert walk(cloud.api, path) == [[cloud.service_id]]
    assert walk(holder(cloud, project_id=cloud.project), path) == [[cloud.service_id]]


def test_deliveries_of_others_make_no_page_shorter_and_cost_no_read(
    cloud: Cloud, calls: Calls
) -> None:
    """Not even that others received something is to be seen."""
    neighbour = cloud.add_service("neighbour", branch="develop")
    theirs = another_project(cloud)
    mine, cloud.project = cloud.project, theirs
    stranger = cloud.add_service("stranger", git_url="https://github.com/Ada/other.git")
    for number in range(1, 6):
        cloud.push(sha(number), delivery=f"d-{number}")
        cloud.advance(1)
    pages = [["d-5", "d-4"], ["d-3", "d-2"], ["d-1"]]
    for caller in (
        holder(cloud, project_id=mine),
        holder(cloud, service_id=cloud.service_id),
        holder(cloud, service_id=neighbour),
    ):
        assert walk(caller, DELIVERIES) == pages
    for caller in (holder(cloud, project_id=theirs), holder(cloud, service_id=stranger)):
        calls.clear()
        assert walk(caller, DELIVERIES) == [[]]
        (query,) = calls.to("dynamodb.Query")
        assert query["ExpressionAttributeValues"] in (
            {":0": {"S": f"project-{theirs}"}},
            {":0": {"S": f"service-{stranger}"}},
        )


def test_a_delivery_says_what_it_meant_to_whoever_asks(cloud: Cloud) -> None:
    """The outcome, too: that others got a build of it is theirs to know."""
    mine = cloud.project
    neighbour = cloud.add_service("neighbour", branch="develop")
    cloud.project = theirs = another_project(cloud)
    stranger = cloud.add_service("stranger")
    cloud.push(sha(1), delivery="d-1")

    def seen(**restriction: int) -> tuple[str, list[tuple[int, int | None]]]:
        caller = holder(cloud, **restriction)
        (listed,) = caller.get(DELIVERIES).body["items"]
        assert caller.get(f"{DELIVERIES}/d-1").body == listed
        assert listed["reason"] is None
        verdicts = [(each["service_id"], each["build_id"]) for each in listed["services"]]
        return listed["outcome"], verdicts

    assert seen(project_id=mine) == ("started", [(cloud.service_id, 1), (neighbour, None)])
    assert seen(project_id=theirs) == ("started", [(stranger, 2)])
    assert seen(service_id=neighbour) == ("ignored", [(neighbour, None)])

    late = cloud.add_service("late")
    cloud.push(sha(1), delivery="d-1")
    assert seen(service_id=late) == ("started", [(late, 3)])
    assert seen(service_id=stranger) == ("duplicate", [(stranger, 2)])


def test_thirty_services_of_thirty_projects_all_find_a_delivery_in_their_list(
    cloud: Cloud, calls: Calls
) -> None:
    projects = many_followers(cloud)
    cloud.push(sha(1), delivery="d-1")
    writes = [len(call["TransactItems"]) for call in calls.to("dynamodb.TransactWriteItems")]
    assert max(writes) <= 100
    for number in projects:
        assert walk(holder(cloud, project_id=number), DELIVERIES) == [["d-1"]]


def test_what_is_listed_before_its_decision_is_not_shown_until_that_is_taken(
    cloud: Cloud, trouble: Trouble
) -> None:
    projects = many_followers(cloud)
    callers = [holder(cloud, project_id=number) for number in projects]
    trouble.spare("dynamodb.TransactWriteItems")
    trouble.refuse("dynamodb.TransactWriteItems", "ThrottlingException")
    assert cloud.push(sha(1), delivery="d-1").status == 503
    assert [walk(caller, DELIVERIES) for caller in callers] == [[[]]] * len(callers)
    assert rows("jobs") == {}
    assert cloud.push(sha(1), delivery="d-1").status == 202
    assert [walk(caller, DELIVERIES) for caller in callers] == [[["d-1"]]] * len(callers)


def many_followers(cloud: Cloud) -> list[int]:
    """As many services as may follow a branch, each in a project of its own."""
    projects = [cloud.project]
    for number in range(1, MAX_FOLLOWERS):
        made = cloud.api.post("/v1/projects", {"name": f"project-{number}"}).body
        cloud.project = int(made["id"])
        cloud.add_service(f"service-{number}")
        projects.append(cloud.project)
    return projects


def test_the_audit_of_a_project_shows_a_services_token_its_service_alone(cloud: Cloud) -> None:
    cloud.add_service("neighbour", branch="develop")
    viewer = holder(cloud, service_id=cloud.service_id)
    trail = viewer.get(f"/v1/audit?project_id={cloud.project}").body["items"]
    assert {entry["service_id"] for entry in trail} == {cloud.service_id}
