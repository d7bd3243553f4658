"""A person's approval before production traffic reaches a new revision.

ECS waits for it: a rollout stops at a lifecycle hook of type PAUSE until somebody answers. Sources:
"Pause lifecycle hooks" and "Lifecycle hooks for Amazon ECS service deployments" in the ECS
Developer Guide, DeploymentLifecycleHook and ContinueServiceDeployment in the API reference.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chalicelib.domain.rollouts import PAUSE, Hook, Shift
from chalicelib.domain.strategies import CANARY, LINEAR, ROLLING, strategy_of
from chalicelib.domain.timing import rfc3339

Approval = Annotated[
    bool,
    Meta(
        description="whether a person must approve each deployment before production traffic "
        "reaches it: with the strategies LINEAR and CANARY before each step. Rollbacks need no "
        "approval. It needs a strategy that shifts traffic, not ROLLING"
    ),
]
# TimeoutConfiguration in the ECS API reference: from one minute to 14 days.
ApprovalMinutes = Annotated[
    int,
    Meta(
        ge=1,
        le=20160,
        description="a whole number from 1 to 20160: the minutes that a deployment waits for "
        "`approval`. Then ECS takes it back, and it ends as failed",
    ),
]
ApproveOwn = Annotated[
    bool,
    Meta(
        description="whether the token that asked for a deployment may approve it; otherwise "
        "another token must"
    ),
]

# The stage at which ECS waits. LINEAR and CANARY reach it before each step, with a new hook id.
STAGE = "PRE_PRODUCTION_TRAFFIC_SHIFT"
# The stage before the first of them. The type of ServiceDeployment.lifecycleStage lacks STAGE, so
# ECS may show this one there. Before a later step it may show PRODUCTION_TRAFFIC_SHIFT, where no
# PAUSE hook can be configured.
BEFORE = "POST_TEST_TRAFFIC_SHIFT"
# The audit trail and the answers name whoever answered ECS without Slipway like this.
OUTSIDE = "outside"


class Awaiting(msgspec.Struct, frozen=True, kw_only=True):
    """The hook at which ECS waits for an approval.

    `number` counts the hooks of a deployment, from 1. Slipway first saw it at `since`. At
    `expires_at` ECS takes the rollout back. `rollout` is the ARN of its service deployment.
    """

    hook_id: str
    number: int
    since: int
    expires_at: int | None = None
    rollout: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a hook, as the row of a deployment keeps it.

    `number` is that of the hook. With `steps` "all" it also answers the later hooks of the
    deployment.
    """

    action: Literal["approve", "reject"]
    hook_id: str
    number: int
    by: str
    at: int
    steps: Literal["next", "all"] = "next"
    reason: str | None = None


def answers_of(stored: Sequence[Mapping[str, Any]] | None) -> list[Answer]:
    """The answers in a deployment's attribute `approvals`, the oldest first."""
    return msgspec.convert(stored or [], list[Answer])


def with_answer(
    stored: Sequence[Mapping[str, Any]] | None, answer: Answer
) -> list[Mapping[str, Any]]:
    """The attribute `approvals` with one more answer."""
    return [*(stored or ()), msgspec.to_builtins(answer)]


def approval_of(answers: Iterable[Answer], hook_id: str) -> Answer | None:
    """The answer that lets ECS go on from a hook; None if nobody has approved it yet."""
    return next(
        (
            each
            for each in answers
            if each.action == "approve" and (each.hook_id == hook_id or each.steps == "all")
        ),
        None,
    )


def rejection_of(answers: Sequence[Answer]) -> Answer | None:
    """The answer that has ended a deployment; None if nobody has rejected it."""
    return answers[-1] if answers and answers[-1].action == "reject" else None


def unanswered(awaiting: Awaiting | None, answers: Iterable[Answer]) -> Awaiting | None:
    """The hook that still needs an answer of a person, if there is one."""
    known = awaiting is None or approval_of(answers, awaiting.hook_id) is not None
    return None if known else awaiting


def own_hook(minutes: int) -> dict[str, Any]:
    """The lifecycle hook that Slipway adds. ECS takes the rollout back if nobody answers it."""
    return {
        "targetType": PAUSE,
        "lifecycleStages": [STAGE],
        "timeoutConfiguration": {"timeoutInMinutes": minutes, "action": "ROLLBACK"},
    }


def with_approval(
    configuration: Mapping[str, Any], minutes: int | None, *, added: Collection[int]
) -> dict[str, Any]:
    """A deployment configuration with Slipway's hook, or without it if `minutes` is None.

    Slipway's earlier hook is replaced. The hooks of the ECS service's owner stay. `added` are the
    minutes of the hooks that Slipway has added: an owner's hook may look the same.
    """
    hooks = _hooks_in(configuration)
    kept = [each for each in hooks if _minutes_of(each) not in added]
    own = [own_hook(minutes)] if minutes is not None else []
    if not own and not hooks:
        return dict(configuration)
    # An empty list says that there is to be none, whatever ECS does with members that are left out.
    return {**configuration, "lifecycleHooks": [*kept, *own]}


