"""The rules of an Amazon ECS service's rollouts: deployments, circuit breaker, rollback, history.

Pure state and rules. moto serialises responses from the attributes, so their names are the members
of the ECS API in snake case. Sources: the ECS API reference (Deployment, ServiceDeployment,
DeploymentConfiguration) and the ECS developer guide ("How the Amazon ECS deployment circuit breaker
detects failures", "How CloudWatch alarms detect Amazon ECS deployment failures", "Stopping Amazon
ECS service deployments", "Complete Amazon ECS rolling deployments early").
"""

import math
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.aws.ecs_tasks import UNHEALTHY, Fleet, Stop, Task, now

Json = dict[str, Any]
# "Troubleshooting with Amazon ECS Action Logs". Inferred: the status is ROLLBACK_FAILED.
NO_CANDIDATE = "No rollback candidate was found to run the rollback."
# Failed starts in a row after which ECS throttles a service. Inferred: the guide has no number.
IMPAIRED = 3
OPEN = ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
SHOWN_EVENTS = 100


@dataclass(frozen=True)
class Cause:
    """Why ECS ends a rollout, in the words of the places that show it.

    `event` is for the service's events, and `state` is the deployment's `rolloutStateReason`, empty
    if the deployment does not become FAILED. `record` is the `statusReason` after a rollback, and
    `by` begins the reason of the rollback's deployment.
    """

    event: str
    state: str
    record: str
    by: str


# Documented: `state` and `by` in the guide's deployment events. Seen in public output: the others.
BREAKER = Cause(
    "tasks failed to start.",
    "ECS deployment circuit breaker: tasks failed to start.",
    "Service deployment rolled back because the circuit breaker threshold was exceeded.",
    "ECS deployment circuit breaker",
)
# Seen in public output: `event` and `record`. Inferred: `state` and `by`.
ALARM = Cause(
    "alarm detected.",
    "ECS deployment alarms: alarm detected.",
    "Service deployment rolled back because of one or more active alarms.",
    "ECS deployment alarms",
)
# Inferred: all texts, and that the deployment does not become FAILED.
USER = Cause(
    "stopped by a user.",
    "",
    "Service deployment rolled back because a user stopped it.",
    "ECS deployment stopped",
)


def hook_refusal(stage: str, target: str) -> Cause:
    """A lifecycle hook that returned FAILED. Seen in public output: `record`, also as `event`."""
    record = (
        f"Service deployment rolled back because {stage} lifecycle hook(s) failed. Lifecycle hook"
        f" target {target} returned FAILED status."
    )
    return Cause(record, record, record, "ECS deployment lifecycle hook")


@dataclass(frozen=True)
class Revision:
    """A service revision. Its id is unrelated to the revision number of the task definition.

    `container_images` is empty until its first task starts.
    """

    service_revision_arn: str
    service_arn: str
    cluster_arn: str
    task_definition: str
    container_images: list[Json] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)


@dataclass
class Deployment:
    """An entry of a service's `deployments`: the tasks of one revision.

    `healthy` are the ids of the healthy tasks, if the data plane named them.
    """

    id: str
    revision: Revision
    desired_count: int
    rollout_state_reason: str
    status: str = "PRIMARY"
    rollout_state: str = "IN_PROGRESS"
    running_count: int = 0
    failed_tasks: int = 0
    failed_starts: int = 0
    healthy: frozenset[str] = frozenset()
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)

    @property
    def task_definition(self) -> str:
        """The ARN of the task definition that its tasks run."""
        return self.revision.task_definition

    @property
    def pending_count(self) -> int:
        """Desired tasks that are not healthy yet."""
        return max(0, self.desired_count - self.running_count)

    @property
    def summary(self) -> Json:
        """As a ServiceRevisionSummary."""
        return {
            "arn": self.revision.service_revision_arn,
            "requestedTaskCount": self.desired_count,
            "runningTaskCount": self.running_count,
            "pendingTaskCount": self.pending_count,
        }


