"""The API actions of the embedded ECS on service deployments, the records of rollouts.

Texts of refusals are from "Troubleshooting Amazon ECS blue/green deployments" unless a comment says
otherwise.
"""

import infra.local.aws.moto_ecs  # noqa: F401  # isort: skip

import re
from collections.abc import Iterable

from moto.ecs.exceptions import ECSException, InvalidParameterException

from infra.local.aws.ecs_records import FORWARD, OPEN, Json, Record

PAGE_SIZE = 20
_HOOK_ID = re.compile(r"ecs-(pause|lambda)-.+", re.ASCII)


class ServiceDeploymentNotFound(ECSException):
    """A service deployment that does not exist shall be stopped or continued."""

    def __init__(self) -> None:
        super().__init__(
            "ServiceDeploymentNotFoundException", "The service deployment does not exist."
        )


class ServiceDeploymentEnded(ECSException):
    """A stop of a service deployment that has ended. Inferred: code and text."""

    def __init__(self, status: str) -> None:
        super().__init__("ConflictException", f"The service deployment is already {status}.")


def page(records: list[Record], request: Json) -> Json:
    """ListServiceDeployments: newest first, by status and time of creation."""
    matching = [each for each in records if _matches(each, request)]
    arns = [each.service_deployment_arn for each in matching]
    token = request.get("nextToken")
    if token and token not in arns:
        raise InvalidParameterException("Invalid token")
    start = arns.index(token) + 1 if token else 0
    end = start + request.get("maxResults", PAGE_SIZE)
    after = arns[end - 1] if end < len(arns) else None
    return {"serviceDeployments": matching[start:end], "nextToken": after}


def stop(records: Iterable[Record], request: Json) -> Json:
    """StopServiceDeployment: the rollback begins later.

    That is with the data plane's next report if the strategy is ROLLING, and at the next look at
    the clock otherwise. A rollback that is under way goes on. Inferred: the refusal of a record
    that has ended, and what ABORT does, which the guide does not describe.
    """
    record = _find(records, request)
    if record.status not in OPEN:
        raise ServiceDeploymentEnded(record.status)
    if record.status in FORWARD:
        if request.get("stopType") == "ABORT":
            record.status = "STOP_REQUESTED"
        elif record.shift:
            record.shift.ask_back()
        else:
            record.status = "ROLLBACK_REQUESTED"
    return {"serviceDeploymentArn": record.service_deployment_arn}


def go_on(records: Iterable[Record], request: Json) -> Json:
    """ContinueServiceDeployment: it answers one pause hook that awaits an action.

    A second answer is refused. Inferred: the code of the refusals and the order of the checks.
    """
    record, hook_id = _find(records, request), request["hookId"]
    if not _HOOK_ID.fullmatch(hook_id):
        raise InvalidParameterException(
            "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}"
        )
    if record.status not in OPEN:
        raise InvalidParameterException(
            "Continuing a service deployment is not allowed for service deployment in terminal "
            "states."
        )
    hooks = {each.hook_id: each for each in record.lifecycle_hook_details}
    hook = hooks.get(hook_id)
    # "The deployment must be in the IN_PROGRESS state": "Continuing service deployments".
    awaits = hook and hook.status == "AWAITING_ACTION" and record.status == "IN_PROGRESS"
    if not record.shift or not hook or not awaits:
        raise InvalidParameterException(
            "Provided hookId is either completed, unavailable, or not associated with the given "
            "Resource ARN"
        )
    record.shift.answer(hook, request.get("action", "CONTINUE"))
    return {"serviceDeploymentArn": record.service_deployment_arn}


def _find(records: Iterable[Record], request: Json) -> Record:
    for record in records:
        if record.service_deployment_arn == request["serviceDeploymentArn"]:
            return record
    raise ServiceDeploymentNotFound


def _matches(record: Record, request: Json) -> bool:
    created = record.created_at.replace(tzinfo=None)  # moto parses times as naive UTC
    asked = request.get("createdAt", {})
    return record.status in request.get("status", [record.status]) and asked.get(
        "after", created
    ) <= created <= asked.get("before", created)
