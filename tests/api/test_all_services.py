"""The list of all services: what runs, what is under way, and who sees it."""

import os
from typing import Any

import pytest

from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import change, commit
from infra.upgrade import upgrade
from tests.api.test_lists_of_restricted_tokens import another_project, caller_with, walk
from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls, record_calls
from tests.support.shifts import approve, begin_shift, look_after

SERVICES = "/v1/services"


@pytest.fixture
def calls(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return record_calls(monkeypatch)


def overview(cloud: Cloud, number: int = 1) -> Any:
    return next(item for item in cloud.api.get(SERVICES).body["items"] if item["id"] == number)


def test_a_service_shows_its_releases_and_its_project(cloud: Cloud) -> None:
    cloud.release(1)
    for number in (2, 3):
        cloud.begin_release(number)
    shown, service = overview(cloud), cloud.service()
    assert (shown["project"], shown["name"], shown["branch"]) == ("shop", "hello", "master")
    assert [shown[each]["id"] for each in ("current", "active", "waiting")] == [1, 2, 3]
    for each in ("current", "active", "waiting"):
        whole = cloud.deployment(shown[each]["id"])
        assert shown[each] == {name: whole[name] for name in shown[each]}
    same = shown.keys() & service.keys()
    assert {name: shown[name] for name in same} == {name: service[name] for name in same}
    cloud.push(sha(4))
    cloud.push(sha(5), branch="other")
    assert overview(cloud)["open_builds"] == 1


def test_a_new_service_shows_no_release(cloud: Cloud) -> None:
    shown = overview(cloud, cloud.add_service("new"))
    assert [shown[each] for each in ("current", "active", "waiting")] == [None] * 3
    assert shown["open_builds"] == 0


def test_services_of_all_projects_are_listed_newest_first(cloud: Cloud) -> None:
    first, project = cloud.service_id, cloud.project
    second = cloud.add_service("second", branch="develop")
    cloud.project = other = another_project(cloud)
    third = cloud.add_service("third", branch="develop")
    assert walk(cloud.api, SERVICES) == [[third, second], [first]]
    assert overview(cloud, third)["project"] == "other"
    for number, expected in ((project, [second, first]), (other, [third])):
        path = f"{SERVICES}?project_id={number}"
        assert [item["id"] for item in cloud.api.get(path).body["items"]] == expected
    assert cloud.api.get(f"{SERVICES}?project_id=77").status == 404
    assert cloud.api.delete(f"/v1/services/{second}").status == 204
    assert walk(cloud.api, SERVICES) == [[third, first]]


def test_restricted_tokens_list_only_their_services(cloud: Cloud, calls: Calls) -> None:
    first, project = cloud.service_id, cloud.project
    second = cloud.add_service("second", branch="develop")
    cloud.project = other = another_project(cloud)
    third = cloud.add_service("third", branch="develop")
    of_project, of_other = (caller_with(cloud, project_id=each) for each in (project, other))
    of_service = caller_with(cloud, service_id=second)
    calls.clear()
    assert walk(of_project, SERVICES) == [[second, first]]
    assert walk(of_other, SERVICES) == [[third]]
    assert [query["IndexName"] for query in calls.to("dynamodb.Query")] == ["project-ids"] * 2
    calls.clear()
    assert walk(of_service, SERVICES) == [[second]]
    assert not calls.to("dynamodb.Query")
    for caller, hidden in ((of_project, other), (of_other, project), (of_service, other)):
        assert caller.get(f"{SERVICES}?project_id={hidden}").status == 404
    assert walk(of_service, SERVICES)[0] == [second]
    page = of_service.get(f"{SERVICES}?project_id={project}").body["items"]
    assert [item["id"] for item in page] == [second]


def test_the_reads_of_a_page_do_not_grow_with_services_or_history(
    cloud: Cloud, calls: Calls
) -> None:
    def reads() -> dict[str, int]:
        calls.clear()
        assert cloud.api.get(f"{SERVICES}?limit=50").status == 200
        return calls.counted

    cloud.release(1)
    before = reads()
    for number in range(2, 5):
        cloud.release(number)
    for number in range(5):
        cloud.add_service(f"other-{number}", branch="develop")
    assert reads() == before


def test_services_that_are_older_than_the_list_join_it_with_a_deploy(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    deleted, newest = cloud.add_service("deleted"), cloud.add_service("newest")
    commit(change(Service.get(1), listed=None), change(Service.get(deleted), listed=None))
    assert cloud.api.delete(f"/v1/services/{deleted}").status == 204
    assert walk(cloud.api, SERVICES) == [[newest]]
    assert upgrade({}) == 1
    assert walk(cloud.api, SERVICES) == [[newest, 1]]
    assert upgrade({}) == 0


def last(cloud: Cloud) -> list[tuple[int, str] | None]:
    """The build and the deployment that ended last, with their statuses."""
    shown = overview(cloud)
    found = [shown[each] for each in ("last_build", "last_deployment")]
    return [each and (each["id"], each["status"]) for each in found]


def test_the_build_and_the_deployment_that_ended_last_are_shown(cloud: Cloud) -> None:
    assert last(cloud) == [None, None]
    cloud.push(sha(1))
    cloud.settle()
    assert last(cloud) == [None, None]
    cloud.finish_build(1)
    assert last(cloud) == [(1, "success"), None]
    cloud.fail_rollout()
    assert last(cloud) == [(1, "success"), (1, "failed")]
    cloud.push(sha(2))
    cloud.settle()
    cloud.end_build(2, "FAILED")
    assert last(cloud) == [(2, "failed"), (1, "failed")]
    shown = overview(cloud)
    for name, path in (("last_build", "builds/2"), ("last_deployment", "deployments/1")):
        whole = cloud.api.get(f"/v1/cicd/{path}").body
        assert shown[name] == {field: whole[field] for field in shown[name]}
    cloud.release(3)
    assert last(cloud) == [(3, "success"), (2, "success")]


def test_every_end_of_a_job_is_the_last_one(cloud: Cloud) -> None:
    """Superseded and cancelled jobs end, too, and so does what a rollback interrupts."""
    cloud.release(1)
    cloud.release(2)
    cloud.begin_release(3)
    cloud.begin_release(4)
    cloud.begin_release(5)
    assert last(cloud) == [(5, "success"), (4, "superseded")]
    cloud.api.post("/v1/cicd/jobs/deploy-5/cancel")
    assert last(cloud)[1] == (5, "cancelled")
    cloud.roll_back()
    assert last(cloud)[1] == (3, "rolled_back")
    cloud.settle()
    cloud.finish_rollout()
    assert last(cloud)[1] == (6, "success")
    first = cloud.ask_for_build()
    cloud.api.post(f"/v1/cicd/jobs/build-{first}/cancel")
    assert last(cloud)[0] == (first, "cancelled")


def test_a_failure_is_shown_until_the_next_success(cloud: Cloud) -> None:
    """Jobs that end later in another way do not hide it."""

    def failed() -> Any:
        shown, service = overview(cloud), cloud.service()
        assert shown["failing_since"] == service["failing_since"]
        number = shown["failed_deployment"] and shown["failed_deployment"]["id"]
        assert number == service["failed_deployment_id"]
        return number

    cloud.release(1)
    assert failed() is None
    cloud.begin_release(2)
    cloud.fail_rollout()
    assert failed() == 2
    since = overview(cloud)["failing_since"]
    assert since == cloud.deployment(2)["finished_at"]
    cloud.advance(600)
    again = cloud.deploy_build(1)
    cloud.api.post(f"/v1/cicd/jobs/deploy-{again}/cancel")
    cloud.settle()
    assert last(cloud)[1] == (again, "cancelled")
    assert failed() == 2
    cloud.advance(600)
    cloud.begin_release(3)
    cloud.fail_rollout()
    assert failed() == 4
    assert overview(cloud)["failing_since"] == since
    whole, shown = cloud.deployment(4), overview(cloud)["failed_deployment"]
    assert shown == {name: whole[name] for name in shown}
    cloud.release(4)
    assert failed() is None
    assert overview(cloud)["failing_since"] is None


def test_a_release_keeps_the_message_and_the_author_of_its_commit(cloud: Cloud) -> None:
    """Those of a push, of an image deployed by hand, of a rollback, of a change of config."""
    for number in (1, 2):
        cloud.release(number)
    by_hand = cloud.ask_for_build()
    cloud.settle()
    cloud.finish_build(by_hand)
    deployed = cloud.deploy_build(by_hand)
    cloud.settle()
    cloud.finish_rollout()
    back = cloud.roll_back(deployment_id=1).body["deployment_id"]
    cloud.settle()
    cloud.finish_rollout()
    config = {"environment": {"LEVEL": "debug"}}
    path = f"/v1/services/{cloud.service_id}/config"
    changed = cloud.api.patch(path, config).body["deployment_id"]
    for number, build in ((1, 1), (2, 2), (deployed, by_hand), (back, 1), (changed, 1)):
        release, made = cloud.deployment(number), cloud.build(build)
        names = ("commit_sha", "commit_message", "author")
        assert [release[name] for name in names] == [made[name] for name in names]
        assert None not in [release[name] for name in names]
        assert release["build_id"] == build
    assert overview(cloud)["current"]["commit_message"] == cloud.build(1)["commit_message"]


def test_a_deployment_from_before_messages_were_kept_shows_none(cloud: Cloud) -> None:
    cloud.release(1)
    commit(change(Deployment.get("deploy-1"), commit_message=None, author=None))
    commit(change(Service.get(1), last_build=None, last_deployment=None, tasks=None))
    assert cloud.deployment(1)["commit_message"] is None
    shown = overview(cloud)
    assert shown["current"]["author"] is None
    assert [shown[each] for each in ("tasks", "last_build", "last_deployment")] == [None] * 3


def test_a_deployment_that_awaits_approval_is_shown_with_its_traffic(cloud: Cloud) -> None:
    begin_shift(cloud, strategy={"type": "CANARY", "percent": 10, "step_minutes": 5}, approval=True)
    (first,) = cloud.api.get("/v1/services").body["items"]
    assert (first["active"]["awaiting"], first["active"]["traffic"]) == ("approval", 0)
    assert first["active"]["approval"] == cloud.deployment(2)["approval"]
    approve(cloud, 2)
    (then,) = cloud.api.get("/v1/services").body["items"]
    assert (then["active"]["awaiting"], then["active"]["approval"]) == (None, None)
    look_after(cloud, 6 * 60)
    (second,) = cloud.api.get("/v1/services").body["items"]
    assert (second["active"]["awaiting"], second["active"]["traffic"]) == ("approval", 10)
