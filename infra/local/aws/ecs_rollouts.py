"""The rules of an Amazon ECS service's rollouts: deployments, circuit breaker, rollback, history.

Pure state and rules. moto serialises responses from the attributes, so their names are the members
of the ECS API in snake case. Sources: the ECS API reference (Deployment, ServiceDeployment,
DeploymentCircuitBreaker) and "How the Amazon ECS deployment circuit breaker detects failures".
"""

import math
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local.aws.ecs_tasks import Fleet, Stop, Task, now

Json = dict[str, Any]
BREAKER_REASON = "ECS deployment circuit breaker: tasks failed to start."
SHOWN_EVENTS = 100


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
    """A service deployment: the permanent record of one rollout and its rollback."""

    service_deployment_arn: str
    service: "Service"
    target: Deployment
    source_service_revisions: list[Json]
    status: str = "PENDING"
    status_reason: str | None = None
    rollback: Json | None = None
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
        monitoring = "MONITORING_COMPLETE" if self.finished_at else "MONITORING"
        status = monitoring if self.service.breaker["enable"] else "DISABLED"
        return {
            "status": "TRIGGERED" if self.target.rollout_state == "FAILED" else status,
            "failureCount": self.target.failed_tasks,
            "threshold": self.service.threshold,
        }

    def end(self, status: str, reason: str | None) -> None:
        """Close the record."""
        self.status, self.status_reason, self.finished_at = status, reason, now()


@dataclass
class Service:
    """An ECS service. `deployments`, `records` and `events` are ordered newest first."""

    cluster: str
    name: str
    arn: str
    cluster_arn: str
    desired_count: int
    deployment_configuration: Json
    publish: Callable[[Json], None]
    fleet: Fleet
    launch_type: str | None = None
    network_configuration: Json | None = None
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
        return {"enable": False, "rollback": False} | asked

    @property
    def threshold(self) -> int:
        """How many failed tasks trip the breaker: half of those desired, from 3 to 200."""
        return min(200, max(3, math.ceil(self.desired_count / 2)))

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
        self.records.insert(0, Record(arn, self, primary, sources))

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
            if record.status in ("PENDING", "IN_PROGRESS"):
                record.end("STOPPED", reason)
            elif record.status == "ROLLBACK_IN_PROGRESS":
                record.end("ROLLBACK_FAILED", reason)

    def observe(self, deployment: Deployment, running: int, failed: int, stop: Stop) -> None:
        """Apply a report: the healthy tasks now, and the failed ones since the last report."""
        if failed:
            self._log(f"(deployment {deployment.id}) {failed} task(s) failed: {stop.reason}")
        self.fleet.fail(self, deployment, running, failed, stop)
        # A task that becomes healthy resets the failure count (`resetOnHealthyTask`).
        earlier = 0 if running > deployment.running_count else deployment.failed_tasks
        if failed or running != deployment.running_count:
            deployment.updated_at = now()
        deployment.running_count, deployment.failed_tasks = running, earlier + failed
        self._follow()
        if deployment is self.deployments[0] and deployment.rollout_state == "IN_PROGRESS":
            self._judge(deployment)

    def lose(self, task: Task, stop: Stop) -> None:
        """A task is stopped that did not fail. The scheduler starts another."""
        for deployment in self.deployments:
            if deployment.id == task.started_by and task.last_status == "RUNNING":
                deployment.running_count -= 1
                deployment.updated_at = now()
        self.fleet.stop(task, stop)
        self._follow()

    def _judge(self, primary: Deployment) -> None:
        record = self.records[0]
        if record.status == "PENDING":
            record.status, record.started_at = "IN_PROGRESS", now()
        if primary.running_count >= primary.desired_count:
            self._complete(primary, record)
        elif self.breaker["enable"] and primary.failed_tasks >= self.threshold:
            self._trip(primary, record)

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
        self.deployments, self.completed = [primary], primary
        self._follow()
        record.end("ROLLBACK_SUCCESSFUL" if record.rollback else "SUCCESSFUL", record.status_reason)
        self._log(f"(deployment {primary.id}) deployment completed.")
        self._log("has reached a steady state.")
        self._announce(primary, "SERVICE_DEPLOYMENT_COMPLETED")

    def _trip(self, primary: Deployment, record: Record) -> None:
        primary.rollout_state, primary.rollout_state_reason = "FAILED", BREAKER_REASON
        primary.desired_count = primary.running_count = 0
        self._follow()
        self._log(f"(deployment {primary.id}) deployment failed: tasks failed to start.")
        self._announce(primary, "SERVICE_DEPLOYMENT_FAILED")
        if record.rollback:
            record.end("ROLLBACK_FAILED", BREAKER_REASON)
        elif self.completed and self.breaker["rollback"]:
            self._roll_back(record, self.completed)
        else:
            record.end("STOPPED", BREAKER_REASON)

    def _roll_back(self, record: Record, good: Deployment) -> None:
        # The rollback's deployment is not completed yet. If it fails too, there is no deployment to
        # return to.
        self.completed = None
        self._log(f"rolling back to deployment {good.id}.")
        reason = f"ECS deployment circuit breaker: rolling back to deploymentId {good.id}."
        self._begin(good.revision, reason)
        record.status, record.status_reason = "ROLLBACK_IN_PROGRESS", BREAKER_REASON
        record.rollback = {
            "reason": BREAKER_REASON,
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
    region, account = service_arn.split(":")[3:5]
    stamp = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "ECS Deployment State Change",
        "source": "aws.ecs",
        "account": account,
        "time": stamp,
        "region": region,
        "resources": [service_arn],
        "detail": {
            "eventType": "ERROR" if name == "SERVICE_DEPLOYMENT_FAILED" else "INFO",
            "eventName": name,
            "deploymentId": deployment_id,
            "updatedAt": stamp,
            "reason": reason,
        },
    }
