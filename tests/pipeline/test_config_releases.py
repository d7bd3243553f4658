"""A release consists of an image and of a config: what a change of the config rolls out."""

import json
from typing import Any

import pytest

from infra.local.aws import ecs
from tests.faults.rows import deployments, history, services
from tests.support.client import Answer
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    create_ecs_service,
    ecs_service,
    image_of,
    keep_secret,
    make_older,
    put_image,
    register,
    run_on_ecs,
    sha,
    task_definition,
)
from tests.support.sdk import Calls, Killed, Trouble

ROLE = "arn:aws:iam::123456789012:role/hello"


def change(cloud: Cloud, **changes: Any) -> Answer:
    return cloud.api.patch(f"/v1/services/{cloud.service_id}/config", changes)


def deploy_change(cloud: Cloud, **changes: Any) -> int:
    """Change the config; return the number of the deployment that brings it."""
    answer = change(cloud, **changes)
    assert answer.status == 202, answer.text
    return int(answer.body["deployment_id"])


def config(cloud: Cloud) -> Any:
    answer = cloud.api.get(f"/v1/services/{cloud.service_id}/config")
    assert answer.status == 200, answer.text
    return answer.body


def variables(definition: str, container: int = 0) -> dict[str, str]:
    """The variables and the references of secrets in a container of a task definition."""
    found = task_definition(definition)["containerDefinitions"][container]
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in [*found.get("environment", []), *found.get("secrets", [])]
    }


def on_ecs(cloud: Cloud) -> dict[str, str]:
    return variables(cloud.definition_on_ecs())


def release(cloud: Cloud) -> None:
    """The deployment that is queued begins and succeeds."""
    cloud.settle()
    cloud.finish_rollout()


@pytest.fixture
def one(cloud: Cloud) -> Cloud:
    """Release 1 runs."""
    cloud.release(1)
    return cloud


def test_a_change_makes_a_release_with_the_same_image(one: Cloud) -> None:
    number = deploy_change(one, environment={"LEVEL": "debug"}, cpu=256, memory=512)
    release(one)
    row = one.deployment(number)
    before = one.deployment(1)
    assert (row["status"], row["trigger"], row["image_tag"], row["build_id"]) == (
        "success",
        "config",
        before["image_tag"],
        before["build_id"],
    )
    found = task_definition(one.definition_on_ecs())
    assert on_ecs(one) == {"LEVEL": "debug"}
    assert variables(one.definition_on_ecs(), 1) == {}
    assert (found["cpu"], found["memory"]) == ("256", "512")
    assert config(one) == {
        "environment": {"LEVEL": "debug"},
        "secrets": {},
        "cpu": 256,
        "memory": 512,
        "desired_count": None,
        "released": True,
        "deployment_id": None,
    }


def test_the_next_build_is_deployed_with_the_config(one: Cloud) -> None:
    answer = change(one, environment={"LEVEL": "debug"}, deploy=False)
    assert (answer.status, answer.body["deployment_id"]) == (200, None)
    assert "the next release takes the config" in answer.body["not_deployed"]
    assert answer.body["code"] == "not_wanted"
    one.settle()
    assert on_ecs(one) == {}
    assert (config(one)["released"], config(one)["deployment_id"]) == (False, None)
    one.release(2)
    assert on_ecs(one) == {"LEVEL": "debug"}
    assert config(one)["released"] is True


def test_a_name_that_the_config_has_no_more_is_removed_and_the_owners_stay(cloud: Cloud) -> None:
    run_on_ecs(register("hello", "hello:owner", OWN="owner", LEVEL="owner"))
    cloud.finish_rollout()
    change(cloud, environment={"LEVEL": "debug", "MODE": "fast"})
    cloud.release(1)
    assert on_ecs(cloud) == {"OWN": "owner", "LEVEL": "debug", "MODE": "fast"}
    deploy_change(cloud, environment={"LEVEL": None, "MODE": "slow"})
    release(cloud)
    assert on_ecs(cloud) == {"OWN": "owner", "MODE": "slow"}
    deploy_change(cloud, environment={"MODE": None})
    release(cloud)
    assert on_ecs(cloud) == {"OWN": "owner"}


