"""The findings of preflight about the strategy of a rollout."""

from collections.abc import Collection, Iterator

from chalicelib.domain.approvals import with_approval
from chalicelib.domain.preflight import Finding, error, warning
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.strategies import (
    BLUE_GREEN,
    ROLLING,
    Strategy,
    is_watched,
    merged,
    strategy_of,
)


def strategy_findings(
    runs: Rollout, setting: Strategy | None, *, added: Collection[int]
) -> Iterator[Finding]:
    """The findings about a rollout of the ECS service, with the strategy that the service sets.

    `added` are the minutes of the hooks that Slipway has added to the ECS service.

    Sources: "Required resources for Amazon ECS blue/green deployments", and "Troubleshooting Amazon
    ECS blue/green deployments" for load balancers without advancedConfiguration.
    """
    if runs.is_express:
        yield warning(
            "express_mode",
            "ECS manages this ECS service (Express Mode) and its strategy, so Slipway sends no "
            "strategy. It is not known whether ECS allows the update of the task definition",
        )
        return
    configuration = merged(runs.configuration, setting)
    strategy = strategy_of(configuration)
    if strategy == ROLLING:
        return
    if runs.has_plain_balancer or (strategy != BLUE_GREEN and not runs.moves_traffic):
        yield error(
            "strategy_needs_traffic_shift",
            f"ECS cannot move a part of the traffic to new tasks, which the strategy "
            f"{strategy} needs. Give each load balancer of the ECS service an "
            "advancedConfiguration, with a second target group, or use Service Connect. Or set "
            'strategy to {"type": "ROLLING"}',
        )
    elif not runs.moves_traffic:
        yield warning(
            "strategy_moves_no_traffic",
            "the ECS service has no load balancer and no Service Connect, so ECS moves no traffic "
            "with the strategy BLUE_GREEN: the new tasks work as soon as they run",
        )
    # A person approves before the traffic moves, and does not look at the rest of the rollout.
    if not is_watched(with_approval(configuration, None, added=added)):
        yield warning(
            "rollout_not_watched",
            f"with the strategy {strategy} ECS takes a rollout back because of an alarm or a hook, "
            "and the ECS service has none that is on. Add an alarm to its deployment "
            "configuration. Slipway ends a rollout that does not move for deploy_minutes",
        )
