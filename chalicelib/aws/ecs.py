"""ECS: observe a service and its tasks, register task definitions, update a service."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws.clients import calling, client
from chalicelib.domain.deploy_failures import Event
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.identities import without_identities
from chalicelib.domain.release_receipts import ServiceDeployment
from chalicelib.domain.rollouts import Call, Hook, Rollout, Shift
from chalicelib.domain.strategies import ROLLING, strategy_of
from chalicelib.domain.tasks import Container, Task
from chalicelib.domain.timing import RECORDED
from chalicelib.errors import Rejected, Unavailable

# ServiceDeployment in the ECS API reference. A STOPPED rollout was displaced by another one, or its
# circuit breaker found no definition to go back to.
_FAILED = {"ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}
_MOVING = {"PENDING", "IN_PROGRESS", "STOP_REQUESTED"}
_OPEN = {*_MOVING, "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"}
_HISTORY_LENGTH = 20  # the limit of DescribeServiceRevisions
_DESCRIBED = 100  # the limit of DescribeTasks
# Members that DescribeServices shows and RunTask takes: where tasks run, and AWS-managed tags.
_PLACEMENT = (
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
    "placementConstraints",
    "placementStrategy",
    "enableECSManagedTags",
)


def observe(
    target: EcsTarget, *, wanted: str | None, follows: bool = True, moves: bool = False
) -> Rollout:
    """The present state of the service. Only with `follows` it has the `shift` that is under way.
    `moves` says that a rollout moved traffic at the last look: it keeps the strategy of its begin.

    If `wanted` is not PRIMARY, its end and the newest call come from the service's rollout history:
    after a circuit breaker's rollback PRIMARY is the old definition again. Raises Rejected if the
    cluster or the service is missing or inactive (ecs_service_missing), or if ECS does not deploy
    the service itself (ecs_controller_unsupported).
    """
    cluster, service, seen_at = target.cluster, target.service, clock.now()
    row = _describe_service(target)
    _require_ecs_controller(service, row)
    primary = next(d for d in row["deployments"] if d["status"] == "PRIMARY")
    failed = {
        d["taskDefinition"]: without_identities(d.get("rolloutStateReason", "the rollout failed"))
        for d in row["deployments"]
        if d.get("rolloutState") == "FAILED"
    }
    newest_rollout = _shift(row, primary, moves=moves) if follows else None
    if newest_rollout is not None and _has_failed(newest_rollout, primary):
        failed |= {newest_rollout.task_definition: newest_rollout.reason}
    shift = newest_rollout if newest_rollout and newest_rollout.status in _OPEN else None
    moving: frozenset[str] = frozenset()
    newest = None
    if wanted and wanted != primary["taskDefinition"]:
        history = _history(cluster, service)
        newest = _newest_call(history, primary, wanted)
        if wanted not in failed:
            status, reason = _last_end(history, wanted)
            failed |= {wanted: reason} if status in _FAILED else {}
            moving = frozenset({wanted} if status in _MOVING else ())
    return Rollout(
        task_definition=primary["taskDefinition"],
        # ECS may call PRIMARY complete before the rollout has ended, or while it goes back.
        state="IN_PROGRESS" if shift else primary.get("rolloutState") or _state(row, primary),
        reason=without_identities(primary.get("rolloutStateReason", "")),
        desired=primary["desiredCount"],
        running=primary["runningCount"],
        updated_at=_seconds(primary.get("updatedAt")) or 0,
        all_desired=row["desiredCount"],
        all_running=row["runningCount"],
        is_daemon=row.get("schedulingStrategy") == "DAEMON",
        failed=failed,
        moving=moving,
        newest=newest,
        configuration=row.get("deploymentConfiguration", {}),
        placement=_placement(row),
        events=_events(row),
        wanted=wanted,
        seen_at=seen_at,
        id=primary["id"],
        is_express=row.get("resourceManagementType") == "ECS",
        moves_traffic=_moves_traffic(row, primary),
        has_plain_balancer=any(
            not each.get("advancedConfiguration") for each in row.get("loadBalancers", ())
        ),
        shift=shift,
    )


def events_of(target: EcsTarget) -> tuple[Event, ...]:
    """The newest events of a service, at most 100, newest first. Raises Rejected as `observe`."""
    return _events(_describe_service(target))


def _describe_service(target: EcsTarget) -> dict[str, Any]:
    cluster, service = target.cluster, target.service
    try:
        with calling("ECS DescribeServices"):
            answer = client("ecs").describe_services(cluster=cluster, services=[service])
    except Rejected as refusal:
        if refusal.code == "ClusterNotFoundException":
            raise Rejected(f"there is no ECS cluster {cluster}", code=refusal.code) from refusal
        raise
    found: list[dict[str, Any]] = [r for r in answer["services"] if r["status"] == "ACTIVE"]
    if not found:
        raise Rejected(
            f"there is no active ECS service {service} in cluster {cluster}",
            code="ecs_service_missing",
        )
    return found[0]


def _events(row: Mapping[str, Any]) -> tuple[Event, ...]:
    return tuple(
        Event(int(each["createdAt"].timestamp()), without_identities(each["message"]))
        for each in row.get("events", ())
    )


def _placement(row: Mapping[str, Any]) -> dict[str, Any]:
    """The placement of a service's tasks as RunTask takes it. Empty members mean "not set".

    RunTask takes no tags from a service: it refuses `propagateTags` SERVICE.
    """
    found = {name: row[name] for name in _PLACEMENT if row.get(name)}
    from_definition = row.get("propagateTags") == "TASK_DEFINITION"
    return {**found, **({"propagateTags": "TASK_DEFINITION"} if from_definition else {})}


def _require_ecs_controller(service: str, row: Mapping[str, Any]) -> None:
    controller = row.get("deploymentController", {}).get("type", "ECS")
    if controller != "ECS":
        raise Rejected(
            f"the ECS service {service} is deployed by {controller}; "
            "Slipway needs the ECS deployment controller",
            code="ecs_controller_unsupported",
        )


def _moves_traffic(row: Mapping[str, Any], primary: Mapping[str, Any]) -> bool:
    """Whether ECS can split the traffic ("Required resources for Amazon ECS blue/green
    deployments").
    """
    connected = primary.get("serviceConnectConfiguration", {}).get("enabled", False)
    balancers = row.get("loadBalancers", ())
    return bool(connected) or any(each.get("advancedConfiguration") for each in balancers)


def _shift(row: Mapping[str, Any], primary: Mapping[str, Any], *, moves: bool) -> Shift | None:
    """The newest rollout, unless it is a rolling update. ECS is only asked if it may be under way.
    If it `moves` traffic, the service may have been changed to rolling updates meanwhile.

    "The rolloutState of a service is only returned for services that use the rolling update (ECS)
    deployment type" (Deployment in the API reference): without it ECS is always asked.
    """
    at_rest = primary.get("rolloutState") == "COMPLETED" and len(row["deployments"]) == 1
    rolling = strategy_of(row.get("deploymentConfiguration", {})) == ROLLING
    if at_rest or (rolling and not moves):
        return None
    arn = row.get("currentServiceDeployment") or _open_deployment(row)
    record = _service_deployment(arn) if arn else {}
    if record.get("status") == "STOPPED" and (newer := _open_deployment(row)):
        record = _service_deployment(newer)  # ECS may name the record that this one replaced
    if not record or (
        rolling and strategy_of(record.get("deploymentConfiguration", {})) == ROLLING
    ):
        return None
    # A new record may not have its revisions yet.
    target, sources = record.get("targetServiceRevision", {}), record.get("sourceServiceRevisions")
    before = [each["arn"] for each in sources or ()]
    back = record.get("rollback", {}).get("serviceRevisionArn")
    revisions = {each for each in (target.get("arn"), back, *before) if each}
    definitions = _definitions(revisions) if revisions else {}
    only = before[0] if len(before) == 1 else None
    return Shift(
        arn=record["serviceDeploymentArn"],
        status=record["status"],
        stage=record.get("lifecycleStage", ""),
        weight=target.get("requestedProductionTrafficWeight"),
        test_weight=target.get("requestedTestTrafficWeight"),
        hooks=_hooks(record),
        configuration=record.get("deploymentConfiguration", {}),
        source=definitions.get(back or only or ""),
        task_definition=definitions.get(target.get("arn", ""), ""),
        reason=_reason(record),
    )


def _has_failed(rollout: Shift, primary: Mapping[str, Any]) -> bool:
    """A stopped rollout has failed if ECS still runs its definition, which nothing displaced."""
    stays = rollout.task_definition == primary["taskDefinition"]
    return rollout.status in _FAILED or (rollout.status == "STOPPED" and stays)


def _open_deployment(row: Mapping[str, Any]) -> str | None:
    """The newest service deployment that has not ended."""
    with calling("ECS ListServiceDeployments"):
        answer = client("ecs").list_service_deployments(
            cluster=row["clusterArn"], service=row["serviceArn"], status=sorted(_OPEN)
        )
    found = sorted(answer["serviceDeployments"], key=lambda each: each["createdAt"])
    return found[-1]["serviceDeploymentArn"] if found else None


def _hooks(record: Mapping[str, Any]) -> tuple[Hook, ...]:
    return tuple(
        Hook(
            each.get("hookId", ""),
            each.get("targetType", "AWS_LAMBDA"),
            each.get("status", ""),
            _seconds(each.get("expiresAt")),
        )
        for each in record.get("lifecycleHookDetails", ())
    )


def _state(row: Mapping[str, Any], primary: Mapping[str, Any]) -> str:
    """The state from the running tasks: ECS has no rolloutState with a Classic Load Balancer."""
    single = len(row["deployments"]) == 1
    all_run = primary["runningCount"] >= primary["desiredCount"]
    return "COMPLETED" if single and all_run else "IN_PROGRESS"


class _Record(msgspec.Struct, frozen=True):
    """A service deployment: the record of a call that began a rollout, and of the rollout's end.

    A rollback by ECS belongs to the record of the rollout that it undoes, and has no own record
    (ServiceDeployment in the ECS API reference).
    """

    call: Call
    status: str
    reason: str


def _history(cluster: str, service: str) -> list[_Record]:
    """The newest service deployments, newest first. ECS keeps them for 90 days."""
    with calling("ECS ListServiceDeployments"):
        listed = client("ecs").list_service_deployments(
            cluster=cluster, service=service, maxResults=_HISTORY_LENGTH
        )
    rows = [row for row in listed["serviceDeployments"] if "targetServiceRevisionArn" in row]
    if not rows:
        return []
    # The API reference does not specify an order.
    rows.sort(key=lambda row: row["createdAt"], reverse=True)
    definitions = _definitions({row["targetServiceRevisionArn"] for row in rows})
    return [
        _Record(
            Call(
                row["serviceDeploymentArn"],
                definitions.get(row["targetServiceRevisionArn"], ""),
                int(row["createdAt"].timestamp()),
            ),
            row["status"],
            _reason(row),
        )
        for row in rows
    ]


def _reason(row: Mapping[str, Any]) -> str:
    does = "ECS stopped it" if row["status"] == "STOPPED" else "ECS rolled it back"
    return without_identities(row.get("statusReason") or does)


def _newest_call(
    history: Sequence[_Record], primary: Mapping[str, Any], wanted: str
) -> Call | None:
    """The call that PRIMARY comes from; None if ECS has not recorded it yet.

    PRIMARY has the definition of the newest record, or the one that ECS rolled that record back to.
    The record of a service that was not changed for 90 days is gone: then PRIMARY itself is the
    record, unless it is young.
    """
    definition = primary["taskDefinition"]
    if not history:
        at = int(primary["createdAt"].timestamp())
        return Call(primary["id"], definition, at) if clock.now() - at > RECORDED else None
    call, status = history[0].call, history[0].status
    if call.task_definition == definition:
        return call
    # If the rollout of `wanted` failed, its end matters, and not what ECS runs instead.
    if status in _FAILED and (
        call.task_definition == wanted or _rolled_back_to(call.arn) == definition
    ):
        return call
    return None


def _last_end(history: Sequence[_Record], task_definition: str) -> tuple[str, str]:
    """Status and reason of the newest rollout of `task_definition`; empty if there is none."""
    for record in history:
        if record.call.task_definition == task_definition:
            if record.status == "STOPPED" and _tripped(record.call.arn):
                return "ROLLBACK_FAILED", record.reason
            return record.status, record.reason
    return "", ""


def _rolled_back_to(arn: str) -> str | None:
    """The task definition that ECS rolled a service deployment back to (Rollback)."""
    revision = _service_deployment(arn).get("rollback", {}).get("serviceRevisionArn")
    return _definitions({revision}).get(revision) if revision is not None else None


def _tripped(arn: str) -> bool:
    """Whether the circuit breaker stopped a rollout (ServiceDeploymentCircuitBreaker)."""
    breaker = _service_deployment(arn).get("deploymentCircuitBreaker", {})
    return bool(breaker.get("status") == "TRIGGERED")


def _service_deployment(arn: str) -> dict[str, Any]:
    """A service deployment as DescribeServiceDeployments returns it; empty if it is gone."""
    with calling("ECS DescribeServiceDeployments"):
        answer = client("ecs").describe_service_deployments(serviceDeploymentArns=[arn])
    found: list[dict[str, Any]] = answer["serviceDeployments"]
    return found[0] if found else {}


def _definitions(revisions: Collection[str]) -> dict[str, str]:
    """The task definitions of service revisions, by the ARN of the revision."""
    with calling("ECS DescribeServiceRevisions"):
        answer = client("ecs").describe_service_revisions(serviceRevisionArns=sorted(revisions))
    return {
        each["serviceRevisionArn"]: each["taskDefinition"] for each in answer["serviceRevisions"]
    }


def record_of(target: EcsTarget, task_definition: str) -> ServiceDeployment | None:
    """ECS's record of the newest rollout of a task definition; None if it has none (yet)."""
    history = _history(target.cluster, target.service)
    calls = [each.call for each in history if each.call.task_definition == task_definition]
    row = _service_deployment(calls[0].arn) if calls else {}
    if not row:
        return None
    return ServiceDeployment(
        row["serviceDeploymentArn"],
        row["targetServiceRevision"]["arn"],
        row["status"],
        finished_at=_seconds(row.get("finishedAt")),
        breaker=row.get("deploymentCircuitBreaker", {}).get("status", ""),
        alarms=row.get("alarms", {}).get("status", ""),
        configuration=row.get("deploymentConfiguration", {}),
    )


def running_tasks(target: EcsTarget) -> list[Task]:
    """The tasks of the service that ECS wants to run."""
    arns = _task_arns(target.cluster, serviceName=target.service, desiredStatus="RUNNING")
    return _tasks(target.cluster, arns)


def stopped_tasks(target: EcsTarget) -> list[Task]:
    """Up to 500 tasks of the service that ECS has stopped or wants to stop, in no order.

    ECS shows a stopped task for at least an hour (ListTasks in the API reference).
    """
    arns = _task_arns(target.cluster, serviceName=target.service, desiredStatus="STOPPED")
    return _tasks(target.cluster, itertools.islice(arns, 5 * _DESCRIBED))


def some_tasks(target: EcsTarget) -> list[Task]:
    """Up to 100 tasks of the service that run or shall run, and up to 100 stopped ones."""
    service = {"serviceName": target.service}
    arns = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in itertools.islice(
            _task_arns(target.cluster, desiredStatus=status, **service), _DESCRIBED
        )
    ]
    return _tasks(target.cluster, arns)