def test_a_variable_becomes_a_secret_and_ecs_accepts_it(cloud: Cloud) -> None:
    keep_secret("x", "db")
    arn = client("secretsmanager").describe_secret(SecretId="db")["ARN"]
    containers = [{"name": "app", "image": "hello:owner", "memory": 128}]
    client("ecs").register_task_definition(
        family="hello", executionRoleArn=ROLE, containerDefinitions=containers
    )
    run_on_ecs("hello")
    cloud.finish_rollout()
    change(cloud, environment={"DB": "plain"})
    cloud.release(1)
    deploy_change(cloud, environment={"DB": None}, secrets={"DB": f"{arn}:user::"})
    release(cloud)
    assert on_ecs(cloud) == {"DB": f"{arn}:user::"}


def test_the_number_of_tasks_is_asked_for_once_by_the_deployment(one: Cloud, calls: Calls) -> None:
    deploy_change(one, environment={"LEVEL": "debug"}, desired_count=3)
    release(one)
    assert ecs_service()["desiredCount"] == 3
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=5)
    one.finish_rollout()
    calls.clear()
    assert one.roll_back().status == 202
    release(one)
    asked = calls.to("ecs.UpdateService")
    assert asked
    assert all("desiredCount" not in each for each in asked)
    assert ecs_service()["desiredCount"] == 5
    assert config(one)["desired_count"] == 3


def test_a_deployment_that_is_healed_after_a_failure_keeps_the_number_of_tasks(
    one: Cloud, calls: Calls
) -> None:
    deploy_change(one, desired_count=3)
    one.settle()
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=6)
    one.api.post("/v1/cicd/jobs/deploy-2/cancel")
    calls.clear()
    one.settle()
    (asked,) = calls.to("ecs.UpdateService")
    assert "desiredCount" not in asked
    assert ecs_service()["desiredCount"] == 6


def test_the_number_of_tasks_is_not_lost_with_the_worker_that_asks_for_it(
    one: Cloud, trouble: Trouble
) -> None:
    one.handlers_may_fail = True
    deploy_change(one, desired_count=3)
    one.lose_messages()
    trouble.kill_before("ecs.UpdateService")
    with pytest.raises(Killed):
        one.wake("service-1")
    assert ecs_service()["desiredCount"] == 2
    one.advance(MINUTE)
    release(one)
    assert one.statuses(2) == ["success"]
    assert ecs_service()["desiredCount"] == 3


def test_a_deployment_that_has_not_begun_takes_the_change(one: Cloud) -> None:
    one.push(sha(2))
    one.settle()
    one.finish_build(2, settle=False)
    one.wake("build-2")
    assert one.statuses(2) == ["queued"]
    number = deploy_change(one, environment={"LEVEL": "debug"})
    assert number == 2
    assert config(one)["deployment_id"] == 2
    release(one)
    assert on_ecs(one) == {"LEVEL": "debug"}
    assert sorted(deployments()) == [1, 2]
    assert config(one)["released"] is True


def test_a_change_during_a_rollout_waits_and_further_changes_join_it(one: Cloud) -> None:
    one.begin_release(2)
    number = deploy_change(one, environment={"LEVEL": "debug"})
    assert number == 3
    assert deploy_change(one, environment={"MODE": "fast"}) == 3
    assert one.service()["waiting_deployment_id"] == 3
    assert on_ecs(one) == {}
    one.finish_rollout()
    assert on_ecs(one) == {"LEVEL": "debug", "MODE": "fast"}
    assert one.deployment(3)["image_tag"] == one.deployment(2)["image_tag"]
    one.finish_rollout()
    assert one.statuses(1, 2, 3) == ["success"] * 3


