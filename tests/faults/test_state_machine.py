"""Random stories that hypothesis makes and shrinks. Every story must end without a violation."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from moto import mock_aws

from tests.faults.invariants import check
from tests.faults.world import ACTIONS, GITHUB_ACTIONS, TRAFFIC_ACTIONS, World, without_choices
from tests.support.embedded import Cloud

CHOICES = st.integers(min_value=0, max_value=9_999)


class Pipeline(RuleBasedStateMachine):
    """Each rule is one action of a World. At the end the faults stop and the World settles."""

    calm = False
    on_github = False
    moves_traffic = False

    @initialize(by_app=st.booleans(), checks=st.booleans(), choice=CHOICES)
    def prepare(self, by_app: bool, checks: bool, choice: int) -> None:
        logging.disable(logging.CRITICAL)
        self._monkeypatch = pytest.MonkeyPatch()
        self._aws = mock_aws()
        self._aws.start()
        self.world = World(Cloud(self._monkeypatch), self._monkeypatch, calm=self.calm)
        if self.on_github:
            self.world.connect_github(by_app=by_app, checks=checks)
        if self.moves_traffic:
            self.world.move_traffic(choice)

    @invariant()
    def no_invariant_is_violated(self) -> None:
        check(self.world.changes)
        self.world.check_changes()
        self.world.check_configs()

    def teardown(self) -> None:
        try:
            self.world.settle(lose_all=bool(self.world.tally.steps % 2))
        finally:
            self._aws.stop()
            self._monkeypatch.undo()
            logging.disable(logging.NOTSET)


def _rule(name: str) -> Callable[..., Any]:
    def act(self: Pipeline, choice: int) -> None:
        getattr(self.world, name)(choice)

    act.__name__ = name
    return rule(choice=CHOICES)(act)


def examples(
    name: str,
    count: int,
    *,
    calm: bool = False,
    on_github: bool = False,
    moves_traffic: bool = False,
) -> Any:
    """A test case of `count` stories. Several test cases can run at the same time."""
    actions = TRAFFIC_ACTIONS if moves_traffic else ACTIONS
    actions = (without_choices(actions) if calm else actions) | (
        GITHUB_ACTIONS if on_github else {}
    )
    rules = {
        f"{action}_{copy}": _rule(action)
        for action, weight in actions.items()
        for copy in range(-(-weight // 2))
    }
    kind = {"calm": calm, "on_github": on_github, "moves_traffic": moves_traffic}
    case: Any = type(name, (Pipeline,), {**rules, **kind}).TestCase  # type: ignore[attr-defined]
    case.settings = settings(
        max_examples=count,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestStories = examples("Stories", 50)
TestMoreStories = pytest.mark.long(examples("MoreStories", 150))
TestOnlyPushes = examples("OnlyPushes", 25, calm=True)
TestMoreOnlyPushes = pytest.mark.long(examples("MoreOnlyPushes", 25, calm=True))
TestTraffic = examples("Traffic", 10, moves_traffic=True)
TestMoreTraffic = pytest.mark.long(examples("MoreTraffic", 90, moves_traffic=True))
TestGitHub = pytest.mark.long(examples("GitHub", 40, on_github=True))
TestManyStories = pytest.mark.sweep(examples("ManyStories", 300))
TestManyTraffic = pytest.mark.sweep(examples("ManyTraffic", 300, moves_traffic=True))