def find_task(cluster: str, arn: str) -> Task | None:
    """A task; None if ECS does not show it, yet or any more."""
    return next(iter(_describe_tasks(cluster, [arn])), None)


def tasks_started_by(cluster: str, started_by: str, *, family: str) -> list[Task]:
    """The tasks with this `startedBy`, running and stopped ones. A new one may be shown late.

    "When you specify `startedBy` as the filter, it must be the only filter that you use" (ListTasks
    in the API reference), and without `desiredStatus` only those are listed that shall run. So the
    stopped ones are those of the task definition's family.
    """
    arns = [
        *_task_arns(cluster, startedBy=started_by),
        *_task_arns(cluster, family=family, desiredStatus="STOPPED"),
    ]
    found = _tasks(cluster, dict.fromkeys(arns))
    return [each for each in found if each.started_by == started_by]


def arns_of_rollout(cluster: str, rollout: str) -> list[str]:
    """Up to 100 tasks of a rollout that run or shall run, in no order.

    "If an Amazon ECS service started the task, the `startedBy` parameter contains the deployment ID
    of that service" (Task in the API reference).
    """
    return list(itertools.islice(_task_arns(cluster, startedBy=rollout), _DESCRIBED))


def run_task(request: Mapping[str, Any]) -> str:
    """Start a task and return its ARN. Raises Rejected also if ECS cannot place it."""
    try:
        with calling("ECS RunTask"):
            answer = client("ecs").run_task(**request)
    except Rejected as refusal:
        # The token belongs to an earlier call with another request: look for the task of that one.
        if refusal.code == "ConflictException":
            raise Unavailable(refusal.detail, code=refusal.code) from refusal
        raise
    if not answer["tasks"]:
        failures = [
            without_identities(" ".join(filter(None, (each.get("reason"), each.get("detail")))))
            for each in answer.get("failures", ())
        ]
        reasons = "; ".join(dict.fromkeys(failures)) or "it gives no reason"
        raise Rejected(f"ECS cannot place the task: {reasons}", code="task_not_placed")
    arn: str = answer["tasks"][0]["taskArn"]
    return arn