@dataclass
class Record:
    """A service deployment: the permanent record of one rollout and its rollback.

    `tripped` says whether the circuit breaker ended the rollout. `watched` are the alarms that may
    end it, and `triggered` those that did.
    """

    service_deployment_arn: str
    service: "Service"
    target: Deployment
    source_service_revisions: list[Json]
    status: str = "PENDING"
    status_reason: str | None = None
    rollback: Json | None = None
    tripped: bool = False
    watched: frozenset[str] = frozenset()
    triggered: list[str] = field(default_factory=list)
    created_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def service_arn(self) -> str:
        """The service's ARN."""
        return self.service.arn

    @property
    def cluster_arn(self) -> str:
        """The ARN of the service's cluster."""
        return self.service.cluster_arn

    @property
    def target_service_revision_arn(self) -> str:
        """As ListServiceDeployments names it."""
        return self.target.revision.service_revision_arn

    @property
    def target_service_revision(self) -> Json:
        """As DescribeServiceDeployments shows it."""
        return self.target.summary

    @property
    def deployment_circuit_breaker(self) -> Json:
        """The breaker's state for the target."""
        return {
            "status": self._monitor(self.service.breaker["enable"], self.tripped),
            "failureCount": self.target.failed_tasks,
            "threshold": self.service.threshold,
        }

    @property
    def alarms(self) -> Json:
        """The state of the service's alarms. DISABLED also if ECS ignores them (inferred)."""
        return {
            "status": self._monitor(bool(self.watched), bool(self.triggered)),
            "alarmNames": self.service.alarms["alarmNames"],
            "triggeredAlarmNames": self.triggered,
        }

    def _monitor(self, watches: bool, triggered: bool) -> str:
        monitoring = "MONITORING_COMPLETE" if self.finished_at else "MONITORING"
        return "TRIGGERED" if triggered else monitoring if watches else "DISABLED"

    def end(self, status: str, reason: str | None) -> None:
        """Close the record."""
        self.status, self.status_reason, self.finished_at = status, reason, now()


