"""Lists, as whoever may see but a part sees them: whatever others have leaves no trace."""

import json
from typing import Any

import pytest

from chalicelib.domain.refs import Branch
from chalicelib.pipeline.commands.followers import MAX_FOLLOWERS, MAX_FOLLOWERS_OF_ALL_BRANCHES
from chalicelib.store.receipts import list_deliveries
from tests.support.builders import delivery_headers, push_payload
from tests.support.client import Api
from tests.support.embedded import MINUTE, Cloud, add_followers, keep_secret, sha
from tests.support.fields import read
from tests.support.sdk import Calls, record_calls

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
    assert seen(service_id=stranger) == ("started", [(stranger, 2)])


def test_thirty_services_of_thirty_projects_all_find_a_delivery_in_their_list(
    cloud: Cloud, calls: Calls
) -> None:
    projects = many_followers(cloud)
    cloud.push(sha(1), delivery="d-1")
    writes = [len(call["TransactItems"]) for call in calls.to("dynamodb.TransactWriteItems")]
    assert max(writes) <= 100
    for number in projects:
        assert walk(holder(cloud, project_id=number), DELIVERIES) == [["d-1"]]


def test_everybody_who_follows_a_repository_finds_a_delivery_in_their_list(cloud: Cloud) -> None:
    """A transaction has room for a hundred; these are twice as many."""
    others = range(900, 999)
    add_followers(others, "other")
    cloud.push(sha(1), delivery="d-1")
    audiences = [f"service-{number}" for number in (*others, cloud.service_id)]
    audiences += [f"project-{number}" for number in (*others, cloud.project)]
    for audience in audiences:
        (row,) = list_deliveries(audience, limit=10, before=None).rows
        assert row.outcome["delivery"] == "d-1", audience


def test_as_many_as_may_follow_a_repository_have_room_in_a_row(cloud: Cloud) -> None:
    """Of 400 KB, whatever their branches are called ("Constraints in Amazon DynamoDB")."""
    branch, secret = "\N{ROCKET}" * 200, "secretsmanager:slipway/" + "x" * 477
    assert read(Branch, branch, "branch") == branch
    add_followers(range(900, 899 + MAX_FOLLOWERS_OF_ALL_BRANCHES), branch, secret)
    assert cloud.push(sha(1), delivery="d-1").status == 202
    services = cloud.api.get(f"{DELIVERIES}/d-1").body["services"]
    assert len(services) == MAX_FOLLOWERS_OF_ALL_BRANCHES


def test_a_delivery_that_comes_again_keeps_what_it_had_meant(cloud: Cloud) -> None:
    """To a service that has left since: the build is theirs, and so is where it came from."""
    mine, first = cloud.project, cloud.service_id
    cloud.project = theirs = another_project(cloud)
    cloud.add_service("stays")
    for number in (1, 2):
        cloud.push(sha(number), delivery=f"d-{number}")
    caller = holder(cloud, project_id=mine)
    before = [caller.get(f"{DELIVERIES}/d-{number}").body for number in (1, 2)]
    cloud.settle()
    for number in (1, 3):
        assert cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel").status in {200, 202}
    cloud.settle()
    cloud.advance(MINUTE)
    cloud.settle()
    assert cloud.api.delete(f"/v1/services/{first}").status == 204
    for number in (1, 2):
        assert cloud.push(sha(number), delivery=f"d-{number}").status == 200
    assert walk(caller, DELIVERIES) == [["d-2", "d-1"]]
    for number, was in zip((1, 2), before, strict=True):
        now = caller.get(f"{DELIVERIES}/d-{number}").body
        assert (now["outcome"], now["services"]) == (was["outcome"], was["services"])
    assert walk(holder(cloud, project_id=theirs), DELIVERIES) == [["d-2", "d-1"]]


def test_a_team_with_a_secret_of_its_own_finds_what_that_has_started(cloud: Cloud) -> None:
    reference = keep_secret("shared")
    cloud.change_service(webhook_secret=reference)
    cloud.push(sha(1), delivery="d-1", secret="shared")
    cloud.project = theirs = another_project(cloud)
    late = cloud.add_service("late", webhook_secret=reference)
    answer = cloud.push(sha(1), delivery="d-1", secret="shared")
    assert [build["service_id"] for build in answer.body["builds"]] == [late]
    for restriction in ({"project_id": theirs}, {"service_id": late}):
        caller = holder(cloud, **restriction)
        assert walk(caller, DELIVERIES) == [["d-1"]]
        assert caller.get(f"{DELIVERIES}/d-1").body["services"][0]["build_id"] == 2


def test_a_secret_of_one_team_tells_nothing_of_others_and_leaves_nothing_with_them(
    cloud: Cloud,
) -> None:
    """Neither by the answer, nor in their records, nor by an id that they know."""
    reference = keep_secret("shared")
    mine = cloud.project
    cloud.push(sha(1), delivery="d-1")
    cloud.change_service(branch="left")
    neighbour = holder(cloud, project_id=mine)
    record = neighbour.get(f"{DELIVERIES}/d-1").body
    cloud.project = theirs = another_project(cloud)
    own = cloud.add_service("own", webhook_secret=reference)

    answer = cloud.push(sha(1), delivery="d-2", secret="shared").body
    assert [build["service_id"] for build in answer["builds"]] == [own]
    again = cloud.push(sha(1), delivery="d-2", secret="shared").body
    assert (again["duplicate"], [each["service_id"] for each in again["builds"]]) == (True, [own])
    told = cloud.push(sha(1), branch="nobodys", delivery="d-3", secret="shared").body["ignored"]
    assert told == cloud.push(sha(1), branch="left", delivery="d-4", secret="shared").body[
        "ignored"
    ].replace("left", "nobodys")

    forged = json.dumps(push_payload(after=sha(5))).encode()
    headers = delivery_headers(forged, delivery="d-1", secret="shared")
    assert cloud.api.post("/v1/webhooks/github", raw=forged, headers=headers).status < 300
    assert neighbour.get(f"{DELIVERIES}/d-1").body == record
    assert walk(neighbour, DELIVERIES) == [["d-1"]]
    viewer = holder(cloud, project_id=theirs)
    assert walk(viewer, DELIVERIES) == [["d-1", "d-4"], ["d-3", "d-2"]]
    assert viewer.get(f"{DELIVERIES}/d-1").body["sha"] == sha(5)
    assert cloud.api.get(f"{DELIVERIES}/d-1").body["sha"] == sha(1)


def test_a_secret_of_one_service_rewrites_nothing_of_its_neighbours(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.add_service("neighbour", branch="develop", webhook_secret=keep_secret("shared"))
    forged = json.dumps(push_payload(after=sha(5))).encode()
    headers = delivery_headers(forged, delivery="d-1", secret="shared")
    assert cloud.api.post("/v1/webhooks/github", raw=forged, headers=headers).status < 300
    for restriction in ({}, {"project_id": cloud.project}, {"service_id": cloud.service_id}):
        record = holder(cloud, **restriction).get(f"{DELIVERIES}/d-1").body
        assert record["sha"] == sha(1)


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