def stop_task(cluster: str, arn: str, *, reason: str) -> None:
    """Stop a task. A task that has stopped already stays as it is."""
    with calling("ECS StopTask"):
        client("ecs").stop_task(cluster=cluster, task=arn, reason=reason)


def _tasks(cluster: str, arns: Iterable[str]) -> list[Task]:
    known = list(arns)
    return [
        task
        for start in range(0, len(known), _DESCRIBED)
        for task in _describe_tasks(cluster, known[start : start + _DESCRIBED])
    ]


def _task_arns(cluster: str, **options: str) -> Iterator[str]:
    while True:
        with calling("ECS ListTasks"):
            answer = client("ecs").list_tasks(cluster=cluster, maxResults=100, **options)
        yield from answer["taskArns"]
        if not answer.get("nextToken"):
            return
        options["nextToken"] = answer["nextToken"]


def _describe_tasks(cluster: str, arns: Sequence[str]) -> list[Task]:
    """Tasks; those that are gone are left out."""
    with calling("ECS DescribeTasks"):
        answer = client("ecs").describe_tasks(cluster=cluster, tasks=arns)
    for failure in answer.get("failures", ()):
        if failure.get("reason") != "MISSING":
            raise Unavailable(
                without_identities(
                    f"ECS DescribeTasks: {failure.get('reason')} {failure.get('arn')}"
                ),
                code="unknown",
            )
    return [_task(row) for row in answer["tasks"]]


