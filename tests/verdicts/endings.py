"""The endings of rollouts on ECS: how each is played, and AWS's answer with its source.

The steps change the ECS service "hello" of the embedded cloud as its tasks, its owner and other
parties do. The right verdict is `success` if at the end of the story the image of the deployment
runs in as many tasks as are desired, as long as the tool does not end the story itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from infra.local.aws import ecs
from infra.local.aws.ecs_records import Deployment
from tests.support.embedded import CLUSTER, client, ecs_service, put_image, register, run_on_ecs
from tests.verdicts.stage import Step, nothing

NAME = "hello"
TAG = "release"
ALARM = "errors"
HOOK = "arn:aws:lambda:eu-west-1:123456789012:function:gate"


class Verdict(StrEnum):
    """The verdict of a tool about its deployment. Only Slipway has `superseded`."""

    SUCCESS = "success"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Image(StrEnum):
    """How the deployment names its image."""

    DIGEST = "digest"
    INDEX = "index"  # the digest of an image index
    TAG = "tag"


@dataclass(frozen=True)
class Ending:
    """An ending of a rollout.

    `steps` are played so many seconds after the rollout began, and `before` is played before it.
    `configuration` is the part of the service's deployment configuration that the ending needs.
    `source` is AWS's page and its content. It says which parts are inferred.
    """

    name: str
    right: Verdict
    source: str
    steps: Mapping[int, Step]
    before: Step = nothing
    configuration: Mapping[str, Any] = field(default_factory=dict)
    image: Image = Image.DIGEST


# The service's tasks.


def primary() -> Deployment:
    """The newest deployment of the service."""
    return ecs.engine().service(CLUSTER, NAME).deployments[0]


def healthy(count: int | None = None) -> Step:
    """So many tasks of the newest deployment are healthy, by default all."""

    def step() -> None:
        newest = primary()
        running = newest.desired_count if count is None else count
        ecs.engine().report(CLUSTER, NAME, newest.id, running=running)

    return step


def crash(failed: int, *, healthy: int = 0) -> Step:
    """So many tasks of the newest deployment exit, and so many are healthy."""

    def step() -> None:
        newest = primary().id
        ecs.engine().report(CLUSTER, NAME, newest, running=healthy, failed=failed, exit_code=1)

    return step


def cannot_pull(failed: int) -> Step:
    """So many tasks of the newest deployment cannot start."""
    reason = "CannotPullContainerError: the registry timed out"

    def step() -> None:
        ecs.engine().report(CLUSTER, NAME, primary().id, running=0, failed=failed, reason=reason)

    return step


def at_once(*steps: Step) -> Step:
    """Several steps, without time for a look between them."""

    def step() -> None:
        for each in steps:
            each()

    return step


# The service's owner, and other parties.


def configure(**configuration: Any) -> Step:
    """UpdateService changes members of the deployment configuration: this starts no rollout."""

    def step() -> None:
        kept = ecs_service(NAME)["deploymentConfiguration"]
        client("ecs").update_service(
            cluster=CLUSTER, service=NAME, deploymentConfiguration=kept | configuration
        )

    return step


def scale(count: int) -> Step:
    """UpdateService changes the number of desired tasks."""

    def step() -> None:
        client("ecs").update_service(cluster=CLUSTER, service=NAME, desiredCount=count)

    return step


def size(count: int) -> Step:
    """The service has so many healthy tasks."""
    return at_once(scale(count), healthy())


def alarm() -> None:
    """The service's CloudWatch alarm goes into the state ALARM."""
    ecs.engine().alarm(ALARM)


def bake() -> None:
    """All tasks of the newest deployment are healthy, and ECS goes on watching the alarms."""
    ecs.engine().bake(CLUSTER, NAME)


def refuse() -> None:
    """The service's lifecycle hook returns FAILED."""
    ecs.engine().refuse(CLUSTER, NAME, HOOK)


def stop_rollout() -> None:
    """StopServiceDeployment for the newest rollout."""
    listed = client("ecs").list_service_deployments(cluster=CLUSTER, service=NAME)
    newest = listed["serviceDeployments"][0]["serviceDeploymentArn"]
    client("ecs").stop_service_deployment(serviceDeploymentArn=newest, stopType="ROLLBACK")


def stop_task() -> None:
    """StopTask for a running task of the newest deployment."""
    arns = client("ecs").list_tasks(cluster=CLUSTER, serviceName=NAME)["taskArns"]
    tasks = client("ecs").describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]
    own = [each for each in tasks if each["startedBy"] == primary().id]
    running = [each["taskArn"] for each in own if each["lastStatus"] == "RUNNING"]
    client("ecs").stop_task(cluster=CLUSTER, task=running[0])