def test_a_later_push_replaces_a_waiting_change_and_brings_it(one: Cloud) -> None:
    one.begin_release(2)
    deploy_change(one, environment={"LEVEL": "debug"})
    one.begin_release(3)
    assert one.statuses(3, 4) == ["superseded", "queued"]
    one.finish_rollout()
    release(one)
    assert on_ecs(one) == {"LEVEL": "debug"}
    assert one.deployment(4)["commit_sha"] == sha(3)
    assert config(one)["released"] is True


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_change_of_the_config_does_not_roll_a_failed_image_out_again(
    one: Cloud, how: str
) -> None:
    one.begin_release(2)
    bad = one.image_on_ecs()
    number = deploy_change(one, environment={"LEVEL": "debug"})
    if how == "failed":
        one.fail_rollout()
    else:
        one.api.post("/v1/cicd/jobs/deploy-2/cancel")
        one.settle()
    assert one.statuses(2) == [how]
    release(one)
    assert one.statuses(number) == ["success"]
    row, good = one.deployment(number), one.deployment(1)
    for name in ("image_tag", "image_digest", "build_id", "commit_sha"):
        assert row[name] == good[name]
    assert one.image_on_ecs() == image_of(good["task_definition"]) != bad
    assert on_ecs(one) == {"LEVEL": "debug"}


def test_without_a_release_the_new_config_may_be_what_the_image_needs(cloud: Cloud) -> None:
    cloud.begin_release(1)
    image = cloud.image_on_ecs()
    number = deploy_change(cloud, environment={"DATABASE": "needed"})
    cloud.fail_rollout()
    release(cloud)
    assert cloud.statuses(1, number) == ["failed", "success"]
    assert (cloud.image_on_ecs(), on_ecs(cloud)) == (image, {"DATABASE": "needed"})


def test_after_a_choice_of_another_party_a_failure_leaves_no_image_to_change(one: Cloud) -> None:
    one.advance(90 * MINUTE)
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    one.finish_rollout()
    one.tick()
    assert one.deploy(f"hello@{put_image('hello', 'by-hand')}").status == 202
    one.settle()
    number = deploy_change(one, environment={"LEVEL": "debug"})
    one.fail_rollout()
    row = one.deployment(number)
    assert row["status"] == "superseded"
    assert "which was chosen outside Slipway: deploy an image" in row["error"]
    one.finish_rollout()
    one.tick()
    assert one.definition_on_ecs() == chosen
    assert one.service()["active_deployment_id"] is one.service()["waiting_deployment_id"] is None


def test_a_change_over_what_another_party_chose_is_kept_for_the_next_image(one: Cloud) -> None:
    one.advance(90 * MINUTE)
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    one.finish_rollout()
    wanted = {"environment": {"LEVEL": "debug"}}
    planned = one.api.patch("/v1/services/1/config?dry_run=true", wanted)
    answer = change(one, **wanted)
    assert (answer.status, answer.body["deployment_id"]) == (200, None)
    assert (planned.status, planned.body) == (200, answer.body)
    assert answer.body["not_deployed"].startswith("the ECS service was changed outside Slipway")
    assert answer.body["code"] == "changed_outside"
    assert sorted(deployments()) == [1]
    assert (config(one)["environment"], config(one)["released"]) == ({"LEVEL": "debug"}, False)
    one.settle()
    assert one.definition_on_ecs() == chosen
    assert one.deploy(f"hello@{put_image('hello', 'by-hand')}").status == 202
    release(one)
    assert on_ecs(one) == {"LEVEL": "debug"}


def test_a_change_over_a_choice_that_an_image_failed_to_replace_is_kept(one: Cloud) -> None:
    one.advance(90 * MINUTE)
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    one.finish_rollout()
    one.tick()
    assert one.deploy(f"hello@{put_image('hello', 'by-hand')}").status == 202
    one.settle()
    one.fail_rollout()
    one.finish_rollout()
    assert one.definition_on_ecs() == chosen
    answer = change(one, environment={"LEVEL": "debug"})
    assert answer.body["not_deployed"].startswith("the ECS service was changed outside Slipway")
    assert answer.body["code"] == "changed_outside"
    one.settle()
    assert one.definition_on_ecs() == chosen