def _task(row: Mapping[str, Any]) -> Task:
    return Task(
        row["taskArn"],
        row["taskDefinitionArn"],
        row["lastStatus"],
        row.get("healthStatus", "UNKNOWN"),
        tuple(
            Container(
                each["name"],
                each.get("image", ""),
                each.get("imageDigest"),
                each.get("exitCode"),
                without_identities(each.get("reason", "")),
                each.get("runtimeId", ""),
                status=each.get("lastStatus", ""),
            )
            for each in row["containers"]
        ),
        started_at=_seconds(row.get("startedAt")),
        stopped_at=_seconds(row.get("stoppedAt") or row.get("stoppingAt")),
        stop_code=row.get("stopCode", ""),
        stopped_reason=without_identities(row.get("stoppedReason", "")),
        started_by=row.get("startedBy", ""),
    )


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def describe_task_definition(name: str) -> dict[str, Any]:
    """A task definition as DescribeTaskDefinition returns it, with its tags as "tags".

    `name` is an ARN, or a family: then it is the latest ACTIVE revision of it.
    """
    with calling("ECS DescribeTaskDefinition"):
        answer = client("ecs").describe_task_definition(taskDefinition=name, include=["TAGS"])
    return {**answer["taskDefinition"], "tags": answer.get("tags", [])}


