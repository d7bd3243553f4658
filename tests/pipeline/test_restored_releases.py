"""What a rollback restores: the definition, container and ECS service of an earlier release."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.store.services import find_service
from chalicelib.store.writes import change, commit
from tests.faults.rows import rows
from tests.support.embedded import (
    Cloud,
    client,
    create_ecs_service,
    delete_definition,
    image_of,
    make_older,
    put_image,
    register,
    remove_image,
    run_on_ecs,
    task_definition,
)
from tests.support.sdk import Calls, Trouble


def deregister(arn: str) -> None:
    client("ecs").deregister_task_definition(taskDefinition=arn)


def move_to(cloud: Cloud, name: str) -> None:
    """Point the service at the ECS service `name`."""
    for _ in range(2):
        cloud.tick()
    cloud.change_service(ecs_service=name)


@pytest.fixture
def moved(cloud: Cloud) -> Cloud:
    """Releases 1 and 2 ran in the ECS service hello; release 3 runs in moved."""
    for number in (1, 2):
        cloud.release(number)
    create_ecs_service("moved")
    move_to(cloud, "moved")
    cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout("moved")
    return cloud


def restore(cloud: Cloud, **body: Any) -> Any:
    """Roll back with success; return the rollback."""
    answer = cloud.roll_back(**body)
    assert answer.status == 202, answer.text
    cloud.settle()
    cloud.finish_rollout()
    number = answer.body["deployment_id"]
    assert cloud.statuses(number) == ["success"]
    return cloud.deployment(number)


def refused(cloud: Cloud, deployment_id: int | None = None) -> tuple[str, str]:
    """Code and reason of a refused rollback, which its preview says, too."""
    before = rows("jobs"), rows("services")
    preview = cloud.preview(deployment_id)
    named = {} if deployment_id is None else {"deployment_id": deployment_id}
    answer = cloud.roll_back(**named)
    assert answer.status == 409, answer.text
    assert (rows("jobs"), rows("services")) == before
    code, reason = answer.body["code"], answer.body["detail"]
    nothing: dict[str, Any] = {"target": None, "findings": [], "plan": None}
    assert preview == {"possible": False, "code": code, "reason": reason, **nothing}
    return code, reason


def content(arn: str) -> dict[str, Any]:
    """A task definition without the fields that differ between equal revisions."""
    found: dict[str, Any] = task_definition(arn)
    of_revision = {"taskDefinitionArn", "revision", "status", "registeredAt"}
    return {name: value for name, value in found.items() if name not in of_revision}


def test_a_deployment_shows_where_it_ran(moved: Cloud) -> None:
    targets = [
        tuple(
            moved.deployment(number)[name] for name in ("ecs_cluster", "ecs_service", "containers")
        )
        for number in (1, 3)
    ]
    assert targets == [("main", "hello", ["app"]), ("main", "moved", ["app"])]


def test_a_release_of_another_ecs_service_is_not_restored(moved: Cloud) -> None:
    runs = moved.definition_on_ecs("moved")
    for number in (1, 2):
        code, reason = refused(moved, number)
        assert code == "other_ecs_service"
        digest = moved.deployment(number)["image_digest"]
        for part in (f"deployment {number} ", "main/hello", "main/moved", f"deploy hello@{digest}"):
            assert part in reason
    code, reason = refused(moved)
    assert code == "nothing_to_roll_back"
    assert reason.startswith("service 1 has no earlier release to go back to: deployment 2 ran in")
    moved.settle()
    assert moved.definition_on_ecs("moved") == runs


def test_a_rollback_of_before_a_move_is_not_restored_after_it(moved: Cloud) -> None:
    move_to(moved, "hello")
    back = restore(moved, deployment_id=1)["id"]
    move_to(moved, "moved")
    assert refused(moved, back)[0] == "other_ecs_service"


def test_a_release_is_restored_when_its_ecs_service_is_the_target_again(moved: Cloud) -> None:
    move_to(moved, "hello")
    assert moved.preview(1)["target"]["id"] == 1
    assert restore(moved, deployment_id=1)["ecs_service"] == "hello"
    assert moved.image_on_ecs().endswith(moved.deployment(1)["image_digest"])


def test_a_rollback_skips_the_releases_of_another_ecs_service(moved: Cloud) -> None:
    move_to(moved, "hello")
    digest = put_image("hello", "fourth")
    moved.deploy(f"hello@{digest}")
    assert moved.preview()["target"]["id"] == 2
    moved.settle()
    moved.finish_rollout()
    assert moved.preview()["target"]["id"] == 2
    assert restore(moved)["restores"] == 2
    assert moved.preview()["target"]["id"] == 1


def test_an_older_release_is_not_restored_if_its_service_moved_before_moves_were_kept(
    moved: Cloud,
) -> None:
    for number in (1, 2, 3):
        make_older(number)
    service = find_service(moved.service_id)
    assert service is not None
    commit(change(service, moved_from=None))
    moved.deploy(f"hello@{put_image('hello', 'fourth')}")
    moved.settle()
    moved.finish_rollout("moved")
    assert refused(moved, 1)[0] == "other_ecs_service"
    assert moved.preview()["target"]["id"] == 3
    assert moved.roll_back(deployment_id=3).status == 202


def test_an_older_release_is_not_restored_after_a_move(cloud: Cloud) -> None:
    cloud.release(1)
    make_older(1)
    create_ecs_service("moved")
    move_to(cloud, "moved")
    code, reason = refused(cloud, 1)
    assert code == "other_ecs_service"
    assert "deployment 1 is older than the service's move to main/moved" in reason
    assert refused(cloud)[0] == "nothing_to_roll_back"
    cloud.deploy_build(1)
    cloud.settle()
    cloud.finish_rollout("moved")
    assert refused(cloud, 1)[0] == "other_ecs_service"
    assert refused(cloud)[0] == "nothing_to_roll_back"


def test_a_moved_service_without_a_release_says_why_it_cannot_roll_back(cloud: Cloud) -> None:
    cloud.release(1)
    create_ecs_service("moved")
    move_to(cloud, "moved")
    code, reason = refused(cloud)
    assert code == "nothing_to_roll_back"
    assert "deployment 1 ran in the ECS service main/hello" in reason
    cloud.change_service(ecs_cluster=None, ecs_service=None, containers=None, auto_deploy=False)
    assert refused(cloud)[0] == "service_not_configured"
    cloud.change_service(ecs_cluster="main", ecs_service="hello", containers=["app"])
    assert cloud.preview()["target"]["id"] == 1


def test_rollbacks_after_a_move_go_back_to_the_first_release_there(moved: Cloud) -> None:
    digest = put_image("hello", "fourth")
    moved.deploy(f"hello@{digest}")
    moved.settle()
    moved.finish_rollout("moved")
    assert moved.preview()["target"]["id"] == 3
    moved.roll_back()
    moved.settle()
    moved.finish_rollout("moved")
    assert moved.image_on_ecs("moved").endswith(moved.deployment(3)["image_digest"])
    assert refused(moved)[0] == "nothing_to_roll_back"


def test_the_target_cannot_change_while_a_deployment_runs_or_waits(cloud: Cloud) -> None:
    cloud.release(1)
    path = f"/v1/services/{cloud.service_id}"
    cloud.begin_release(2)
    cloud.deploy_build(1)
    for setting in ({"ecs_service": "moved"}, {"ecs_cluster": "other"}, {"containers": ["web"]}):
        assert cloud.api.patch(path, setting).body["code"] == "service_busy"
    cloud.finish_rollout()
    assert cloud.api.patch(path, {"containers": ["web"]}).body["code"] == "service_busy"
    cloud.finish_rollout()
    assert cloud.statuses(1, 2, 3) == ["success"] * 3
    assert {cloud.deployment(number)["ecs_service"] for number in (1, 2, 3)} == {"hello"}


def run_renamed(cloud: Cloud) -> str:
    """The owner renames the container app to web; return the definition."""
    arn = client("ecs").register_task_definition(
        family="hello",
        containerDefinitions=[{"name": "web", "image": "hello:renamed", "memory": 128}],
    )["taskDefinition"]["taskDefinitionArn"]
    run_on_ecs(arn)
    cloud.finish_rollout()
    for _ in range(2):
        cloud.tick()
    cloud.change_service(containers=["web"], auto_deploy=True)
    return str(arn)


@pytest.mark.parametrize("older", [False, True], ids=["kept", "older"])
def test_a_release_is_restored_with_the_container_that_it_had(cloud: Cloud, older: bool) -> None:
    cloud.release(1)
    first = cloud.deployment(1)
    run_renamed(cloud)
    cloud.release(2)
    (renamed,) = task_definition(cloud.definition_on_ecs())["containerDefinitions"]
    assert renamed["name"] == "web"
    if older:
        make_older(1)
    assert cloud.preview()["target"]["id"] == 1
    back = restore(cloud)
    assert content(back["task_definition"]) == content(first["task_definition"])
    assert older or back["containers"] == ["app"]
    assert cloud.service()["containers"] == ["web"]


def test_a_deployment_after_such_a_rollback_says_what_to_do(cloud: Cloud) -> None:
    cloud.release(1)
    renamed = run_renamed(cloud)
    cloud.release(2)
    restore(cloud)
    refused = cloud.deploy(cloud.build(2)["image_tag"])
    assert (refused.status, refused.body["code"]) == (409, "preflight_failed")
    what = "has no container web; it has: app, sidecar. Change the service's containers"
    assert what in refused.body["detail"]
    run_on_ecs(renamed)
    cloud.finish_rollout()
    again = cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout()
    assert cloud.statuses(again) == ["success"]


@pytest.mark.parametrize("remove", [deregister, delete_definition])
def test_a_rollback_registers_a_removed_definition_again(
    cloud: Cloud, remove: Callable[[str], None]
) -> None:
    cloud.release(1)
    first = cloud.deployment(1)
    expected = content(first["task_definition"])
    tags = client("ecs").describe_task_definition(
        taskDefinition=first["task_definition"], include=["TAGS"]
    )["tags"]
    run_on_ecs(register("hello", cloud.image_on_ecs(), COLOUR="blue"))
    cloud.finish_rollout()
    cloud.release(2)
    remove(first["task_definition"])
    with pytest.raises(client("ecs").exceptions.ClientException):
        task_definition(first["task_definition"])

    assert cloud.preview()["target"]["id"] == 1
    back = restore(cloud)
    assert back["task_definition"] == cloud.definition_on_ecs() != first["task_definition"]
    assert content(back["task_definition"]) == expected
    found = client("ecs").describe_task_definition(
        taskDefinition=back["task_definition"], include=["TAGS"]
    )
    assert found["tags"] == tags
    assert cloud.service()["current_deployment_id"] == back["id"]
    for _ in range(3):
        cloud.tick()
    assert cloud.service()["drift"] is None
    assert cloud.definition_on_ecs() == back["task_definition"]


def test_a_removed_definition_is_registered_again_by_each_rollback_to_it(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.release(number)
    first = cloud.deployment(1)["task_definition"]
    expected = content(first)
    delete_definition(first)
    back = restore(cloud)
    cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout()
    delete_definition(back["task_definition"])
    again = restore(cloud, deployment_id=back["id"])
    assert content(again["task_definition"]) == expected


def test_a_rollback_ends_the_same_if_the_answer_of_its_registration_is_lost(
    cloud: Cloud, trouble: Trouble
) -> None:
    for number in (1, 2):
        cloud.release(number)
    expected = content(cloud.deployment(1)["task_definition"])
    delete_definition(cloud.deployment(1)["task_definition"])
    trouble.lose_answers("ecs.RegisterTaskDefinition")
    back = cloud.roll_back().body["deployment_id"]
    cloud.settle()
    for _ in range(2):
        cloud.tick()
    cloud.finish_rollout()
    assert cloud.statuses(back) == ["success"]
    runs = cloud.definition_on_ecs()
    assert runs == cloud.deployment(back)["task_definition"]
    assert content(runs) == expected
    assert cloud.rollouts() == 3


def test_a_definition_of_the_greatest_size_is_kept(cloud: Cloud) -> None:
    """ "Amazon ECS service quotas": a task definition has at most 64 KB."""
    values = {f"V{number}": "\u00e9" * 1000 for number in range(30)}
    run_on_ecs(register("hello", "hello:large", **values))
    cloud.finish_rollout()
    for number in (1, 2):
        cloud.release(number)
    expected = content(cloud.deployment(1)["task_definition"])
    delete_definition(cloud.deployment(1)["task_definition"])
    assert content(restore(cloud)["task_definition"]) == expected


def test_the_content_of_a_definition_is_neither_shown_nor_listed_nor_logged(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, calls: Calls
) -> None:
    run_on_ecs(register("hello", "hello:secretive", PASSWORD="correct-horse"))
    cloud.finish_rollout()
    for number in (1, 2):
        cloud.release(number)
    delete_definition(cloud.deployment(1)["task_definition"])
    back = restore(cloud)["id"]
    path = f"/v1/cicd/services/{cloud.service_id}"
    image = cloud.build(2)["image_tag"]
    calls.clear()
    shown = [
        cloud.api.get(each).text
        for each in (
            f"/v1/cicd/deployments/{back}",
            f"/v1/cicd/jobs/deploy-{back}",
            f"{path}/deployments",
            f"/v1/services/{cloud.service_id}",
            "/v1/cicd/jobs",
            "/v1/audit",
        )
    ]
    assert not [name for name, request in calls.made if "task-definition:" in str(request)]
    # A preview reads the content for the plan.
    shown += [cloud.api.get(f"{path}/rollback{each}").text for each in ("", "?deployment_id=1")]
    shown.append(cloud.api.post(f"{path}/deploy?dry_run=true", {"image_tag": image}).text)
    assert not [text for text in shown if "correct-horse" in text]
    assert "correct-horse" not in caplog.text
    kept = [
        table for table in ("jobs", "services", "claims") if "correct-horse" in str(rows(table))
    ]
    assert kept == ["claims"]


def test_an_older_release_is_restored_while_ecs_describes_its_definition(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.release(number)
    make_older(1)
    expected = content(cloud.deployment(1)["task_definition"])
    assert cloud.deployment(1)["containers"] is None
    assert cloud.preview()["target"]["id"] == cloud.preview(1)["target"]["id"] == 1
    back = restore(cloud)
    assert content(back["task_definition"]) == expected
    delete_definition(cloud.deployment(1)["task_definition"])
    cloud.deploy_build(2)
    cloud.settle()
    cloud.finish_rollout()
    assert content(restore(cloud, deployment_id=back["id"])["task_definition"]) == expected


def test_an_older_release_without_its_definition_is_not_restored(cloud: Cloud) -> None:
    for number in (1, 2, 3):
        cloud.release(number)
    make_older(2)
    gone = cloud.deployment(2)["task_definition"]
    delete_definition(gone)
    code, reason = refused(cloud, 2)
    assert code == "not_deployable"
    assert f"{gone} of deployment 2 is gone from ECS" in reason
    assert cloud.preview()["target"]["id"] == 1
    remove_image("hello", cloud.deployment(1)["image_digest"])
    assert refused(cloud) == (
        "nothing_to_roll_back",
        f"service 1 has no earlier release to go back to: {reason}",
    )


def test_the_preview_of_a_named_rollback_says_what_the_rollback_would(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    cloud.finish_rollout()
    cloud.release(3)
    assert refused(cloud, 2)[0] == "not_deployable"
    assert refused(cloud, 3)[0] == "already_running"
    missing = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/rollback?deployment_id=99")
    assert (missing.status, missing.body["code"]) == (404, "not_found")
    remove_image("hello", cloud.deployment(1)["image_digest"])
    assert refused(cloud, 1)[0] == "not_deployable"
    assert image_of(cloud.definition_on_ecs()).endswith(cloud.deployment(3)["image_digest"])