def test_a_change_overrules_no_choice_either_after_auto_deploy_was_resumed(one: Cloud) -> None:
    one.advance(90 * MINUTE)
    number = deploy_change(one, environment={"LEVEL": "debug"})
    one.lose_messages()
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    one.tick()
    one.change_service(auto_deploy=True)
    one.advance(MINUTE)
    one.settle()
    one.tick()
    row = one.deployment(number)
    assert (row["status"], one.definition_on_ecs()) == ("superseded", chosen)
    assert row["error"].endswith("deploy an image, which takes the config")
    one.change_service(auto_deploy=True)
    one.advance(MINUTE)
    change(one, environment={"LEVEL": "info"})
    one.settle()
    one.tick()
    assert one.definition_on_ecs() == chosen


def test_a_change_before_the_begin_ends_when_another_party_changes_ecs(one: Cloud) -> None:
    one.advance(90 * MINUTE)
    number = deploy_change(one, environment={"LEVEL": "debug"})
    one.lose_messages()
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    one.tick()
    one.settle()
    assert one.statuses(number) == ["superseded"]
    assert one.definition_on_ecs() == chosen
    assert one.service()["auto_deploy_paused"] is not None


def test_a_waiting_change_does_not_replace_a_choice_during_the_rollout(one: Cloud) -> None:
    one.begin_release(2)
    number = deploy_change(one, environment={"LEVEL": "debug"})
    one.advance(MINUTE)
    chosen = register("hello", "hello:outside")
    run_on_ecs(chosen)
    one.settle()
    one.tick()
    assert one.statuses(2, number) == ["superseded", "superseded"]
    assert one.definition_on_ecs() == chosen
    assert config(one)["released"] is False


def test_names_go_with_an_earlier_definition_that_another_party_chose(one: Cloud) -> None:
    """That definition has variables of an earlier config, which Slipway has set."""
    deploy_change(one, environment={"OLD": "1"})
    release(one)
    deploy_change(one, environment={"OLD": None, "NEW": "2"})
    release(one)
    one.advance(90 * MINUTE)
    run_on_ecs(str(one.deployment(2)["task_definition"]))
    one.finish_rollout()
    one.tick()
    assert on_ecs(one) == {"OLD": "1"}
    assert one.deploy(f"hello@{put_image('hello', 'by-hand')}").status == 202
    release(one)
    assert on_ecs(one) == {"NEW": "2"}


def test_a_change_neither_resumes_auto_deploy_nor_outranks_a_push(one: Cloud) -> None:
    one.release(2)
    one.roll_back()
    release(one)
    paused = one.service()["auto_deploy_paused"]
    deploy_change(one, environment={"LEVEL": "debug"})
    release(one)
    assert paused is not None
    assert one.service()["auto_deploy_paused"] == paused
    overruled = services()[1]["overruled_at"]
    one.change_service(auto_deploy=True)
    one.advance(MINUTE)
    one.push(sha(3))
    one.settle()
    deploy_change(one, environment={"LEVEL": "info"})
    release(one)
    assert services()[1]["overruled_at"] == overruled
    one.finish_build(3)
    one.finish_rollout()
    assert one.deployment(one.service()["current_deployment_id"])["commit_sha"] == sha(3)


