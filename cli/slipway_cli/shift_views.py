"""What people read about a shift of traffic: strategies, stages, weights and approvals.

Pure functions of the API's answers, as in `views`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from slipway_cli.text import one_line, until

_STRATEGIES: Mapping[str, str] = {
    "ROLLING": "rolling",
    "BLUE_GREEN": "blue/green",
    "LINEAR": "linear",
    "CANARY": "canary",
}


def awaits_approval(row: Mapping[str, Any]) -> bool:
    """Whether a person must answer now."""
    return row.get("awaiting") == "approval"


def hook_of(row: Mapping[str, Any]) -> str:
    """What the approval is for: ECS has another hook for each step. Empty if none awaits it."""
    return str(row["approval"]["hook_id"]) if awaits_approval(row) else ""


def awaited(row: Mapping[str, Any]) -> str:
    """What a rollout has stopped for, without numbers that always change; empty if it goes on."""
    if awaits_approval(row):
        return "awaits approval"
    return "awaits a hook of the ECS service" if row.get("awaiting") == "hook" else ""


def details(row: Mapping[str, Any]) -> Iterator[str]:
    """The deadline of an approval, and the traffic, of a row whose step does not say them."""
    deadline = (row.get("approval") or {}).get("expires_at")
    if deadline:
        yield f"deadline {until(deadline)}"
    if row.get("traffic") is not None and (row.get("awaiting") or not row.get("step")):
        yield f"{percent(row['traffic'])} of the traffic"


def percent(value: object) -> str:
    """A weight as a percentage, such as `2.5 %`."""
    return f"{value:g} %" if isinstance(value, int | float) else f"{one_line(value)} %"


def how_to_answer(row: Mapping[str, Any]) -> str:
    """The commands that answer an awaited approval; empty if none is awaited."""
    if not awaits_approval(row):
        return ""
    name = one_line(row["job_id"])
    return f"To approve it: slipway approve {name}. To reject it: slipway reject {name}"


def strategy_name(value: object) -> str:
    """A strategy of ECS in words."""
    return _STRATEGIES.get(str(value), one_line(value))


def asked(row: Mapping[str, Any], release: str, runs: str) -> Iterator[tuple[str, Text | str]]:
    """What an approval or a rejection is made for, as names and values."""
    by = one_line(row["requested_by"])
    reason = f": {one_line(row['reason'])}" if row.get("reason") else ""
    yield "Release", release
    yield "Image", one_line(row["image_tag"])
    yield "Asked by", f"{by}{reason}"
    yield "Runs now", runs
    if row.get("strategy"):
        yield "Strategy", strategy_name(row["strategy"])
    yield "Step", one_line(row["approval"]["number"])
    if row.get("traffic") is not None:
        yield "Traffic", f"{percent(row['traffic'])} of production traffic goes to it now"
    if row.get("test_traffic"):
        yield "Tests", f"{percent(row['test_traffic'])} of test traffic goes to it"
    if row["approval"].get("expires_at"):
        yield "Deadline", until(row["approval"]["expires_at"])


def planned(made: Mapping[str, Any]) -> str:
    """How ECS would move to a release, and how long it waits at least."""
    name, waits = strategy_name(made["strategy"]), made.get("waits_minutes")
    return f"{name}, with waits of at least {_minutes(waits)}" if waits else name


def planned_approval(made: Mapping[str, Any]) -> str:
    """The approvals that a deployment would need, or that a rollback needs none; empty if it is
    neither.
    """
    approval = made.get("approval")
    if approval is None:
        is_rollback = made["image_then"].get("deployment_id") is not None
        return "not needed for a rollback" if is_rollback else ""
    steps = [percent(each) for each in approval["traffic"]]
    each = "each " if len(steps) > 1 else ""
    return (
        f"needed before {', '.join(steps)} of production traffic, "
        f"{each}within {_minutes(approval['minutes'])}"
    )


def ended_at(row: Mapping[str, Any]) -> str:
    """Where a rollout that shifts traffic ended without success; empty if that is not known."""
    if not row.get("stage") or not row.get("finished_at"):
        return ""
    weight = f" with {percent(row['traffic'])} of the traffic" if row.get("traffic") else ""
    return f"ended in the stage {one_line(row['stage'])}{weight}"


def answers(row: Mapping[str, Any]) -> Iterator[str]:
    """Who approved or rejected a deployment, and why, and where it ended without success."""
    for each in row.get("approvals") or ():
        verb = "rejected" if each["action"] == "reject" else "approved"
        steps = " all steps" if each["steps"] == "all" else ""
        by = "outside Slipway" if each["by"] == "outside" else f"by {each['by']}"
        reason = f": {each['reason']}" if each["reason"] else ""
        yield one_line(f"{verb}{steps} {by}{reason}", 80)
    if ended_at(row):
        yield ended_at(row)


def rollout(service: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    """How releases of a service are rolled out, as names and values."""
    yield "Strategy", _strategy(service.get("strategy"))
    yield "Approval", _approval(service)


def _strategy(wanted: Mapping[str, Any] | None) -> str:
    if wanted is None:
        return "as the ECS service has it"
    is_linear = wanted["type"] == "LINEAR"
    parts = [strategy_name(wanted["type"])]
    if wanted.get("percent") is not None:
        parts.append(f"{percent(wanted['percent'])} {'in each step' if is_linear else 'first'}")
    if wanted.get("step_minutes") is not None:
        when = "between steps" if is_linear else "after the first step"
        parts.append(f"{_minutes(wanted['step_minutes'])} {when}")
    if wanted.get("bake_minutes") is not None:
        parts.append(f"bake time {_minutes(wanted['bake_minutes'])}")
    return ", ".join(parts)


def _approval(service: Mapping[str, Any]) -> str:
    if not service.get("approval"):
        return "not needed"
    whose = "also" if service.get("approve_own") else "not"
    return (
        f"needed before production traffic, within {_minutes(service['approval_minutes'])}, "
        f"{whose} by the token that asked for the deployment"
    )


def _minutes(value: object) -> str:
    if isinstance(value, int) and value > 60 and value % 60 == 0:
        return f"{value // 60} h"
    return f"{one_line(value)} min"
