"""Stories that hypothesis tells and shrinks: whatever happens in whatever order, all ends well."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from moto import mock_aws

from tests.embedded import Cloud
from tests.faults.invariants import check
from tests.faults.world import ACTIONS, World

CHOICES = st.integers(min_value=0, max_value=9_999)


class Pipeline(RuleBasedStateMachine):
    """A world of its own, in which what the rules say happens; it settles at the end."""

    @initialize()
    def prepare(self) -> None:
        logging.disable(logging.CRITICAL)
        self._monkeypatch = pytest.MonkeyPatch()
        self._aws = mock_aws()
        self._aws.start()
        self.world = World(Cloud(self._monkeypatch), self._monkeypatch)

    @invariant()
    def nothing_is_wrong(self) -> None:
        check()

    def teardown(self) -> None:
        try:
            self.world.settle(deaf=bool(self.world.tally.steps % 2))
        finally:
            self._aws.stop()
            self._monkeypatch.undo()
            logging.disable(logging.NOTSET)


def _rule(name: str) -> Callable[..., Any]:
    def act(self: Pipeline, choice: int) -> None:
        getattr(self.world, name)(choice)

    act.__name__ = name
    return rule(choice=CHOICES)(act)


for action, weight in ACTIONS.items():
    for copy in range(-(-weight // 2)):
        setattr(Pipeline, f"{action}_{copy}", _rule(action))


def examples(name: str, count: int) -> Any:
    """So many stories, as a test case that can run beside the others."""
    case: Any = type(name, (Pipeline,), {}).TestCase  # type: ignore[attr-defined]
    case.settings = settings(
        max_examples=count,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestStories = examples("Stories", 50)
TestMoreStories = examples("MoreStories", 50)
TestManyStories = pytest.mark.sweep(examples("ManyStories", 300))