def test_a_rollback_brings_the_config_back_with_the_image_but_no_smaller_service(
    one: Cloud,
) -> None:
    deploy_change(one, environment={"LEVEL": "debug", "GONE": "1"}, desired_count=2)
    release(one)
    deploy_change(one, environment={"LEVEL": "info", "GONE": None}, memory=512, desired_count=4)
    release(one)
    preview = one.preview()
    assert preview["plan"]["config"] == {
        "environment": {"added": ["GONE"], "removed": [], "changed": ["LEVEL"]},
        "secrets": {"added": [], "removed": [], "changed": []},
        "sizes": ["memory"],
    }
    assert preview["plan"]["desired_count"] is None
    one.roll_back()
    shown = config(one)
    assert (shown["environment"], shown["memory"]) == ({"LEVEL": "debug", "GONE": "1"}, None)
    assert (shown["desired_count"], shown["released"], shown["deployment_id"]) == (4, False, 4)
    release(one)
    assert on_ecs(one) == {"LEVEL": "debug", "GONE": "1"}
    assert ecs_service()["desiredCount"] == 4
    assert config(one)["released"] is True
    entries = [each for each in history() if each["action"] == "service.config_changed"]
    assert len(entries) == 3
    one.change_service(auto_deploy=True)
    one.advance(MINUTE)
    one.release(2)
    assert on_ecs(one) == {"LEVEL": "debug", "GONE": "1"}


def test_a_number_of_tasks_that_ecs_was_never_asked_for_is_not_released(one: Cloud) -> None:
    one.change_service(release_command=["migrate"])
    number = deploy_change(one, desired_count=5)
    one.settle()
    assert one.deployment(number)["started_at"] is None
    assert one.roll_back().status == 202
    release(one)
    for _ in range(3):
        one.tick()
    assert ecs_service()["desiredCount"] == 2
    assert (config(one)["desired_count"], config(one)["released"]) == (5, False)


def test_a_rollback_drops_changes_that_were_not_released(one: Cloud) -> None:
    one.release(2)
    change(one, environment={"LEVEL": "debug"}, deploy=False)
    assert one.preview()["plan"]["config"]["environment"]["removed"] == ["LEVEL"]
    one.roll_back()
    release(one)
    assert config(one)["environment"] == {}
    one.change_service(auto_deploy=True)
    one.advance(MINUTE)
    one.release(3)
    assert on_ecs(one) == {}


@pytest.mark.parametrize("how", ["cancelled", "failed", "superseded"])
def test_a_rollback_that_does_not_succeed_leaves_the_config_of_the_release_that_runs(
    one: Cloud, how: str
) -> None:
    deploy_change(one, environment={"DATABASE": "x", "NEW": "1"}, memory=512)
    release(one)
    one.release(2)
    one.advance(90 * MINUTE)
    assert one.roll_back(deployment_id=1).body["deployment_id"] == 4
    change(one, environment={"LATER": "1"}, deploy=False)
    one.settle()
    if how == "cancelled":
        one.api.post("/v1/cicd/jobs/deploy-4/cancel")
        one.settle()
    elif how == "failed":
        one.fail_rollout()
    else:
        one.advance(MINUTE)
        run_on_ecs(register("hello", "hello:outside"))
        one.settle()
        one.tick()
    assert one.statuses(4) == [how]
    shown = config(one)
    assert shown["environment"] == {"DATABASE": "x", "NEW": "1", "LATER": "1"}
    assert shown["memory"] == 512
    entry = json.loads(
        max(
            (each for each in history() if each["action"] == "service.config_changed"),
            key=lambda each: int(each["sequence"]),
        )["details"]
    )
    assert entry["environment"] == {"added": ["DATABASE", "NEW"], "removed": [], "changed": []}
    assert entry["reason"] == "deployment 4 has not rolled back: the release before it stays"
    one.finish_rollout()
    assert one.deploy(f"hello@{put_image('hello', 'by-hand')}").status == 202
    release(one)
    assert on_ecs(one) == {"DATABASE": "x", "NEW": "1", "LATER": "1"}


