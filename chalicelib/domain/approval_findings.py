"""Preflight of an approval: whether ECS would wait for it."""

from collections.abc import Collection

from chalicelib.domain.approvals import hook_conflict
from chalicelib.domain.preflight import Finding, error, warning
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.strategies import ROLLING, Strategy, merged, strategy_of

_SUBJECT = "approval"
_OFF = "or set the service's approval to false"


def approval_findings(
    rollout: Rollout, strategy: Strategy | None, *, added: Collection[int]
) -> list[Finding]:
    """Why ECS would not wait for an approval, or could not be answered, and what that changes.

    `strategy` is the setting of the service, and `added` are the minutes of the hooks that Slipway
    has added to the ECS service.
    """
    if rollout.is_express:
        return [
            error(
                "approval_not_in_express_mode",
                "ECS manages the deployments of this service itself (Express Mode), so Slipway "
                f"cannot make it wait for an approval. Use another ECS service, {_OFF}",
                _SUBJECT,
            )
        ]
    configuration = merged(rollout.configuration, strategy)
    if strategy_of(configuration) == ROLLING:
        return [
            error(
                "approval_needs_traffic_shift",
                "a rolling update gives traffic to new tasks as they start, so nobody can approve "
                "it before. Set the service's strategy to BLUE_GREEN, LINEAR or CANARY, "
                f"{_OFF}",
                _SUBJECT,
            )
        ]
    stage = hook_conflict(configuration, added=added)
    if stage is not None:
        return [
            error(
                "approval_hook_conflict",
                f"the ECS service has a PAUSE hook of its own at the stage {stage}. ECS does not "
                "say which of two hooks waits, so Slipway could answer the wrong one. Remove that "
                "hook from the ECS service, or move it to the stage PRE_SCALE_UP or POST_SCALE_UP, "
                f"{_OFF}",
                _SUBJECT,
            )
        ]
    if not rollout.moves_traffic:
        return [
            warning(
                "approval_without_traffic",
                "ECS moves no traffic for this service: it has no load balancer and no "
                "Service Connect that can. Its new tasks run, and work, before the approval",
                _SUBJECT,
            )
        ]
    return []
