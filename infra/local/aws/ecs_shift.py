"""How a service deployment that is not ROLLING goes through its stages, with its hooks.

The rules are in `ecs_stages`. Stages end by the embedded clock, at the time at which they were due:
a clock that jumps changes no duration. Sources: the ECS developer guide ("Pause hooks for Amazon
ECS service deployments", "Lifecycle hooks for Amazon ECS service deployments", "Amazon ECS
blue/green service deployments workflow") and the API reference (DeploymentLifecycleHookDetail).
"""

import secrets
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.local.aws import clock
from infra.local.aws.ecs_causes import (
    STOPPED_BY_USER,
    USER,
    Cause,
    hook_refusal,
    hook_rollback,
    hook_timeout,
    stage_timeout,
)
from infra.local.aws.ecs_records import OPEN, Deployment, Json, Record
from infra.local.aws.ecs_stages import LONGEST_STAGE, MINUTE, Visit, backward, forward
from infra.local.aws.ecs_tasks import now

if TYPE_CHECKING:
    from infra.local.aws.ecs_rollouts import Service

DEFAULT_TIMEOUT = 1440  # minutes: API reference, DeploymentLifecycleHookTimeoutConfiguration


@dataclass
class Hook:
    """A run of a lifecycle hook: a DeploymentLifecycleHookDetail.

    It expires and ended at times of the embedded clock. `cause` is set if it rolls the rollout
    back.
    """

    hook_id: str
    target_type: str
    target_arn: str | None
    status: str
    timeout_action: str
    stage: str
    expires: float
    ended: float | None = None
    cause: Cause | None = None

    @property
    def expires_at(self) -> datetime:
        """When ECS takes the timeout action."""
        return datetime.fromtimestamp(self.expires, UTC)

    def end(self, status: str, at: float, cause: Cause | None = None) -> None:
        """Give it its last status. With a cause it rolls the rollout back."""
        self.status, self.ended, self.cause = status, at, cause