def test_a_change_that_waits_for_a_failed_rollback_has_the_config_of_its_image(one: Cloud) -> None:
    deploy_change(one, environment={"NEW": "1"})
    release(one)
    one.release(2)
    assert one.roll_back(deployment_id=1).body["deployment_id"] == 4
    number = deploy_change(one, environment={"LEVEL": "debug"})
    one.settle()
    one.fail_rollout()
    release(one)
    assert one.statuses(4, number) == ["failed", "success"]
    assert one.deployment(number)["commit_sha"] == sha(2)
    assert on_ecs(one) == {"NEW": "1", "LEVEL": "debug"}


def test_a_rollback_to_an_older_release_has_an_empty_config(one: Cloud) -> None:
    deploy_change(one, environment={"LEVEL": "debug"})
    release(one)
    make_older(1)
    one.roll_back()
    release(one)
    assert (config(one)["environment"], on_ecs(one)) == ({}, {})


def test_a_rollback_goes_back_over_a_change_of_the_config_alone(one: Cloud) -> None:
    deploy_change(one, environment={"LEVEL": "debug"})
    release(one)
    assert one.preview()["target"]["id"] == 1
    one.roll_back()
    release(one)
    assert on_ecs(one) == {}
    assert one.statuses(2) == ["rolled_back"]


def test_a_change_during_a_rollback_waits_for_it(one: Cloud) -> None:
    one.release(2)
    one.roll_back()
    number = deploy_change(one, environment={"LEVEL": "debug"})
    assert one.service()["waiting_deployment_id"] == number
    release(one)
    assert on_ecs(one) == {"LEVEL": "debug"}
    one.finish_rollout()
    assert one.deployment(number)["commit_sha"] == sha(1)
    assert one.statuses(number) == ["success"]


def test_a_change_without_a_release_or_a_target_is_kept(cloud: Cloud) -> None:
    answer = change(cloud, environment={"LEVEL": "debug"})
    assert (answer.status, answer.body["deployment_id"]) == (200, None)
    assert "no release yet" in answer.body["not_deployed"]
    assert answer.body["code"] == "no_release"
    off = {"ecs_cluster": None, "ecs_service": None, "containers": None, "auto_deploy": False}
    cloud.change_service(**off)
    answer = change(cloud, environment={"MODE": "fast"})
    assert "no ECS target" in answer.body["not_deployed"]
    assert answer.body["code"] == "no_target"
    assert deployments() == {}
    cloud.change_service(
        ecs_cluster=CLUSTER, ecs_service="hello", containers=["app"], auto_deploy=True
    )
    cloud.release(1)
    assert on_ecs(cloud) == {"LEVEL": "debug", "MODE": "fast"}


def test_a_config_moves_with_the_service_to_another_ecs_service(one: Cloud) -> None:
    deploy_change(one, environment={"LEVEL": "debug"})
    release(one)
    for _ in range(2):
        one.tick()
    create_ecs_service("moved")
    one.change_service(ecs_service="moved")
    assert config(one)["released"] is False
    answer = change(one, environment={"MODE": "fast"})
    assert "no release yet" in answer.body["not_deployed"]
    assert answer.body["code"] == "no_release"
    one.deploy_build(1)
    one.settle()
    one.finish_rollout("moved")
    assert variables(one.definition_on_ecs("moved")) == {"LEVEL": "debug", "MODE": "fast"}


def commands_of(cloud: Cloud) -> list[str]:
    """The images of the release commands that have run."""
    return [each.containers[0].definition["image"] for each in ecs.engine().launcher.started]


def test_a_change_after_a_failure_runs_no_command_of_the_older_image(one: Cloud) -> None:
    one.change_service(release_command=["migrate"])
    one.release(2)
    one.end_command()
    number = deploy_change(one, environment={"LEVEL": "debug"})
    one.fail_rollout()
    release(one)
    row = one.deployment(number)
    assert (row["status"], row["image_tag"]) == ("success", one.deployment(1)["image_tag"])
    assert len(commands_of(one)) == 1
    assert [each["code"] for each in row["findings"]] == ["release_command_stays"]
    assert "deployment 2 ran a release command after deployment 1" in row["findings"][0]["message"]
    plan = one.api.patch("/v1/services/1/config?dry_run=true", {"cpu": 256}).body
    assert plan["release_command"] is None
    assert [each["code"] for each in plan["findings"]] == ["release_command_stays"]
    again = deploy_change(one, environment={"LEVEL": "info"})
    release(one)
    assert one.statuses(again) == ["success"]
    assert len(commands_of(one)) == 1
    one.release(3)
    assert len(commands_of(one)) == 2


