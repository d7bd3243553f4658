"""What the embedded ECS shows of a rollout: revision, deployment and service deployment.

moto serialises responses from the attributes, so their names are the members of the ECS API in
snake case. Sources: the ECS API reference (ServiceRevision, Deployment, ServiceDeployment).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.local.aws.ecs_tasks import now

if TYPE_CHECKING:
    from infra.local.aws.ecs_rollouts import Service
    from infra.local.aws.ecs_shift import Hook, Shift

Json = dict[str, Any]
# Whether answers leave out what the API reference does not surely have: `rolloutState` where the
# strategy is not ROLLING, and the stage PRE_PRODUCTION_TRAFFIC_SHIFT. Tests set it.
DOCUMENTED_ONLY = False
# The states of a service deployment that goes on, and of one that has not ended.
FORWARD = ("PENDING", "IN_PROGRESS")
OPEN = (*FORWARD, "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")


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

    `healthy` are the ids of the healthy tasks, if the data plane named them. `started` is False
    while it shall have no tasks. `production` and `test` are the percentages of traffic that it
    gets. None if ECS shifts no traffic for the service.
    """

    id: str
    revision: Revision
    desired_count: int
    rollout_state_reason: str | None
    status: str = "PRIMARY"
    rollout_state: str | None = "IN_PROGRESS"
    running_count: int = 0
    failed_tasks: int = 0
    failed_starts: int = 0
    healthy: frozenset[str] = frozenset()
    started: bool = True
    production: float | None = None
    test: float | None = None
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
    def counts(self) -> Json:
        """As a ServiceCurrentRevisionSummary."""
        return {
            "arn": self.revision.service_revision_arn,
            "requestedTaskCount": self.desired_count,
            "runningTaskCount": self.running_count,
            "pendingTaskCount": self.pending_count,
        }

    @property
    def summary(self) -> Json:
        """As a ServiceRevisionSummary."""
        weights = {
            "requestedTestTrafficWeight": self.test,
            "requestedProductionTrafficWeight": self.production,
        }
        return self.counts | {name: each for name, each in weights.items() if each is not None}

    def direct(self, *, production: float, test: float) -> None:
        """Give it these percentages of the traffic, if ECS shifts traffic at all."""
        if self.production is not None:
            self.production, self.test = production, test

    def end_tasks(self) -> None:
        """Stop all its tasks."""
        self.started = False
        self.desired_count = self.running_count = 0


@dataclass
class Record:
    """A service deployment: the permanent record of one rollout and its rollback.

    `tripped` says whether the circuit breaker ended the rollout. `watched` are the alarms that may
    end it, and `triggered` those that did. `shift` moves its traffic, if it is not ROLLING.
    """

    service_deployment_arn: str
    service: "Service"
    target: Deployment
    sources: list[Deployment]
    deployment_configuration: Json
    shift: "Shift | None" = None
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
    def source_service_revisions(self) -> list[Json]:
        """As DescribeServiceDeployments shows them."""
        return [each.summary for each in self.sources]

    @property
    def lifecycle_stage(self) -> str | None:
        """The present stage, or the last one after the end."""
        if not self.shift:
            return None
        return self.shift.documented_stage if DOCUMENTED_ONLY else self.shift.stage

    @property
    def lifecycle_hook_details(self) -> "list[Hook]":
        """All hooks that the rollout has reached, oldest first."""
        return self.shift.hooks if self.shift else []

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