@dataclass
class Service:
    """An ECS service. `deployments`, `records` and `events` are ordered newest first.

    `alarms_on` are all alarms in the state ALARM, of the account.
    """

    cluster: str
    name: str
    arn: str
    cluster_arn: str
    desired_count: int
    deployment_configuration: Json
    publish: Callable[[Json], None]
    fleet: Fleet
    alarms_on: set[str]
    launch_type: str | None = None
    network_configuration: Json | None = None
    capacity_provider_strategy: list[Json] | None = None
    platform_version: str | None = None
    placement_constraints: list[Json] | None = None
    placement_strategy: list[Json] | None = None
    propagate_tags: str | None = None
    scheduling_strategy: str = "REPLICA"
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    revisions: list[Revision] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    completed: Deployment | None = None
    created_at: datetime = field(default_factory=now)

    @property
    def breaker(self) -> Json:
        """The circuit breaker's settings, with defaults for missing ones."""
        asked: Json = self.deployment_configuration["deploymentCircuitBreaker"]
        return {"enable": False, "rollback": False, "resetOnHealthyTask": True} | asked

    @property
    def alarms(self) -> Json:
        """The settings of the alarms, with defaults for missing ones."""
        asked: Json = self.deployment_configuration.get("alarms", {})
        return {"alarmNames": [], "enable": False, "rollback": False} | asked

    @property
    def threshold(self) -> int:
        """How many failed tasks trip the breaker: half of those desired, from 3 to 200.

        API reference, ThresholdConfiguration. Inferred: at least one if there are no bounds.
        """
        asked = self.breaker.get("thresholdConfiguration", {"type": "BOUNDED_PERCENT", "value": 50})
        if asked["type"] == "COUNT":
            return int(asked["value"])
        share: int = math.ceil(self.desired_count * asked["value"] / 100)
        return max(1, share) if asked["type"] == "UNBOUNDED_PERCENT" else min(200, max(3, share))

    @property
    def enough(self) -> int:
        """How many healthy tasks complete a rollout: "Complete rolling deployments early"."""
        share: int = self._early.get("healthyPercent", 100)
        return math.ceil(self.desired_count * share / 100)

    @property
    def task_definition(self) -> str | None:
        """The PRIMARY deployment's. None for a deleted service."""
        return self.deployments[0].task_definition if self.deployments else None

    @property
    def running_count(self) -> int:
        """Healthy tasks of all deployments."""
        return sum(each.running_count for each in self.deployments)

    @property
    def pending_count(self) -> int:
        """Tasks of all deployments that are not healthy yet."""
        return sum(each.pending_count for each in self.deployments)

    def roll_out(self, task_definition: str) -> None:
        """Begin a new PRIMARY deployment. It supersedes a rollout in progress."""
        self.supersede("Superseded by a newer service deployment.")
        revision = Revision(
            self._arn("service-revision", f"{secrets.randbelow(10**19):019}"),
            self.arn,
            self.cluster_arn,
            task_definition,
        )
        self.revisions.append(revision)
        sources = [each.summary for each in self.deployments]
        primary = self._begin(revision, "ECS deployment {id} in progress.")
        arn = self._arn("service-deployment", secrets.token_hex(10))
        # "If an alarm is in the ALARM state at the beginning of a deployment, Amazon ECS will not
        # monitor alarms for the duration of that deployment."
        names = frozenset(self.alarms["alarmNames"] if self.alarms["enable"] else ())
        watched = frozenset() if names & self.alarms_on else names
        self.records.insert(0, Record(arn, self, primary, sources, watched=watched))

    def scale(self, desired_count: int) -> None:
        """Change the number of desired tasks. A failed deployment starts none."""
        self.desired_count = desired_count
        primary, *older = self.deployments
        if primary.rollout_state != "FAILED":
            primary.desired_count = desired_count
        for each in older:
            each.desired_count = min(each.desired_count, desired_count)
        self._follow()

    def delete(self) -> None:
        """End everything at once, without the time that AWS takes to drain the tasks."""
        self.supersede("The service was deleted.")
        self.status, self.desired_count, self.deployments = "INACTIVE", 0, []
        self._follow()

    def supersede(self, reason: str) -> None:
        """End the record of a replaced rollout, if it is still in progress."""
        for record in self.records[:1]:
            if record.status == "ROLLBACK_IN_PROGRESS":
                record.end("ROLLBACK_FAILED", reason)
            elif record.status in OPEN:
                record.end("STOPPED", reason)

    def observe(self, deployment: Deployment, running: int, failed: int, stop: Stop) -> None:
        """Apply a report: the healthy tasks now, and the failed ones since the last report."""
        for task in self.fleet.fail(self, deployment, running, failed, stop):
            if stop.reason == UNHEALTHY:
                self._log(f"(task {task.id}) failed container health checks.")
        before, deployment.running_count = deployment.running_count, running
        if failed or running != before:
            deployment.updated_at = now()
        if running > before:
            deployment.failed_starts = 0
            if self.breaker["resetOnHealthyTask"]:
                deployment.failed_tasks = 0
        deployment.failed_tasks += failed
        self._count_failed_starts(deployment, 0 if stop.ran else failed)
        self._follow()
        if deployment is not self.deployments[0]:
            return
        if deployment.rollout_state == "IN_PROGRESS":
            self._judge(deployment)
        elif deployment.rollout_state == "COMPLETED":
            self._keep(deployment, before)

    def lose(self, task: Task, stop: Stop) -> None:
        """A task is stopped that did not fail. The scheduler starts another."""
        for deployment in self.deployments:
            if deployment.id == task.started_by and task.last_status == "RUNNING":
                deployment.running_count -= 1
                deployment.updated_at = now()
        self.fleet.stop(task, stop)
        self._follow()

    def bake(self) -> None:
        """The newest deployment has all its tasks, the others have none, and it goes on.

        "The bake time is a period of time after a new service version has scaled out and the old
        service version has scaled in, during which Amazon ECS continues to monitor the alarm."
        Inferred: the deployments without tasks are gone.
        """
        primary, record = self.deployments[0], self.records[0]
        record.status, record.started_at = "IN_PROGRESS", record.started_at or now()
        primary.running_count, primary.updated_at = primary.desired_count, now()
        self.deployments = [primary]
        self._follow()

    def hear(self, alarm: str) -> None:
        """An alarm goes into the state ALARM. It fails a rollout that ECS watches it for."""
        for record in self.records[:1]:
            if record.status in ("PENDING", "IN_PROGRESS") and alarm in record.watched:
                record.triggered.append(alarm)
                self._fail(record, ALARM, rollback=self.alarms["rollback"])

    def refuse(self, cause: Cause) -> None:
        """A lifecycle hook fails a rollout. That rolls it back in any configuration.

        Raises ValueError if no rollout is under way.
        """
        record = self.records[0]
        if record.status not in ("PENDING", "IN_PROGRESS"):
            raise ValueError(f"no rollout of service {self.name} is under way")
        self._fail(record, cause, rollback=True)

    def _count_failed_starts(self, deployment: Deployment, failed: int) -> None:
        """Report a service that cannot start tasks, once until a task is healthy.

        "Service throttle logic": tasks that reached RUNNING do not count.
        """
        before, deployment.failed_starts = (
            deployment.failed_starts,
            deployment.failed_starts + failed,
        )
        if before < IMPAIRED <= deployment.failed_starts:
            self._log(
                "is unable to consistently start tasks successfully. For more information, see the"
                " Troubleshooting section of the Amazon ECS Developer Guide."
            )
            self.publish(impaired(self.arn, self.cluster_arn))

    def _judge(self, primary: Deployment) -> None:
        record = self.records[0]
        if record.status == "PENDING":
            record.status, record.started_at = "IN_PROGRESS", now()
        if record.status == "ROLLBACK_REQUESTED":
            self._fail(record, USER, rollback=True)
        elif record.status == "STOP_REQUESTED":
            primary.desired_count = primary.running_count  # inferred: no further task starts
            record.end("STOPPED", "Service deployment stopped by a user.")
            self._follow()
        elif record.status not in OPEN:
            return
        elif primary.running_count >= self.enough:
            self._complete(primary, record)
        elif self.breaker["enable"] and primary.failed_tasks >= self.threshold:
            record.tripped = True
            self._fail(record, BREAKER, rollback=self.breaker["rollback"])

    def _keep(self, primary: Deployment, before: int) -> None:
        """After the rollout: its end in the background, and tasks that run again."""
        if len(self.deployments) > 1:
            self.deployments = [primary]
            self._follow()
        if before < primary.desired_count <= primary.running_count:
            self._log("has reached a steady state.")

    @property
    def _early(self) -> Json:
        early: Json = self.deployment_configuration.get("earlySuccessCriteria", {})
        return early if early.get("enable") else {}

    def _begin(self, revision: Revision, reason: str) -> Deployment:
        for older in self.deployments:
            older.status = "ACTIVE"
        identity = f"ecs-svc/{secrets.randbelow(10**19):019}"
        primary = Deployment(identity, revision, self.desired_count, reason.format(id=identity))
        self.deployments.insert(0, primary)
        self._announce(primary, "SERVICE_DEPLOYMENT_IN_PROGRESS")
        self._follow()
        return primary

    def _complete(self, primary: Deployment, record: Record) -> None:
        primary.rollout_state = "COMPLETED"
        primary.rollout_state_reason = f"ECS deployment {primary.id} completed."
        self.completed = primary
        if self._early.get("sourceServiceRevisionCleanup") != "DEFERRED":
            self.deployments = [primary]
        self._follow()
        record.end("ROLLBACK_SUCCESSFUL" if record.rollback else "SUCCESSFUL", record.status_reason)
        self._log(f"(deployment {primary.id}) deployment completed.")
        if primary.running_count >= primary.desired_count:
            self._log("has reached a steady state.")
        self._announce(primary, "SERVICE_DEPLOYMENT_COMPLETED")

    def _fail(self, record: Record, cause: Cause, *, rollback: bool) -> None:
        primary = self.deployments[0]
        if cause.state:
            primary.rollout_state, primary.rollout_state_reason = "FAILED", cause.state
        primary.desired_count = primary.running_count = 0
        self._follow()
        self._log(f"(deployment {primary.id}) deployment failed: {cause.event}")
        if cause.state:
            self._announce(primary, "SERVICE_DEPLOYMENT_FAILED")
        if record.rollback:
            record.end("ROLLBACK_FAILED", cause.state)
        elif not rollback:
            record.end("STOPPED", cause.state)
        elif self.completed:
            self._roll_back(record, self.completed, cause)
        else:
            record.end("ROLLBACK_FAILED", NO_CANDIDATE)

    def _roll_back(self, record: Record, good: Deployment, cause: Cause) -> None:
        # The rollback's deployment is not completed yet. If it fails too, there is no deployment to
        # return to.
        self.completed = None
        self._log(f"rolling back to deployment {good.id}.")
        self._begin(good.revision, f"{cause.by}: rolling back to deploymentId {good.id}.")
        record.status, record.status_reason = "ROLLBACK_IN_PROGRESS", cause.record
        record.rollback = {
            "reason": cause.record,
            "startedAt": now(),
            "serviceRevisionArn": good.revision.service_revision_arn,
        }

    def _follow(self) -> None:
        """Let the tasks follow the counts, with AWS's messages of the scheduler."""
        started, stopped = self.fleet.follow(self)
        if started:
            self._log(f"has started {len(started)} tasks: {_listed(started)}.")
        if stopped:
            self._log(f"has stopped {len(stopped)} running tasks: {_listed(stopped)}.")

    def _arn(self, kind: str, identity: str) -> str:
        return f"{self.arn.replace(':service/', f':{kind}/')}/{identity}"

    def _log(self, message: str) -> None:
        text = f"(service {self.name}) {message}"
        self.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": now(), "message": text})
        del self.events[SHOWN_EVENTS:]

    def _announce(self, deployment: Deployment, name: str) -> None:
        self.publish(state_change(self.arn, deployment.id, name, deployment.rollout_state_reason))