def has_task_definition(arn: str) -> bool:
    """Whether ECS still describes a task definition. Raises Rejected if the look is denied."""
    try:
        describe_task_definition(arn)
    except Rejected as refusal:
        if refusal.code == "ClientException":  # DescribeTaskDefinition, "Errors"
            return False
        raise
    return True


def register_task_definition(request: Mapping[str, Any]) -> str:
    """Register a revision and return its ARN. A lost answer leaves an unused revision.

    For two registrations in one family at once ECS returns a plain ClientException.
    """
    try:
        with calling("ECS RegisterTaskDefinition"):
            answer = client("ecs").register_task_definition(**request)
    except Rejected as refusal:
        if "Too many concurrent attempts" in refusal.detail:
            raise Unavailable(refusal.detail, code=refusal.code) from refusal
        raise
    arn: str = answer["taskDefinition"]["taskDefinitionArn"]
    return arn


def update_service(request: Mapping[str, Any]) -> None:
    """UpdateService; a definition that runs already starts no new rollout."""
    with calling("ECS UpdateService"):
        client("ecs").update_service(**request)


def continue_rollout(service_deployment: str, hook_id: str) -> None:
    """Let a rollout go on that waits at a PAUSE hook.

    Raises Rejected if it does not wait at the hook any more.
    """
    with calling("ECS ContinueServiceDeployment"):
        client("ecs").continue_service_deployment(
            serviceDeploymentArn=service_deployment, hookId=hook_id, action="CONTINUE"
        )


def take_back(service_deployment: str) -> None:
    """Have ECS take a rollout back: the revision before gets all traffic again, and stays.

    A repeated call "continues the rollback operation" ("Stopping Amazon ECS service deployments").
    Raises Unavailable if the rollout has just ended: look again.
    """
    try:
        with calling("ECS StopServiceDeployment"):
            client("ecs").stop_service_deployment(
                serviceDeploymentArn=service_deployment, stopType="ROLLBACK"
            )
    except Rejected as refusal:
        if refusal.code == "ConflictException":
            raise Unavailable(refusal.detail, code=refusal.code) from refusal
        raise