def hooks_added(
    configuration: Mapping[str, Any], minutes: int | None, *, added: Collection[int]
) -> set[int] | None:
    """The minutes of Slipway's hooks that a service may have after a call with `minutes`.

    `configuration` is the one before. The call may be lost, so a hook counts until it is seen to be
    gone.
    """
    present = {_minutes_of(each) for each in _hooks_in(configuration)}
    found = {each for each in added if each in present}
    return (found if minutes is None else found | {minutes}) or None


def hook_conflict(configuration: Mapping[str, Any], *, added: Collection[int]) -> str | None:
    """The stage of a PAUSE hook of the ECS service's owner that could be mistaken for Slipway's.

    ECS does not say which hook of the configuration waits, only the stage of the rollout.
    """
    taken = _paused_stages(
        each for each in _hooks_in(configuration) if _minutes_of(each) not in added
    )
    return next((stage for stage in (STAGE, BEFORE) if stage in taken), None)


def is_guarded(configuration: Mapping[str, Any], minutes: int) -> bool:
    """Whether a rollout with this configuration waits for Slipway's hook before each step.

    A rolling update has no traffic to move, and no such stage.
    """
    hooks = [each for each in _hooks_in(configuration) if STAGE in _paused_stages([each])]
    moves_traffic = strategy_of(configuration) != ROLLING
    return moves_traffic and [_minutes_of(each) for each in hooks] == [minutes]


def hook_to_answer(shift: Shift, minutes: int) -> Hook | None:
    """Slipway's hook, if the rollout waits at it.

    ECS does not say to which configured hook an id belongs. The hooks of the owner wait at their
    own stages, so a hook that waits at any other stage is Slipway's, whatever ECS calls that stage.
    """
    waiting = _waiting(shift)
    others = _stages_of_others(shift.configuration, minutes)
    is_other = shift.stage in others or (bool(others) and not shift.stage)
    is_own = is_guarded(shift.configuration, minutes) and not is_other
    return waiting[0] if is_own and len(waiting) == 1 else None


def is_doubtful(shift: Shift, minutes: int) -> bool:
    """Whether the rollout waits at a hook that may be Slipway's or one of the owner.

    Preflight refuses such a configuration, but another party may change it later.
    """
    others = _stages_of_others(shift.configuration, minutes)
    is_either = BEFORE in others and shift.stage in {BEFORE, ""}
    return is_guarded(shift.configuration, minutes) and is_either and bool(_waiting(shift))


def still_waits(shift: Shift, hook_id: str) -> bool:
    """Whether ECS waits for an answer to this hook."""
    return not shift.is_ending and any(each.id == hook_id for each in _waiting(shift))


def is_approved_for_good(answers: Sequence[Answer], strategy: str) -> bool:
    """Whether no further approval is needed: all steps are approved, or there is only one.

    `strategy` is that of the rollout that was approved.
    """
    approved = [each for each in answers if each.action == "approve"]
    has_steps = strategy in {LINEAR, CANARY}
    return any(each.steps == "all" or not has_steps for each in approved)


def text_of_time_out(minutes: int) -> str:
    """Why a deployment failed that nobody answered."""
    unit = "minute" if minutes == 1 else "minutes"
    return f"nobody approved it within {minutes} {unit} (approval_minutes)"


def text_of_answer(answer: Answer) -> str:
    """Who has approved what, and why."""
    which = f"approval {answer.number}"
    given = (
        f"{which} and all later ones are given" if answer.steps == "all" else f"{which} is given"
    )
    return f"{given} by {answer.by}" + (f": {answer.reason}" if answer.reason else "")


def text_of_wait(awaiting: Awaiting) -> str:
    """What a deployment waits for at a hook."""
    until = f" until {rfc3339(awaiting.expires_at)}" if awaiting.expires_at is not None else ""
    return f"awaits approval{until}"


def _hooks_in(configuration: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    hooks: Sequence[Mapping[str, Any]] = configuration.get("lifecycleHooks") or ()
    return hooks


def _paused_stages(hooks: Iterable[Mapping[str, Any]]) -> set[str]:
    """The stages at which these hooks pause a rollout."""
    pauses = (each for each in hooks if each.get("targetType") == PAUSE)
    return {stage for each in pauses for stage in each.get("lifecycleStages", ())}


def _stages_of_others(configuration: Mapping[str, Any], minutes: int) -> set[str]:
    """The stages of all PAUSE hooks but Slipway's."""
    return _paused_stages(each for each in _hooks_in(configuration) if _minutes_of(each) != minutes)


def _waiting(shift: Shift) -> list[Hook]:
    return [each for each in shift.hooks if each.kind == PAUSE and each.status == "AWAITING_ACTION"]


def _minutes_of(hook: Mapping[str, Any]) -> int | None:
    """The minutes of a hook that looks like Slipway's own; None for any other one."""
    minutes: int | None = hook.get("timeoutConfiguration", {}).get("timeoutInMinutes")
    present = {name: each for name, each in hook.items() if each}
    return minutes if minutes is not None and present == own_hook(minutes) else None
