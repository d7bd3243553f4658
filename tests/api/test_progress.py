"""A job says what it does, how far it is, and how long it may still take."""

from itertools import count
from typing import Any

import pytest

from chalicelib import aws
from chalicelib.aws import ecr, logs
from chalicelib.domain.log_streams import LogStream
from chalicelib.domain.tasks import Task
from chalicelib.pipeline.glances import SHARED
from chalicelib.pipeline.reconcilers.loop import TRIES
from infra.local.aws import codebuild, ecs
from tests.support.embedded import (
    CLUSTER,
    Cloud,
    client,
    ecs_service,
    log_to_cloudwatch,
    put_image,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Calls, Trouble


@pytest.fixture
def building(cloud: Cloud) -> Cloud:
    """Build 1 runs BuildKit."""
    cloud.push(sha(1))
    cloud.settle()
    cloud.enter_phase(1, "BUILD")
    return cloud


def state(cloud: Cloud, number: int = 1) -> tuple[int, str | None]:
    build = cloud.build(number)
    return build["progress"], build["step"]


def shown(job: Any) -> dict[str, Any]:
    return {name: job[name] for name in ("progress", "step", "remaining_seconds")}


def test_a_build_follows_the_steps_of_buildkit(building: Cloud) -> None:
    assert state(building) == (40, "builds the image")
    building.write_log(1, "#5 [1/5] FROM alpine", "#6 [2/5] RUN make")
    assert state(building) == (48, "building 2/5")
    building.write_log(1, *("#6 0.1 noise" for _ in range(500)))
    assert state(building) == (48, "building 2/5")
    building.write_log(1, "#8 [4/5] RUN test")
    assert state(building) == (64, "building 4/5")
    building.write_log(1, "#10 exporting to image", "#10 pushing layers")
    assert state(building) == (80, "pushes the image")
    building.enter_phase(1, "POST_BUILD")
    building.wake("build-1")  # EventBridge sends no event of this phase
    assert state(building) == (85, "finishes")
    building.finish_build(1)
    assert state(building) == (100, None)


def test_a_step_that_somebody_saw_is_in_lists_without_a_look(building: Cloud, calls: Calls) -> None:
    building.write_log(1, "#5 [2/5] RUN make")
    assert state(building) == (48, "building 2/5")
    calls.clear()
    (build,) = building.api.get(f"/v1/cicd/services/{building.service_id}/builds").body["items"]
    (job,) = building.api.get("/v1/cicd/jobs").body["items"]
    assert shown(build) == shown(job)
    assert (build["progress"], build["step"]) == (48, "building 2/5")
    assert calls.to("logs.GetLogEvents") == []
    assert shown(building.job("build-1")) == shown(build)


def test_a_job_of_a_build_follows_its_steps(building: Cloud) -> None:
    building.write_log(1, "#5 [3/4] RUN make")
    assert (building.job("build-1")["progress"], building.job("build-1")["step"]) == (
        60,
        "building 3/4",
    )


def test_progress_does_not_fall_with_events_that_come_late(building: Cloud) -> None:
    building.write_log(1, "#5 [4/4] RUN make")
    assert state(building)[0] == 70
    building.tick()
    building.wake("build-1")
    assert state(building) == (70, "building 4/4")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("logs.GetLogEvents", "AccessDeniedException"),
        ("logs.GetLogEvents", "ThrottlingException"),
        ("dynamodb.UpdateItem", "TransactionConflictException"),
        ("dynamodb.UpdateItem", "AccessDeniedException"),
        ("dynamodb.UpdateItem", "ThrottlingException"),
    ],
)
def test_a_look_that_fails_changes_nothing(
    building: Cloud, trouble: Trouble, monkeypatch: pytest.MonkeyPatch, operation: str, code: str
) -> None:
    monkeypatch.setattr("chalicelib.store.writes.time.sleep", lambda _: None)
    building.write_log(1, "#5 [3/4] RUN make")
    trouble.refuse(operation, code, times=6)
    assert state(building) == (40, "builds the image")
    trouble.end()
    assert state(building) == (60, "building 3/4")


