"""Lists for restricted tokens: hidden rows leave no trace."""

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


def caller_with(cloud: Cloud, **restriction: int) -> Api:
    """A caller with a new viewer token, restricted to a project or a service."""
    body = {"name": "x", "role": "viewer", **restriction}
    made = cloud.api.post("/v1/tokens", body).body
    caller = cloud.api.as_holder_of(made["token"])
    caller.get("/v1/projects")  # records the use of the token, so that later requests do not
    return caller


def another_project(cloud: Cloud) -> int:
    made: dict[str, Any] = cloud.api.post("/v1/projects", {"name": "other"}).body
    return int(made["id"])


@pytest.fixture
def calls(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return record_calls(monkeypatch)


def walk(caller: Api, path: str) -> list[list[Any]]:
    """The ids on each page, with two rows per page, to the last page."""
    pages: list[list[Any]] = []
    cursor = None
    while not pages or cursor is not None:
        answer = caller.get(f"{path}?limit=2" + ("" if cursor is None else f"&cursor={cursor}"))
        assert answer.status == 200, answer.text
        pages.append([item["id"] for item in answer.body["items"]])
        cursor = answer.body["next_cursor"]
    return pages


def test_jobs_of_a_project_are_read_without_other_projects(cloud: Cloud, calls: Calls) -> None:
    outsider = caller_with(cloud, project_id=another_project(cloud))
    for number in (1, 2, 3):
        cloud.push(sha(number))
    calls.clear()
    assert walk(outsider, JOBS) == [[]]
    assert [query["IndexName"] for query in calls.to("dynamodb.Query")] == ["project-ids"]
    member = caller_with(cloud, project_id=cloud.project)
    assert walk(member, JOBS) == [["build-3", "build-2"], ["build-1"]]


def test_jobs_of_a_service_are_its_builds_and_deployments_in_order(cloud: Cloud) -> None:
    neighbour = cloud.add_service("neighbour", branch="develop")
    for number in (1, 2):
        cloud.release(number)
        cloud.push(sha(10 + number), branch="develop")
        cloud.advance(1)
    assert walk(caller_with(cloud, service_id=neighbour), JOBS) == [["build-4", "build-2"]]
    pages = walk(caller_with(cloud, service_id=cloud.service_id), JOBS)
    assert pages == [["build-3", "deploy-2"], ["deploy-1", "build-1"]]
    all_jobs = [job_id for page in walk(cloud.api, JOBS) for job_id in page]
    assert [job_id for page in pages for job_id in page] == [
        job_id for job_id in all_jobs if job_id not in {"build-2", "build-4"}
    ]


def test_a_token_of_a_service_lists_only_that_service(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.project}/services"
    neighbour = cloud.add_service("neighbour", branch="develop")
    caller = caller_with(cloud, service_id=cloud.service_id)
    assert walk(caller, path) == [[cloud.service_id]]
    assert cloud.api.request("DELETE", f"/v1/services/{neighbour}").status == 204
    assert walk(cloud.api, path) == [[cloud.service_id]]
    assert walk(caller_with(cloud, project_id=cloud.project), path) == [[cloud.service_id]]


def test_hidden_deliveries_shorten_no_page_and_cost_no_read(cloud: Cloud, calls: Calls) -> None:
    """A shorter page would reveal that other services received a delivery."""
    neighbour = cloud.add_service("neighbour", branch="develop")
    other_project = another_project(cloud)
    project, cloud.project = cloud.project, other_project
    unrelated = cloud.add_service("unrelated", git_url="https://github.com/Ada/other.git")
    for number in range(1, 6):
        cloud.push(sha(number), delivery=f"d-{number}")
        cloud.advance(1)
    pages = [["d-5", "d-4"], ["d-3", "d-2"], ["d-1"]]
    for caller in (
        caller_with(cloud, project_id=project),
        caller_with(cloud, service_id=cloud.service_id),
        caller_with(cloud, service_id=neighbour),
    ):
        assert walk(caller, DELIVERIES) == pages
    for caller in (
        caller_with(cloud, project_id=other_project),
        caller_with(cloud, service_id=unrelated),
    ):
        calls.clear()
        assert walk(caller, DELIVERIES) == [[]]
        (query,) = calls.to("dynamodb.Query")
        assert query["ExpressionAttributeValues"] in (
            {":0": {"S": f"project-{other_project}"}},
            {":0": {"S": f"service-{unrelated}"}},
        )


def test_a_delivery_shows_only_the_outcome_for_visible_services(cloud: Cloud) -> None:
    """The outcome, too, depends on the caller: it does not reveal builds of other services."""
    project = cloud.project
    neighbour = cloud.add_service("neighbour", branch="develop")
    cloud.project = other_project = another_project(cloud)
    unrelated = cloud.add_service("unrelated")
    cloud.push(sha(1), delivery="d-1")

    def seen(**restriction: int) -> tuple[str, list[tuple[int, int | None]]]:
        caller = caller_with(cloud, **restriction)
        (listed,) = caller.get(DELIVERIES).body["items"]
        assert caller.get(f"{DELIVERIES}/d-1").body == listed
        assert listed["reason"] is None
        verdicts = [(each["service_id"], each["build_id"]) for each in listed["services"]]
        return listed["outcome"], verdicts

    assert seen(project_id=project) == ("started", [(cloud.service_id, 1), (neighbour, None)])
    assert seen(project_id=other_project) == ("started", [(unrelated, 2)])
    assert seen(service_id=neighbour) == ("ignored", [(neighbour, None)])

    late = cloud.add_service("late")
    cloud.push(sha(1), delivery="d-1")
    assert seen(service_id=late) == ("started", [(late, 3)])
    assert seen(service_id=unrelated) == ("started", [(unrelated, 2)])


def test_thirty_projects_all_find_a_delivery_in_their_lists(cloud: Cloud, calls: Calls) -> None:
    projects = many_followers(cloud)
    cloud.push(sha(1), delivery="d-1")
    writes = [len(call["TransactItems"]) for call in calls.to("dynamodb.TransactWriteItems")]
    assert max(writes) <= 100
    for number in projects:
        assert walk(caller_with(cloud, project_id=number), DELIVERIES) == [["d-1"]]


def test_all_followers_of_a_repository_find_a_delivery_in_their_lists(cloud: Cloud) -> None:
    """The record needs 200 rows, and a transaction has room for 100 writes."""
    others = range(900, 999)
    add_followers(others, "other")
    cloud.push(sha(1), delivery="d-1")
    audiences = [f"service-{number}" for number in (*others, cloud.service_id)]
    audiences += [f"project-{number}" for number in (*others, cloud.project)]
    for audience in audiences:
        (row,) = list_deliveries(audience, limit=10, before=None).rows
        assert row.outcome["delivery"] == "d-1", audience


def test_the_largest_number_of_followers_fits_into_one_row(cloud: Cloud) -> None:
    """A row has room for 400 KB ("Constraints in Amazon DynamoDB"), even with the longest names."""
    branch, secret = "\N{ROCKET}" * 200, "secretsmanager:slipway/" + "x" * 477
    assert read(Branch, branch, "branch") == branch
    add_followers(range(900, 899 + MAX_FOLLOWERS_OF_ALL_BRANCHES), branch, secret)
    assert cloud.push(sha(1), delivery="d-1").status == 202
    services = cloud.api.get(f"{DELIVERIES}/d-1").body["services"]
    assert len(services) == MAX_FOLLOWERS_OF_ALL_BRANCHES


def test_a_redelivery_keeps_the_outcome_for_a_deleted_service(cloud: Cloud) -> None:
    """The project of a deleted service still sees its build and the delivery that started it."""
    project, first = cloud.project, cloud.service_id
    cloud.project = other_project = another_project(cloud)
    cloud.add_service("stays")
    cloud.change_service(supersede_builds=False)
    for number in (1, 2):
        cloud.push(sha(number), delivery=f"d-{number}")
    caller = caller_with(cloud, project_id=project)
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
    assert walk(caller_with(cloud, project_id=other_project), DELIVERIES) == [["d-2", "d-1"]]


def test_a_team_with_its_own_secret_finds_its_deliveries(cloud: Cloud) -> None:
    reference = keep_secret("the-shared-secret")
    cloud.change_service(webhook_secret=reference)
    cloud.push(sha(1), delivery="d-1", secret="the-shared-secret")
    cloud.project = other_project = another_project(cloud)
    late = cloud.add_service("late", webhook_secret=reference)
    answer = cloud.push(sha(1), delivery="d-1", secret="the-shared-secret")
    assert [build["service_id"] for build in answer.body["builds"]] == [late]
    for restriction in ({"project_id": other_project}, {"service_id": late}):
        caller = caller_with(cloud, **restriction)
        assert walk(caller, DELIVERIES) == [["d-1"]]
        assert caller.get(f"{DELIVERIES}/d-1").body["services"][0]["build_id"] == 2


def test_a_teams_secret_neither_reveals_nor_changes_data_of_other_teams(cloud: Cloud) -> None:
    """This holds for the answer, the record, and a delivery id that the other team has seen."""
    reference = keep_secret("the-shared-secret")
    project = cloud.project
    cloud.push(sha(1), delivery="d-1")
    cloud.change_service(branch="left")
    neighbour = caller_with(cloud, project_id=project)
    record = neighbour.get(f"{DELIVERIES}/d-1").body
    cloud.project = other_project = another_project(cloud)
    own = cloud.add_service("own", webhook_secret=reference)

    answer = cloud.push(sha(1), delivery="d-2", secret="the-shared-secret").body
    assert [build["service_id"] for build in answer["builds"]] == [own]
    again = cloud.push(sha(1), delivery="d-2", secret="the-shared-secret").body
    assert (again["duplicate"], [each["service_id"] for each in again["builds"]]) == (True, [own])
    unused = cloud.push(sha(1), branch="unused", delivery="d-3", secret="the-shared-secret").body[
        "ignored"
    ]
    followed = cloud.push(sha(1), branch="left", delivery="d-4", secret="the-shared-secret").body[
        "ignored"
    ]
    assert unused == followed.replace("left", "unused")

    forged = json.dumps(push_payload(after=sha(5))).encode()
    headers = delivery_headers(forged, delivery="d-1", secret="the-shared-secret")
    assert cloud.api.post("/v1/webhooks/github", raw=forged, headers=headers).status < 300
    assert neighbour.get(f"{DELIVERIES}/d-1").body == record
    assert walk(neighbour, DELIVERIES) == [["d-1"]]
    viewer = caller_with(cloud, project_id=other_project)
    assert walk(viewer, DELIVERIES) == [["d-1", "d-4"], ["d-3", "d-2"]]
    assert viewer.get(f"{DELIVERIES}/d-1").body["sha"] == sha(5)
    assert cloud.api.get(f"{DELIVERIES}/d-1").body["sha"] == sha(1)


def test_a_services_secret_cannot_rewrite_a_record_of_its_neighbours(cloud: Cloud) -> None:
    cloud.push(sha(1), delivery="d-1")
    cloud.add_service(
        "neighbour", branch="develop", webhook_secret=keep_secret("the-shared-secret")
    )
    forged = json.dumps(push_payload(after=sha(5))).encode()
    headers = delivery_headers(forged, delivery="d-1", secret="the-shared-secret")
    assert cloud.api.post("/v1/webhooks/github", raw=forged, headers=headers).status < 300
    for restriction in ({}, {"project_id": cloud.project}, {"service_id": cloud.service_id}):
        record = caller_with(cloud, **restriction).get(f"{DELIVERIES}/d-1").body
        assert record["sha"] == sha(1)


def many_followers(cloud: Cloud) -> list[int]:
    """Create as many services as may follow a branch, each in its own project; the projects."""
    projects = [cloud.project]
    for number in range(1, MAX_FOLLOWERS):
        made = cloud.api.post("/v1/projects", {"name": f"project-{number}"}).body
        cloud.project = int(made["id"])
        cloud.add_service(f"service-{number}")
        projects.append(cloud.project)
    return projects


def test_the_audit_of_a_project_shows_a_service_token_only_its_service(cloud: Cloud) -> None:
    cloud.add_service("neighbour", branch="develop")
    viewer = caller_with(cloud, service_id=cloud.service_id)
    trail = viewer.get(f"/v1/audit?project_id={cloud.project}").body["items"]
    assert {entry["service_id"] for entry in trail} == {cloud.service_id}
