"""What must hold of the traffic of rollouts, and the people beside Slipway who answer their hooks.

The weights are read from the embedded ECS, the approvals from the rows of deployments.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any

from chalicelib import clock
from chalicelib.domain.approvals import OUTSIDE, STAGE, own_hook
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.timing import PERIOD
from chalicelib.domain.tokens import Role
from chalicelib.store.tokens import create_token
from infra.local.aws import ecs
from infra.local.aws.ecs_records import OPEN
from infra.local.aws.ecs_stages import steps
from tests.faults.rows import Row, deployments
from tests.support.embedded import CLUSTER, MINUTE, Cloud, client

# The ids of the hooks that were answered without Slipway, and the ARNs of the rollouts that were
# begun without it. They are random, so none of them comes again.
_answered_outside: set[str] = set()
_begun_outside: set[str] = set()


def newest_record(name: str = "hello") -> Any:
    """The newest service deployment of an ECS service."""
    return ecs.engine().service(CLUSTER, name).records[0]


def hooks_that_wait(record: Any) -> list[Any]:
    """The PAUSE hooks of a service deployment that somebody must answer."""
    if record.status != "IN_PROGRESS":
        return []
    return [each for each in record.lifecycle_hook_details if each.status == "AWAITING_ACTION"]


def answer_outside(record: Any, hook: Any, action: str = "CONTINUE") -> None:
    """The owner of an ECS service answers a hook in the console of AWS."""
    _answered_outside.add(hook.hook_id)
    arn = record.service_deployment_arn
    client("ecs").continue_service_deployment(
        serviceDeploymentArn=arn, hookId=hook.hook_id, action=action
    )


def roll_out_outside(name: str = "hello", **change: Any) -> None:
    """The owner of an ECS service begins a rollout in the console of AWS."""
    client("ecs").update_service(cluster=CLUSTER, service=name, **change)
    _begun_outside.add(newest_record(name).service_deployment_arn)


def stop_outside(record: Any) -> None:
    """The owner of an ECS service takes a rollout back in the console of AWS."""
    arn = record.service_deployment_arn
    client("ecs").stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")


def answer_hooks(cloud: Cloud) -> None:
    """Each hook that waits gets its answer: Slipway's from a deployer, others from the owner.

    A deployer sees only the hooks that a row names. The functions of Lambda hooks succeed.
    """
    for service in ecs.engine().services():
        record = service.records[0]
        for hook in record.lifecycle_hook_details:
            if hook.status == "IN_PROGRESS":
                ecs.engine().answer_hook(str(hook.target_arn), "SUCCEEDED")
        for hook in hooks_that_wait(record):
            row = _row_of(record)
            if row is None or hook.stage != STAGE:
                answer_outside(record, hook)
            elif row.get("awaiting", {}).get("hook_id") == hook.hook_id:
                _approve(cloud, row["number"])


def _approve(cloud: Cloud, number: int) -> None:
    path = f"/v1/cicd/deployments/{number}/approve"
    answer = cloud.api.post(path)
    if answer.status == 403:  # the same token has asked for the deployment
        other = create_token("other", Role.DEPLOYER).secret
        answer = cloud.api.as_holder_of(other).post(path)
    # ECS may have taken the rollout back since the last look.
    assert answer.status in {202, 409}, answer.text


def _row_of(record: Any) -> Row | None:
    """The deployment that needs an approval and whose rollout a service deployment is.

    It may have ended: then nobody may answer its hooks. What began after its end is of the owner.
    """
    began = int(record.created_at.timestamp())
    found = (
        row
        for row in deployments().values()
        if row.get("task_definition") == record.target.task_definition
        and "approval_minutes" in row
        and began <= row.get("finished_at", began)
    )
    return next(found, None)


def check_traffic(all_deployments: dict[int, Row], others: Collection[str] = ()) -> str | None:
    """What is wrong with the traffic of the rollouts of deployments that need an approval; or None.

    `others` are the ARNs of the service deployments that another party has made.
    """
    guarded = {
        row["task_definition"]: row
        for row in all_deployments.values()
        if "approval_minutes" in row and "task_definition" in row
    }
    for service in ecs.engine().services():
        for record in service.records:
            row = guarded.get(record.target.task_definition)
            is_own = row is not None and not _is_outside(record, others)
            problem = _problem(record, row) if row is not None and is_own else None
            if problem is not None:
                return problem
    wrong = (each for row in guarded.values() for each in _wrong_answers(row))
    return next(wrong, None)


def _problem(record: Any, row: Row) -> str | None:
    """Why production traffic may reach a revision that nobody has approved; None if it cannot."""
    configuration = record.deployment_configuration
    is_guarded = record.shift is not None and own_hook(row["approval_minutes"]) in (
        configuration.get("lifecycleHooks", ())
    )
    if not is_guarded:
        # A release that has been approved once comes back without an approval.
        return None if row["progress"] == 100 else f"{row['id']} was rolled out without its hook"
    passed = [
        each.hook_id
        for each in record.shift.hooks
        if (each.target_type, each.stage, each.status) == ("PAUSE", STAGE, "SUCCEEDED")
    ]
    unknown = [each for each in passed if not _is_approved(row, each)]
    if unknown:
        return f"ECS went on from {unknown} of {row['id']}, which nobody has approved"
    allowed = steps(configuration)[len(passed) - 1] if passed else 0.0
    weight = record.target.production or 0.0
    if record.status in OPEN and weight > allowed:
        return f"{row['id']} gets {weight} % of the traffic, and {allowed} % were approved"
    return None


def _is_approved(row: Row, hook_id: str) -> bool:
    """Whether a person has approved a hook, in Slipway or outside."""
    approvals = [each for each in _answers(row) if each["action"] == "approve"]
    by_slipway = any(
        each["by"] != OUTSIDE and (each["hook_id"] == hook_id or each["steps"] == "all")
        for each in approvals
    )
    return by_slipway or hook_id in _answered_outside


def _wrong_answers(row: Row) -> Iterator[str]:
    """The answers in a row that are said to come from outside and do not."""
    for each in _answers(row):
        known = each["hook_id"] in {"", *_answered_outside}
        if each["by"] == OUTSIDE and not known:
            yield f"{row['id']} has an approval from outside that nobody has given: {each}"


def _answers(row: Row) -> list[Any]:
    found: list[Any] = json.loads(row.get("approvals", "[]"))
    return found


def approvals_of(row: Row) -> list[list[str]]:
    """Who has answered the hooks of a deployment, and how: without ids and times."""
    names = ("number", "action", "steps", "by", "reason")
    return [[str(each.get(name)) for name in names] for each in _answers(row)]


def check_hooks() -> str | None:
    """The hook of Slipway that has waited for two periods of the schedule, and no row says so.

    Call it after two periods without faults. None if there is no such hook.
    """
    for service in ecs.engine().services():
        record = service.records[0]
        row = _row_of(record)
        if row is None:
            continue
        noted = None if has_ended(row["status"]) else row.get("awaiting", {}).get("hook_id")
        for hook in hooks_that_wait(record):
            since = hook.expires - row["approval_minutes"] * MINUTE
            is_old = hook.stage == STAGE and since + 2 * PERIOD < clock.now()
            if is_old and hook.hook_id != noted:
                return f"ECS waits at {hook.hook_id}, and {row['id']} does not say so"
    return None


def check_traffic_at_rest(others: Collection[str] = ()) -> str | None:
    """What is wrong with the traffic after all work has ended; None if nothing is.

    No rollout of Slipway goes on, none waits at a hook, and one revision has all traffic. Rollouts
    of another party may go on.
    """
    for service in ecs.engine().services():
        goes_on = [each for each in service.records if each.shift and each.status in OPEN]
        for record in goes_on:
            if not _is_outside(record, others):
                hooks = [each.hook_id for each in hooks_that_wait(record)]
                definition = record.target.task_definition
                return f"the rollout of {definition} is still {record.status}, at hooks {hooks}"
        weights = [each.production for each in service.deployments]
        if not goes_on and weights[0] is not None and weights != [100.0]:
            return f"the revisions of {service.name} get {weights} % of the traffic"
    return None


def _is_outside(record: Any, others: Collection[str]) -> bool:
    """Whether another party has begun a rollout."""
    return record.service_deployment_arn in _begun_outside | {*others}