def _listed(tasks: list[Task]) -> str:
    return " ".join(f"(task {each.id})" for each in tasks)


def state_change(service_arn: str, deployment_id: str, name: str, reason: str) -> Json:
    """An event as in "Amazon ECS service deployment state change events"."""
    detail = {
        "eventType": "ERROR" if name == "SERVICE_DEPLOYMENT_FAILED" else "INFO",
        "eventName": name,
        "deploymentId": deployment_id,
        "updatedAt": _stamp(),
        "reason": reason,
    }
    return _event("ECS Deployment State Change", service_arn, detail)


def impaired(service_arn: str, cluster_arn: str) -> Json:
    """An event as in "Amazon ECS service action events". The other actions are not emulated."""
    detail = {
        "eventType": "WARN",
        "eventName": "SERVICE_TASK_START_IMPAIRED",
        "clusterArn": cluster_arn,
        "createdAt": _stamp(),
    }
    return _event("ECS Service Action", service_arn, detail)


def _event(kind: str, service_arn: str, detail: Json) -> Json:
    region, account = service_arn.split(":")[3:5]
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": "aws.ecs",
        "account": account,
        "time": _stamp(),
        "region": region,
        "resources": [service_arn],
        "detail": detail,
    }


def _stamp() -> str:
    return now().strftime("%Y-%m-%dT%H:%M:%SZ")
