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

from infra.local.aws import clock
from infra.local.aws.ecs_causes import ALARM, BREAKER, NO_CANDIDATE, STOPPED_BY_USER, USER, Cause
from infra.local.aws.ecs_events import hook_change, impaired, state_change
from infra.local.aws.ecs_records import FORWARD, OPEN, Deployment, Json, Record, Revision
from infra.local.aws.ecs_shift import Hook, Shift
from infra.local.aws.ecs_tasks import UNHEALTHY, Fleet, Stop, Task, now

# Failed starts in a row after which ECS throttles a service. Inferred: the guide has no number.
IMPAIRED = 3
SHOWN_EVENTS = 100


@dataclass
class Service:
    """An ECS service. `deployments`, `records` and `events` are ordered newest first.

    `alarms_on` are all alarms of the account in the state ALARM. `hook_answers` is what the
    functions of Lambda hooks return, by ARN: SUCCEEDED if it has none.
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
    hook_answers: dict[str, str]
    load_balancers: list[Json] = field(default_factory=list)
    service_connect: bool = False
    resource_management_type: str = "CUSTOMER"
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
    def is_rolling(self) -> bool:
        """Whether the strategy is ROLLING, which is the default."""
        return bool(self.deployment_configuration.get("strategy", "ROLLING") == "ROLLING")

    @property
    def shifts_traffic(self) -> bool:
        """Whether ECS directs traffic: "Required resources for Amazon ECS blue/green"."""
        return self.service_connect or bool(self.load_balancers)

    @property
    def shift(self) -> Shift | None:
        """The shift of traffic that is under way."""
        newest = self.records[0] if self.records else None
        return newest.shift if newest and newest.status in OPEN else None

    @property
    def current_service_deployment(self) -> str | None:
        """The ARN of the newest service deployment. Inferred: also after its end."""
        return self.records[0].service_deployment_arn if self.records else None

    @property
    def current_service_revisions(self) -> list[Json]:
        """The revisions that have tasks or shall have some."""
        return [each.counts for each in self.deployments]

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
        older = list(self.deployments)
        rolling = self.is_rolling
        primary = self._begin(revision, "ECS deployment {id} in progress.", started=rolling)
        arn = self._arn("service-deployment", secrets.token_hex(10))
        # "If an alarm is in the ALARM state at the beginning of a deployment, Amazon ECS will not
        # monitor alarms for the duration of that deployment."
        names = frozenset(self.alarms["alarmNames"] if self.alarms["enable"] else ())
        watched = frozenset() if names & self.alarms_on else names
        configuration = self.deployment_configuration
        record = Record(arn, self, primary, older, configuration, watched=watched)
        self.records.insert(0, record)
        for each in self.deployments if rolling else ():
            each.production = each.test = None
        if not rolling:
            record.shift = Shift(self, record)

    def advance(self) -> None:
        """Let the stages of a shift of traffic go on until now."""
        if self.shift:
            self.shift.advance(clock.now())

    def scale(self, desired_count: int) -> None:
        """Change the number of desired tasks. A failed deployment starts none."""
        self.desired_count = desired_count
        primary, *older = self.deployments
        if self.shift:
            # Inferred: both revisions follow, as AWS announced for rolling updates in 2025-11.
            for each in self.deployments:
                each.desired_count = desired_count if each.started else 0
            older = []
        elif primary.rollout_state != "FAILED":
            primary.desired_count = desired_count
        for each in older:
            each.desired_count = min(each.desired_count, desired_count)
        self.follow()

    def delete(self) -> None:
        """End everything at once, without the time that AWS takes to drain the tasks."""
        self.supersede("The service was deleted.")
        self.status, self.desired_count, self.deployments = "INACTIVE", 0, []
        self.follow()

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
                self.log(f"(task {task.id}) failed container health checks.")
        before, deployment.running_count = deployment.running_count, running
        if failed or running != before:
            deployment.updated_at = now()
        if running > before:
            deployment.failed_starts = 0
            if self.breaker["resetOnHealthyTask"]:
                deployment.failed_tasks = 0
        deployment.failed_tasks += failed
        self._count_failed_starts(deployment, 0 if stop.ran else failed)
        self.follow()
        if self.shift:
            return self.advance()
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
        self.follow()

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
        self.follow()

    def hear(self, alarm: str) -> None:
        """An alarm goes into the state ALARM. It fails a rollout that ECS watches it for."""
        for record in self.records[:1]:
            if record.status in FORWARD and alarm in record.watched:
                record.triggered.append(alarm)
                self.fail(record, ALARM, rollback=self.alarms["rollback"])

    def refuse(self, cause: Cause) -> None:
        """A lifecycle hook fails a rollout. That rolls it back in any configuration.

        Raises ValueError if no rollout is under way.
        """
        record = self.records[0]
        if record.status not in FORWARD:
            raise ValueError(f"no rollout of service {self.name} is under way")
        self.fail(record, cause, rollback=True)

    def _count_failed_starts(self, deployment: Deployment, failed: int) -> None:
        """Report a service that cannot start tasks, once until a task is healthy.

        "Service throttle logic": tasks that reached RUNNING do not count.
        """
        before, deployment.failed_starts = (
            deployment.failed_starts,
            deployment.failed_starts + failed,
        )
        if before < IMPAIRED <= deployment.failed_starts:
            self.log(
                "is unable to consistently start tasks successfully. For more information, see the"
                " Troubleshooting section of the Amazon ECS Developer Guide."
            )
            self.publish(impaired(self.arn, self.cluster_arn))

    def _judge(self, primary: Deployment) -> None:
        record = self.records[0]
        if record.status == "PENDING":
            record.status, record.started_at = "IN_PROGRESS", now()
        if record.status == "ROLLBACK_REQUESTED":
            self.fail(record, USER, rollback=True)
        elif record.status == "STOP_REQUESTED":
            primary.desired_count = primary.running_count  # inferred: no further task starts
            record.end("STOPPED", STOPPED_BY_USER)
            self.follow()
        elif record.status not in OPEN:
            return
        elif primary.running_count >= self.enough:
            self.complete(primary, record)
        elif self.breaker["enable"] and primary.failed_tasks >= self.threshold:
            record.tripped = True
            self.fail(record, BREAKER, rollback=self.breaker["rollback"])

    def _keep(self, primary: Deployment, before: int) -> None:
        """After the rollout: its end in the background, and tasks that run again."""
        if len(self.deployments) > 1:
            self.deployments = [primary]
            self.follow()
        if before < primary.desired_count <= primary.running_count:
            self.log("has reached a steady state.")

    @property
    def _early(self) -> Json:
        early: Json = self.deployment_configuration.get("earlySuccessCriteria", {})
        return early if early.get("enable") else {}

    def _begin(self, revision: Revision, reason: str, *, started: bool = True) -> Deployment:
        for older in self.deployments:
            older.status = "ACTIVE"
        identity = f"ecs-svc/{secrets.randbelow(10**19):019}"
        desired = self.desired_count if started else 0
        primary = Deployment(identity, revision, desired, reason.format(id=identity))
        primary.started = started
        self.deployments.insert(0, primary)
        self._announce(primary, "SERVICE_DEPLOYMENT_IN_PROGRESS")
        self.follow()
        return primary

    def complete(self, primary: Deployment, record: Record) -> None:
        """End a rollout or a rollback well."""
        primary.rollout_state = "COMPLETED"
        primary.rollout_state_reason = f"ECS deployment {primary.id} completed."
        self.completed = primary
        if self._early.get("sourceServiceRevisionCleanup") != "DEFERRED":
            self.deployments = [primary]
        self.follow()
        record.end("ROLLBACK_SUCCESSFUL" if record.rollback else "SUCCESSFUL", record.status_reason)
        self.log(f"(deployment {primary.id}) deployment completed.")
        if primary.running_count >= primary.desired_count:
            self.log("has reached a steady state.")
        self._announce(primary, "SERVICE_DEPLOYMENT_COMPLETED")

    def fail(
        self, record: Record, cause: Cause, *, rollback: bool, at: float | None = None
    ) -> None:
        """End a rollout, at a time of the embedded clock. A rollback that fails ends for good."""
        primary = self.deployments[0]
        good = record.shift.base if record.shift else self.completed
        if cause.state:
            primary.rollout_state, primary.rollout_state_reason = "FAILED", cause.state
        if not (record.shift and good):
            primary.end_tasks()
        self.follow()
        self.log(f"(deployment {primary.id}) deployment failed: {cause.event}")
        if cause.state:
            self._announce(primary, "SERVICE_DEPLOYMENT_FAILED")
        if record.rollback:
            record.end("ROLLBACK_FAILED", cause.record if record.shift else cause.state)
        elif not rollback:
            record.end("STOPPED", cause.state)
        elif good:
            self._roll_back(record, good, cause, clock.now() if at is None else at)
        else:
            record.end("ROLLBACK_FAILED", NO_CANDIDATE)

    def _roll_back(self, record: Record, good: Deployment, cause: Cause, at: float) -> None:
        self.log(f"rolling back to deployment {good.id}.")
        record.status, record.status_reason = "ROLLBACK_IN_PROGRESS", cause.record
        record.rollback = {
            "reason": cause.record,
            "startedAt": now(),
            "serviceRevisionArn": good.revision.service_revision_arn,
        }
        if record.shift:
            record.shift.turn_back(good, at)
            return
        # The rollback's deployment is not completed yet. If it fails too, there is no deployment to
        # return to.
        self.completed = None
        self._begin(good.revision, f"{cause.by}: rolling back to deploymentId {good.id}.")

    def follow(self) -> None:
        """Let the tasks follow the counts, with AWS's messages of the scheduler."""
        started, stopped = self.fleet.follow(self)
        if started:
            self.log(f"has started {len(started)} tasks: {_listed(started)}.")
        if stopped:
            self.log(f"has stopped {len(stopped)} running tasks: {_listed(stopped)}.")

    def _arn(self, kind: str, identity: str) -> str:
        return f"{self.arn.replace(':service/', f':{kind}/')}/{identity}"

    def log(self, message: str) -> None:
        """Add an event to those that DescribeServices shows."""
        text = f"(service {self.name}) {message}"
        self.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": now(), "message": text})
        del self.events[SHOWN_EVENTS:]

    def announce_hook(self, record: Record, hook: Hook) -> None:
        """Send the EventBridge event of a hook's new status."""
        self.publish(hook_change(record, hook))

    def _announce(self, deployment: Deployment, name: str) -> None:
        reason = deployment.rollout_state_reason or ""
        self.publish(state_change(self.arn, deployment.id, name, reason))


def _listed(tasks: list[Task]) -> str:
    return " ".join(f"(task {each.id})" for each in tasks)