def test_a_change_after_a_rollback_over_a_command_runs_none(one: Cloud) -> None:
    one.change_service(release_command=["migrate"])
    one.release(2)
    one.end_command()
    one.finish_rollout()
    one.roll_back()
    release(one)
    number = deploy_change(one, environment={"LEVEL": "debug"})
    release(one)
    assert one.statuses(number) == ["success"]
    assert len(commands_of(one)) == 1


def test_a_change_with_the_newest_image_runs_the_command(one: Cloud) -> None:
    one.change_service(release_command=["migrate"])
    for level, count in (("a", 1), ("b", 2)):
        deploy_change(one, environment={"LEVEL": level})
        one.settle()
        one.end_command()
        one.fail_rollout()
        assert len(commands_of(one)) == count


def test_a_size_that_ecs_refuses_is_found_before_anything_is_written(cloud: Cloud) -> None:
    own_containers(cloud, {"name": "app"}, {"name": "b"}, {"name": "c"})
    cloud.change_service(containers=["app", "b", "c"])
    cloud.release(1)
    for wanted, code in (
        ({"memory": 64}, "size_not_supported"),
        ({"environment": {"BIG": "x" * 22_000}}, "definition_too_large"),
    ):
        answer = change(cloud, **wanted)
        assert (answer.status, answer.body["code"]) == (409, "preflight_failed")
        assert [each["code"] for each in answer.body["findings"]] == [code]
    assert deploy_change(cloud, environment={"BIG": "x" * 21_000}, memory=128) == 2
    release(cloud)
    assert cloud.statuses(2) == ["success"]


def test_a_change_that_takes_tasks_away_has_a_warning(one: Cloud) -> None:
    """A failed deployment does not bring them back."""
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=10)
    one.finish_rollout()
    number = deploy_change(one, desired_count=4)
    (warning,) = one.deployment(number)["findings"]
    assert (warning["code"], warning["severity"]) == ("fewer_tasks", "warning")
    assert "asks ECS for 4 tasks, and ECS wants 10 now" in warning["message"]
    one.settle()
    one.fail_rollout()
    for _ in range(3):
        one.tick()
    assert ecs_service()["desiredCount"] == 4
    assert [each["code"] for each in one.deployment(number)["findings"]] == ["fewer_tasks"]
    more = deploy_change(one, desired_count=12)
    assert one.deployment(more)["findings"] == []


def test_the_number_of_tasks_of_a_daemon_is_refused(one: Cloud) -> None:
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    client("ecs").create_service(
        cluster=CLUSTER,
        serviceName="hello",
        taskDefinition="hello",
        schedulingStrategy="DAEMON",
    )
    ecs.engine().complete(CLUSTER, "hello")
    answer = change(one, desired_count=3)
    assert (answer.status, answer.body["code"]) == (409, "preflight_failed")
    (finding,) = answer.body["findings"]
    assert finding["code"] == "count_not_supported"
    assert "scheduling strategy DAEMON" in finding["message"]
    assert change(one, environment={"LEVEL": "debug"}).status == 202


def own_containers(cloud: Cloud, *containers: dict[str, Any]) -> None:
    """ECS runs a definition of the owner with these containers."""
    whole = [{"image": "hello:owner", "memory": 128, **each} for each in containers]
    client("ecs").register_task_definition(family="hello", containerDefinitions=whole)
    run_on_ecs("hello")
    cloud.finish_rollout()