class Shift:
    """The stages of one service deployment.

    `green` is the new deployment and `base` the one that served before, to which a rollback
    returns. It is None in the first rollout of a service. `hooks` are all that were reached, oldest
    first, and `stage` is the present or the last stage. `documented_stage` is the last one that
    ServiceDeploymentLifecycleStage has.
    """

    def __init__(self, service: "Service", record: Record) -> None:
        self.service, self.record = service, record
        self.green = record.target
        done = (each for each in record.sources if each.rollout_state == "COMPLETED")
        self.base: Deployment | None = next(done, None)
        self.hooks: list[Hook] = []
        self.stage: str | None = None
        self.documented_stage: str | None = None
        self._visits = deque(
            forward(record.deployment_configuration, reconcile=len(record.sources) > 1)
        )
        self._running: list[Hook] = []  # those of the present visit
        self._entered = clock.now()
        self._asked = self._entered  # when StopServiceDeployment was called
        self._least = self._entered  # when the present visit may end at the earliest
        if service.shifts_traffic:
            self.green.production = self.green.test = 0.0
            for each in record.sources:
                if each.production is None:
                    each.production, each.test = (100.0 if each is self.base else 0.0), 0.0

    def advance(self, now_: float) -> None:
        """Go through all that was due until now."""
        if self.record.status == "PENDING":
            self.record.status, self.record.started_at = "IN_PROGRESS", now()
            self._enter(self._entered)
        while self.record.status in OPEN and self._step(now_):
            pass

    def turn_back(self, base: Deployment, at: float) -> None:
        """Begin ECS's rollback, which `record.rollback` describes."""
        self._visits = deque(
            backward(
                scale_up=not base.started,
                production=base.production not in (None, 100.0),
                test=bool(self.green.test),
            )
        )
        self._enter(at)

    def ask_back(self) -> None:
        """StopServiceDeployment: a rollback begins when the stages go on."""
        self.record.status, self._asked = "ROLLBACK_REQUESTED", clock.now()

    def answer(self, hook: Hook, action: str) -> None:
        """ContinueServiceDeployment: a rollback begins when the stages go on."""
        if action == "ROLLBACK":
            hook.end("FAILED", clock.now(), hook_rollback(hook.stage))
            self.record.status = "ROLLBACK_REQUESTED"
        else:
            hook.end("SUCCEEDED", clock.now())
        self.service.announce_hook(self.record, hook)

    def _step(self, now_: float) -> bool:
        """Do the next thing that was due. False if nothing was."""
        if self.record.status == "STOP_REQUESTED":  # inferred: everything stays as it is
            self.record.end("STOPPED", STOPPED_BY_USER)
            return True
        refused = next((each for each in self._running if each.cause), None)
        if refused and refused.cause:
            self._fail(refused.cause, refused.ended)
            return True
        if self.record.status == "ROLLBACK_REQUESTED":
            self._fail(USER, self._asked)
            return True
        self._ask_functions(now_)
        self._time_out(now_)
        if any(each.cause for each in self._running):
            return True
        ends_at = self._ends_at(now_)
        if ends_at is None and self.stage == "SCALE_UP" and now_ >= self._entered + LONGEST_STAGE:
            self._fail(stage_timeout(self.stage), self._entered + LONGEST_STAGE)
            return True
        if ends_at is None or ends_at > now_:
            return False
        self._leave(ends_at)
        return True

    def _fail(self, cause: Cause, at: float | None) -> None:
        self.service.fail(self.record, cause, rollback=True, at=at)

    def _ends_at(self, now_: float) -> float | None:
        """When the present visit ends. None while it waits for a hook or for tasks."""
        ends = [each.ended for each in self._running]
        if self.stage == "SCALE_UP" and self._scaling.running_count < self.service.desired_count:
            return None
        # Tasks are healthy now: a report is what makes the stages go on.
        times = [self._least, now_ if self.stage == "SCALE_UP" else 0.0]
        return None if None in ends else max(times + [each for each in ends if each])

    @property
    def _scaling(self) -> Deployment:
        return self.base if self.record.rollback and self.base else self.green

    def _enter(self, at: float) -> None:
        visit = self._visits.popleft()
        self.stage, self._entered, self._least = visit.stage, at, at + visit.seconds
        if self.stage != "PRE_PRODUCTION_TRAFFIC_SHIFT":
            self.documented_stage = self.stage
        self._take_effect(visit)
        self.service.follow()
        self._running = [self._begin(each, visit.stage, at) for each in self._configured()]
        self.hooks += self._running
        self._ask_functions(at)

    def _take_effect(self, visit: Visit) -> None:
        weight = visit.weight or 0.0
        if visit.stage == "RECONCILE_SERVICE":
            self._direct_sources(100.0)
        elif visit.stage == "SCALE_UP":
            self._scaling.started = True
            self._scaling.desired_count = self.service.desired_count
        elif visit.stage == "TEST_TRAFFIC_SHIFT":
            self.green.direct(production=self.green.production or 0.0, test=weight)
        elif visit.stage == "PRODUCTION_TRAFFIC_SHIFT":
            self.green.direct(production=weight, test=self.green.test or 0.0)
            self._direct_sources(100.0 - weight)
        elif visit.stage == "CLEAN_UP":
            kept = self.base if self.record.rollback else self.green
            for each in self.service.deployments:
                if each is not kept:
                    each.end_tasks()

    def _direct_sources(self, production: float) -> None:
        """Give `base` this percentage of production traffic, and the other old ones none."""
        for each in self.record.sources:
            each.direct(production=production if each is self.base else 0.0, test=0.0)

    def _leave(self, at: float) -> None:
        if self.stage == "RECONCILE_SERVICE":
            for each in self.record.sources:
                if each is not self.base:
                    each.end_tasks()
            self.service.deployments = [each for each in (self.green, self.base) if each]
            self.service.follow()
        if self._visits:
            self._enter(at)
        elif self.record.rollback and self.base:
            self.base.status = "PRIMARY"
            self.service.deployments = [self.base]
            self.service.follow()
            self.record.end("ROLLBACK_SUCCESSFUL", self.record.status_reason)
        else:
            # "The green service revision is now the production service revision": no test traffic.
            self.green.direct(production=100.0, test=0.0)
            self.service.complete(self.green, self.record)

    def _configured(self) -> list[Json]:
        """The hooks of the present stage. Pause hooks do not run in a rollback."""
        configured: list[Json] = self.record.deployment_configuration.get("lifecycleHooks", [])
        return [
            each
            for each in configured
            if self.stage in each["lifecycleStages"]
            and not (self.record.rollback and _type(each) == "PAUSE")
        ]

    def _begin(self, configured: Json, stage: str, at: float) -> Hook:
        """Run a hook. All hooks of a stage run in parallel."""
        pauses = _type(configured) == "PAUSE"
        timeout = configured.get("timeoutConfiguration", {})
        hook = Hook(
            f"ecs-{'pause' if pauses else 'lambda'}-{secrets.token_urlsafe(32)}",
            _type(configured),
            configured.get("hookTargetArn"),
            "AWAITING_ACTION" if pauses else "IN_PROGRESS",
            timeout.get("action", "ROLLBACK"),
            stage,
            at + timeout.get("timeoutInMinutes", DEFAULT_TIMEOUT) * MINUTE,
        )
        self.service.announce_hook(self.record, hook)
        return hook

    def _ask_functions(self, at: float) -> None:
        """Invoke the functions of the Lambda hooks that have not ended."""
        for hook in self._running:
            if hook.target_type != "AWS_LAMBDA" or hook.ended or hook.expires <= at:
                continue
            answer = self.service.hook_answers.get(str(hook.target_arn), "SUCCEEDED")
            if answer != "IN_PROGRESS":
                refusal = hook_refusal(hook.stage, str(hook.target_arn))
                hook.end(answer, at, refusal if answer == "FAILED" else None)
                self.service.announce_hook(self.record, hook)

    def _time_out(self, now_: float) -> None:
        for hook in self._running:
            if not hook.ended and hook.expires <= now_:
                rolls_back = hook.timeout_action == "ROLLBACK"
                cause = hook_timeout(hook.stage) if rolls_back else None
                hook.end("TIMED_OUT", hook.expires, cause)
                self.service.announce_hook(self.record, hook)


def _type(configured: Json) -> str:
    return str(configured.get("targetType", "AWS_LAMBDA"))