def choose_another() -> None:
    """Another party makes ECS run its own definition."""
    run_on_ecs(register(NAME, f"{NAME}:theirs"))


def go_back() -> None:
    """Another party makes ECS run the definition from before the rollout again."""
    run_on_ecs(ecs.engine().service(CLUSTER, NAME).deployments[-1].task_definition)


def force() -> None:
    """Another party forces a new deployment of the same definition."""
    client("ecs").update_service(cluster=CLUSTER, service=NAME, forceNewDeployment=True)


def move_tags() -> None:
    """Another build pushes another image under the same tags."""
    for each in client("ecr").describe_images(repositoryName=NAME)["imageDetails"]:
        for tag in each.get("imageTags", ()):
            put_image(NAME, tag, content=f"another {tag}")


def delete() -> None:
    """DeleteService with `force`."""
    client("ecs").delete_service(cluster=CLUSTER, service=NAME, force=True)


BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
NO_ROLLBACK = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
ALARMS = {"alarms": {"alarmNames": [ALARM], "enable": True, "rollback": True}}
EARLY = {
    "earlySuccessCriteria": {
        "enable": True,
        "healthyPercent": 50,
        "sourceServiceRevisionCleanup": "BLOCKING",
    }
}

ENDINGS = (
    Ending(
        "All tasks become healthy",
        Verdict.SUCCESS,
        "API reference, Deployment: rolloutState becomes COMPLETED in a steady state.",
        {60: healthy(1), 120: healthy()},
    ),
    Ending(
        "Breaker, ECS rolls back",
        Verdict.FAILED,
        "Guide, circuit breaker: ECS rolls back to the newest COMPLETED deployment. Inferred: "
        "the rollback becomes PRIMARY at the moment of the failure.",
        {60: crash(3), 120: healthy()},
        configuration=BREAKER,
    ),
    Ending(
        "Breaker, the owner has switched its rollback off",
        Verdict.FAILED,
        "Guide, circuit breaker: the deployment becomes FAILED, and ECS starts no more tasks.",
        {30: configure(**NO_ROLLBACK), 60: crash(3)},
        configuration=BREAKER,
    ),
    Ending(
        "Breaker, the rollback fails too",
        Verdict.FAILED,
        "Guide, service deployments: ROLLBACK_FAILED. Circuit breaker: the rollback is not "
        "COMPLETED, so ECS does not roll back once more.",
        {60: crash(3), 120: crash(3)},
        configuration=BREAKER,
    ),
    Ending(
        "Four tasks cannot start, later all become healthy",
        Verdict.SUCCESS,
        "Guide, service throttle logic and service action events: ECS reports that it cannot "
        "consistently start tasks, and goes on with pauses. Inferred: the number of failures "
        "before it reports.",
        {30: cannot_pull(4), 240: healthy()},
        before=size(12),
    ),
    Ending(
        "Alarm during the rollout",
        Verdict.FAILED,
        "Guide, alarms: ECS sets the deployment to failed and rolls back.",
        {60: healthy(1), 90: alarm, 150: healthy()},
        configuration=ALARMS,
    ),
    Ending(
        "Alarm in the bake time, after all tasks are healthy",
        Verdict.FAILED,
        "Guide, alarms: ECS watches them for a time after the earlier tasks are gone. Inferred: "
        "only one deployment is left then.",
        {60: bake, 120: alarm, 180: healthy()},
        configuration=ALARMS,
    ),
    Ending(
        "Alarm that was on before the rollout",
        Verdict.SUCCESS,
        "Guide, alarms: ECS does not monitor alarms for the duration of that deployment.",
        {60: healthy()},
        before=alarm,
        configuration=ALARMS,
    ),
    Ending(
        "Early success, later all tasks are healthy",
        Verdict.SUCCESS,
        "Guide, early success: ECS completes the deployment at healthyPercent and goes on scaling.",
        {60: healthy(1), 120: healthy()},
        configuration=EARLY,
    ),
    Ending(
        "Early success, the other tasks crash",
        Verdict.FAILED,
        "Guide, failure detection: after early success breaker and alarms no longer roll back.",
        {60: healthy(1), **{at: crash(1, healthy=1) for at in (120, 900)}},
        configuration=EARLY,
    ),
    Ending(
        "Scaled to zero before the rollout",
        Verdict.SUCCESS,
        "Inferred: no task is missing, so the rollout ends.",
        {60: healthy()},
        before=scale(0),
    ),
    Ending(
        "Scaled to zero during the rollout",
        Verdict.SUCCESS,
        "API reference, UpdateService: desiredCount starts no rollout. Inferred: the end, as "
        "above.",
        {60: healthy(1), 90: scale(0), 120: healthy()},
    ),
    Ending(
        "Scaled up during the rollout",
        Verdict.SUCCESS,
        "Guide, early success: without it ECS completes at 100 percent of the desired count.",
        {60: healthy(1), 90: scale(4), 120: healthy(2), 180: healthy()},
    ),
    Ending(
        "Scaled up as the rollout ends, capacity comes after 30 minutes",
        Verdict.SUCCESS,
        "Guide, early success and throttle logic: the rollout has ended, and ECS goes on to "
        "start tasks.",
        {60: at_once(healthy(), scale(4)), 1860: healthy()},
    ),
    Ending(
        "StopServiceDeployment during the rollout",
        Verdict.FAILED,
        "Guide, stopping service deployments: ROLLBACK_REQUESTED, and the rollback starts. "
        "Inferred: the stopped deployment does not become FAILED.",
        {60: healthy(1), 90: stop_rollout, 105: healthy(1), 150: healthy()},
    ),
    Ending(
        "StopTask, ECS replaces the task",
        Verdict.SUCCESS,
        "API reference, StopTask. Guide, services: the scheduler replaces tasks that stop.",
        {60: healthy(1), 90: stop_task, 150: healthy()},
    ),
    Ending(
        "Another party rolls out its own definition",
        Verdict.SUPERSEDED,
        "API reference, UpdateService: its definition becomes PRIMARY. Inferred: the record of the "
        "first rollout is STOPPED.",
        {60: choose_another, 120: healthy()},
    ),
    Ending(
        "Another party goes back to the release before",
        Verdict.SUPERSEDED,
        "API reference, UpdateService. Inferred: as above.",
        {60: go_back, 120: healthy()},
    ),
    Ending(
        "Another party forces the same definition again",
        Verdict.SUCCESS,
        "API reference, UpdateService: forceNewDeployment starts a rollout without a change.",
        {60: force, 120: healthy()},
    ),
    Ending(
        "The tag is moved before the first task starts",
        Verdict.SUCCESS,
        "API reference, ContainerImage: ECS resolves tags to digests. Inferred: with the first "
        "task.",
        {30: move_tags, 60: healthy()},
        image=Image.TAG,
    ),
    Ending(
        "The image is an index, tasks report its manifest",
        Verdict.SUCCESS,
        "API reference, Container: imageDigest is a manifest's digest. Inferred: which one.",
        {60: healthy()},
        image=Image.INDEX,
    ),
    Ending(
        "A lifecycle hook refuses",
        Verdict.FAILED,
        "Guide, Lambda hooks: after FAILED ECS rolls back to the last successful revision. "
        "Inferred: also in a rolling update.",
        {60: refuse, 120: healthy()},
    ),
    Ending(
        "Slow: a task becomes healthy every 10 minutes",
        Verdict.SUCCESS,
        "Inferred: ECS sets no limit of minutes to a rollout.",
        {600 * count: healthy(count) for count in range(1, 5)},
        before=size(4),
    ),
    Ending(
        "Limping: tasks become healthy and exit, again and again",
        Verdict.FAILED,
        "API reference, DeploymentCircuitBreaker: resetOnHealthyTask, so it never trips.",
        {
            at: step
            for minute in range(1, 25, 2)
            for at, step in ((60 * minute, healthy(1)), (60 * minute + 60, crash(1)))
        },
        configuration=BREAKER,
    ),
    Ending(
        "No task ever starts, and none fails",
        Verdict.FAILED,
        "Guide, circuit breaker: it counts failed tasks, so it does not act.",
        {},
    ),
    Ending(
        "All tasks crash right after ECS completed the rollout",
        Verdict.FAILED,
        "Guide, circuit breaker: it acts during a deployment. ECS starts further tasks.",
        {60: at_once(healthy(), crash(2)), **{at: crash(2) for at in (180, 900)}},
    ),
    Ending(
        "The ECS service is deleted during the rollout",
        Verdict.FAILED,
        "API reference, DeleteService: `force` also deletes a service with tasks. Inferred: at "
        "once.",
        {60: delete},
    ),
)