def test_a_viewer_does_not_lose_a_write_of_the_loop(
    building: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop writes between a viewer's read and its write."""
    building.write_log(1, "#5 [3/4] RUN make")
    codebuild_id, tails = building.build(1)["codebuild_id"], logs.tail
    building.write_log(1, "#5 [4/4] RUN make")

    def tail(stream: LogStream, *, limit: int) -> list[str]:
        lines = tails(stream, limit=limit)
        codebuild.engine().phase(codebuild_id, "POST_BUILD")
        building.wake("build-1")
        return lines

    with monkeypatch.context() as patched:
        patched.setattr(logs, "tail", tail)
        assert building.api.get("/v1/cicd/builds/1").status == 200
    assert state(building) == (85, "finishes")


@pytest.mark.parametrize("viewers", [1, 2, 5])
def test_a_build_ends_with_the_next_message_although_viewers_write(
    building: Cloud, monkeypatch: pytest.MonkeyPatch, viewers: int
) -> None:
    """Each viewer writes between a read and a write of the loop, which repeats its step at once."""
    digests, looks = ecr.digest_of, count(1)

    def digest_of(repository: str, tag: str) -> str | None:
        found = digests(repository, tag)
        look = next(looks)
        if look <= viewers:
            building.write_log(1, f"#5 [{look + 1}/9] RUN make")
            assert building.build(1)["step"] == f"building {look + 1}/9"
        return found

    monkeypatch.setattr(ecr, "digest_of", digest_of)
    building.finish_build(1, settle=False)
    building.lose_events()
    building.wake("build-1")
    assert building.build(1)["status"] == ("success" if viewers < TRIES else "building")
    for _ in range(2):
        building.tick()
    assert building.build(1)["status"] == "success"
    assert building.build(1)["deployment_id"] is not None
    assert next(looks) == viewers + 2


def test_builds_before_buildkit_say_what_they_wait_for(cloud: Cloud) -> None:
    numbers = [cloud.ask_for_build(git_ref=f"ref-{n}") for n in range(3)]
    cloud.settle()
    waiting = cloud.build(numbers[2])
    assert (waiting["step"], waiting["position"]) == ("waits in Slipway's line", 1)
    assert waiting["remaining_seconds"] is None
    assert state(cloud, numbers[0])[1] in {"waits for CodeBuild's quota", "waits for its machine"}
    cloud.enter_phase(numbers[0], "PRE_BUILD")
    assert state(cloud, numbers[0])[1] == "fetches the source"


def release(cloud: Cloud, number: int, *, build: int, rollout: int) -> None:
    """Build and deploy a commit in so many seconds."""
    found = int(cloud.push(sha(number)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.enter_phase(found, "BUILD")
    cloud.advance(build)
    cloud.finish_build(found)
    cloud.advance(rollout)
    cloud.finish_rollout()


def test_the_expected_time_comes_from_the_service_itself(cloud: Cloud) -> None:
    for number, (build, rollout) in enumerate([(100, 40), (300, 60), (120, 50)], 1):
        release(cloud, number, build=build, rollout=rollout)
    cloud.push(sha(9))
    cloud.settle()
    cloud.enter_phase(4, "BUILD")
    assert cloud.build(4)["remaining_seconds"] == 120
    cloud.advance(50)
    assert cloud.build(4)["remaining_seconds"] == 70
    assert cloud.job("build-4")["remaining_seconds"] == 70
    cloud.advance(500)
    assert cloud.build(4)["remaining_seconds"] == 0
    cloud.finish_build(4)
    assert cloud.build(4)["remaining_seconds"] is None
    assert cloud.deployment(4)["remaining_seconds"] == 50
    cloud.advance(20)
    assert cloud.job("deploy-4")["remaining_seconds"] == 30


def test_failures_are_no_history(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.advance(10)
    cloud.end_build(1, "FAILED")
    cloud.push(sha(2))
    cloud.settle()
    cloud.enter_phase(2, "BUILD")
    assert cloud.build(2)["remaining_seconds"] is None


def test_a_deployment_counts_its_tasks(cloud: Cloud) -> None:
    cloud.begin_release(1)
    assert cloud.deployment(1)["step"] == "0 of 2 tasks run"
    ecs.engine().report(CLUSTER, "hello", ecs_service()["deployments"][0]["id"], running=1)
    cloud.wake(f"service-{cloud.service_id}")
    assert (cloud.deployment(1)["step"], cloud.deployment(1)["progress"]) == (
        "1 of 2 tasks run",
        52,
    )
    assert cloud.job("deploy-1")["step"] == "1 of 2 tasks run"
    ecs.engine().report(CLUSTER, "hello", ecs_service()["deployments"][0]["id"], running=0)
    cloud.wake(f"service-{cloud.service_id}")
    assert (cloud.deployment(1)["step"], cloud.deployment(1)["progress"]) == (
        "0 of 2 tasks run",
        52,
    )
    cloud.finish_rollout()
    assert cloud.deployment(1)["step"] is None


def test_a_release_command_is_a_step(cloud: Cloud) -> None:
    log_to_cloudwatch(cloud)
    cloud.change_service(release_command=["migrate"])
    cloud.begin_release(1)
    assert cloud.deployment(1)["step"] == "release command starts"
    launcher = ecs.engine().launcher
    launcher.begin(launcher.started[-1])
    cloud.settle()
    assert cloud.deployment(1)["step"] == "release command runs"


def test_the_first_release_command_waits_for_no_earlier_one(cloud: Cloud, trouble: Trouble) -> None:
    cloud.change_service(release_command=["migrate"])
    cloud.deploy(f"hello@{put_image('hello', 'new')}")
    cloud.wake(f"service-{cloud.service_id}")
    trouble.refuse("ecs.DescribeServices", "ThrottlingException")
    cloud.wake(f"service-{cloud.service_id}")
    deployment = cloud.deployment(1)
    assert deployment["step"] == "waits for the start of its release command"
    assert deployment["waiting_for"] is None
    cloud.settle()
    assert cloud.deployment(1)["step"] == "release command starts"


def test_a_waiting_deployment_says_what_it_waits_for(cloud: Cloud) -> None:
    cloud.begin_release(1)
    cloud.deploy(f"hello@{put_image('hello', 'other')}")
    assert cloud.deployment(2)["waiting_for"] == "the end of deployment 1, which is active"
    assert cloud.deployment(2)["step"] == "waits for its begin"
    assert cloud.deployment(1)["waiting_for"] is None
    cloud.finish_rollout(settle=False)
    cloud.wake(f"service-{cloud.service_id}")
    assert cloud.deployment(2)["waiting_for"] == "its begin: it is the next step of the service"


def test_the_tasks_of_a_rollout_are_shown_as_they_come_up(cloud: Cloud) -> None:
    cloud.begin_release(1)
    engine = ecs.engine()
    new = ecs_service()["deployments"][0]["id"]
    engine.report(CLUSTER, "hello", new, running=1, failed=1, exit_code=3)
    tasks = cloud.deployment(1)["tasks"]
    own = [task for task in tasks if task["revision"] == tasks[0]["revision"]]
    stopped = [task for task in own if task["stopped_reason"]]
    assert [task["stopped_reason"] for task in stopped] == ["container app exited with code 3"]
    assert sum(task["status"] == "RUNNING" and bool(task["started_at"]) for task in own) == 1
    others = [task for task in tasks if task not in own]
    assert all(task["stopped_reason"] is None for task in others)
    listed = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/deployments").body["items"]
    assert listed[0]["tasks"] is None
    cloud.finish_rollout()
    assert cloud.deployment(1)["tasks"] is None


def test_a_crash_loop_hides_no_task_that_runs(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newest tasks have begun later, or never."""
    cloud.begin_release(1)
    revision = cloud.deployment(1)["task_definition"]
    runs = Task("task/runs", revision, "RUNNING", "UNKNOWN", (), started_at=1000)
    crashed = [
        Task(f"task/{n}", revision, "STOPPED", "UNKNOWN", (), started_at=begun, stopped_at=2000 + n)
        for n, begun in enumerate([None, 1900] * 15)
    ]
    monkeypatch.setattr(aws.ecs, "some_tasks", lambda _target: [*crashed, runs])
    cloud.advance(SHARED + 1)
    shown = [task["id"] for task in cloud.deployment(1)["tasks"]]
    assert shown == ["runs", "29", "28", "27", "26", "25"]


def test_a_stopped_task_has_the_same_reason_as_in_the_log(cloud: Cloud) -> None:
    """A container that is not essential did not end it."""
    helper = {"name": "helper", "image": "h:1", "memory": 64, "essential": False}
    app = {"name": "app", "image": "hello:before", "memory": 128}
    client("ecs").register_task_definition(family="hello", containerDefinitions=[helper, app])
    run_on_ecs("hello")
    cloud.finish_rollout()
    cloud.begin_release(1)
    engine, new = ecs.engine(), ecs_service()["deployments"][0]["id"]
    engine.report(CLUSTER, "hello", new, running=1)
    task = next(each for each in engine.tasks(new) if each.started_at is not None)
    killed = task.containers[0]
    killed.exit_code, killed.reason = 137, "OutOfMemoryError: Container killed"
    engine.report(CLUSTER, "hello", new, running=0, failed=1, exit_code=3)
    lines = cloud.api.get("/v1/cicd/deployments/1/logs").body["lines"]
    (stop,) = [each["message"] for each in lines if " stopped: " in each["message"]]
    assert stop.endswith("stopped: container app exited with code 3")
    reasons = {each["stopped_reason"] for each in cloud.deployment(1)["tasks"]}
    assert reasons == {None, "container app exited with code 3"}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_deployment_is_shown_without_its_tasks_if_ecs_does_not_show_them(
    cloud: Cloud, trouble: Trouble, code: str
) -> None:
    cloud.begin_release(1)
    trouble.refuse("ecs.ListTasks", code)
    assert cloud.deployment(1)["tasks"] is None
    trouble.end()
    assert len(cloud.deployment(1)["tasks"]) >= 2


def test_a_deployment_with_many_tasks_shows_some_of_them(cloud: Cloud) -> None:
    client("ecs").update_service(cluster=CLUSTER, service="hello", desiredCount=150)
    cloud.begin_release(1)
    tasks = cloud.deployment(1)["tasks"]
    assert len(tasks) == 20