def test_a_removed_name_leaves_a_container_that_gets_the_image_no_more(cloud: Cloud) -> None:
    own_containers(cloud, {"name": "app"}, {"name": "old", "essential": False})
    cloud.change_service(containers=["app", "old"])
    change(cloud, environment={"TOKEN": "leaked", "LEVEL": "debug"})
    cloud.release(1)
    assert variables(cloud.definition_on_ecs(), 1) == {"TOKEN": "leaked", "LEVEL": "debug"}
    for _ in range(3):
        cloud.tick()
    cloud.change_service(containers=["app"])
    deploy_change(cloud, environment={"TOKEN": None})
    release(cloud)
    assert on_ecs(cloud) == {"LEVEL": "debug"}
    assert variables(cloud.definition_on_ecs(), 1) == {}


def test_an_owners_variable_stays_in_a_container_that_gets_the_image_now(cloud: Cloud) -> None:
    level = [{"name": "LEVEL", "value": "owner"}]
    own_containers(
        cloud, {"name": "app"}, {"name": "migrate", "essential": False, "environment": level}
    )
    change(cloud, environment={"LEVEL": "debug"})
    cloud.release(1)
    for _ in range(3):
        cloud.tick()
    cloud.change_service(containers=["app", "migrate"])
    deploy_change(cloud, environment={"LEVEL": None})
    release(cloud)
    assert on_ecs(cloud) == {}
    assert variables(cloud.definition_on_ecs(), 1) == {"LEVEL": "owner"}


def test_a_newer_revision_that_differs_only_in_the_config_is_no_finding(one: Cloud) -> None:
    """The owner's pipeline registers its definition, which has no variable of Slipway."""
    deploy_change(one, environment={"LEVEL": "debug"})
    release(one)
    register("hello", "hello:owner")
    number = deploy_change(one, environment={"LEVEL": "info"})
    assert one.deployment(number)["findings"] == []
    release(one)
    register("hello", "hello:owner", OTHER="1")
    assert [each["code"] for each in one.plan(one.build(1)["image_tag"])["findings"]] == [
        "newer_revision"
    ]


def test_a_change_that_is_not_released_is_released_by_a_repeat(one: Cloud) -> None:
    change(one, environment={"LEVEL": "debug"}, deploy=False)
    again = change(one, environment={"LEVEL": "debug"}, deploy=False)
    assert (again.status, again.body["deployment_id"]) == (200, None)
    assert again.body["not_deployed"].startswith("the config is the same as before")
    assert again.body["code"] == "unchanged"
    number = deploy_change(one, environment={"LEVEL": "debug"})
    assert [deploy_change(one), deploy_change(one, environment={"LEVEL": "debug"})] == [number] * 2
    one.settle()
    assert (one.deployment(number)["status"], deploy_change(one)) == ("deploying", number)
    one.fail_rollout()
    one.finish_rollout()
    assert one.statuses(number) == ["failed"]
    again_number = deploy_change(one)
    assert again_number != number
    release(one)
    assert on_ecs(one) == {"LEVEL": "debug"}
    same = change(one)
    assert (same.status, same.body["deployment_id"]) == (200, None)
    entries = [each for each in history() if each["action"] == "service.config_changed"]
    assert len(entries) == 1


def test_a_repeat_with_a_key_names_the_same_deployment(one: Cloud) -> None:
    change(one, environment={"LEVEL": "debug"})
    headers: dict[str, str | None] = {"Idempotency-Key": "again"}
    path = f"/v1/services/{one.service_id}/config"
    first = one.api.patch(path, {}, headers=headers)
    release(one)
    again = one.api.patch(path, {}, headers=headers)
    assert (first.status, again.status) == (202, 202)
    assert first.body["deployment_id"] == again.body["deployment_id"] == 2


def test_a_change_may_ask_for_no_tasks(one: Cloud) -> None:
    deploy_change(one, desired_count=0)
    release(one)
    assert one.statuses(2) == ["success"]
    assert "wants no tasks" in one.deployment(2)["warnings"][0]
