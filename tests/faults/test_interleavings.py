"""Two of us at once: one stops at each call, the other runs to its end, the first goes on."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from infra.local.aws import ecs
from tests.faults import use_cases
from tests.faults.injector import Injector
from tests.faults.invariants import Ledger, check, check_settled
from tests.faults.trials import forked, recover
from tests.faults.use_cases import ask, cancel, post
from tests.support.client import Answer
from tests.support.embedded import CLUSTER, Cloud, cloud, sha

__all__ = ["cloud"]

Step = Callable[[Cloud], Any]


@dataclass(frozen=True)
class Pair:
    """What was before, and two things that happen at the same time."""

    name: str
    prepare: Step
    first: Step
    second: Step
    # A call that nobody can call back once it is on its way: it is not stopped before it.
    on_its_way: str = ""


def wake(key: str) -> Step:
    """A worker reconciles what a message names."""
    return lambda cloud: cloud.wake(key)


def deploy(cloud: Cloud) -> Any:
    return ask(cloud, "c")


def roll_back(cloud: Cloud) -> Any:
    return post(cloud, "rollback", {}, key="k")


def push(cloud: Cloud) -> Any:
    return cloud.push(sha(9), delivery="the-same-delivery", pushed_at=1_795_305_600)


def other_delivery(cloud: Cloud) -> Any:
    return cloud.push(sha(9), delivery="another-delivery", pushed_at=1_795_305_600)


def two_secrets(cloud: Cloud) -> None:
    use_cases.own_secret(cloud)
    cloud.add_service("other")


def for_hello(cloud: Cloud) -> Any:
    return _starting(
        1, cloud.push(sha(9), delivery="a", pushed_at=1_795_305_600, secret=use_cases.OWN_SECRET)
    )


def for_other(cloud: Cloud) -> Any:
    return _starting(2, cloud.push(sha(9), delivery="b", pushed_at=1_795_305_600))


def _starting(service: int, answer: Answer) -> Answer:
    assert [each["service_id"] for each in answer.body["builds"]] == [service], answer.text
    return answer


def tick(cloud: Cloud) -> None:
    cloud.pump.tick()


def cancelling(job: str) -> Step:
    return lambda cloud: cancel(cloud, job)


def cancel_and_wake(cloud: Cloud) -> Any:
    answer = cancel(cloud, "build-1")
    cloud.wake("build-1")
    return answer


def delete(cloud: Cloud) -> Any:
    return cloud.api.delete(f"/v1/services/{cloud.service_id}")


def fail_meanwhile(cloud: Cloud) -> None:
    """Half a minute passes; another worker rolls out what is due, and its tasks die."""
    cloud.advance(30)
    cloud.wake("service-1")
    rollout = ecs.engine().service(CLUSTER, "hello").deployments[0].rollout_state
    if rollout == "IN_PROGRESS":
        ecs.engine().fail(CLUSTER, "hello")
    cloud.wake("service-1")


BUILD, SERVICE = wake("build-1"), wake("service-1")

PAIRS = (
    *(
        Pair(f"{name}: two workers", prepare, step, step)
        for name, prepare, step in (
            ("a build is started", use_cases.pushed, BUILD),
            ("a build ends", use_cases.built, BUILD),
            ("a build failed", use_cases.build_failed, BUILD),
            ("a rollout begins", use_cases.to_be_deployed, SERVICE),
            ("a rollout ends", use_cases.rolled_out, SERVICE),
            ("a rollout failed", use_cases.rollout_failed, SERVICE),
            ("a rollback begins", use_cases.rollback_asked, SERVICE),
            ("ECS is brought back", use_cases.to_be_brought_back, SERVICE),
            ("a build that was started is found", use_cases.starting, BUILD),
            ("a build that was not started is started anew", use_cases.not_started, BUILD),
            ("a change from outside is seen", use_cases.changed_outside, SERVICE),
        )
    ),
    *(
        Pair(f"{name}: a worker, and a cancel", prepare, step, cancelling(job))
        for name, prepare, step, job in (
            ("a build is started", use_cases.pushed, BUILD, "build-1"),
            ("a build ends", use_cases.built, BUILD, "build-1"),
            ("a rollout begins", use_cases.to_be_deployed, SERVICE, "deploy-1"),
            ("a rollout ends", use_cases.rolled_out, SERVICE, "deploy-1"),
            ("a build that was started is found", use_cases.starting, BUILD, "build-1"),
            ("a build that was not started", use_cases.not_started, BUILD, "build-1"),
            ("one ends, one waits", use_cases.rolled_out_and_one_waits, SERVICE, "deploy-4"),
            ("one fails, one waits", use_cases.failed_and_one_waits, SERVICE, "deploy-4"),
        )
    ),
    Pair(
        "a build is started: a worker, and one that was told of a cancel",
        use_cases.pushed,
        BUILD,
        cancel_and_wake,
    ),
    *(
        Pair(f"{name}: a worker, and {what}", prepare, SERVICE, request)
        for name, prepare in (
            ("a rollout runs", use_cases.one_deploys_one_waits),
            ("a rollback begins", use_cases.rollback_asked),
            ("a rollback ends", use_cases.rollback_rolled_out),
            ("at rest", use_cases.two_releases),
            ("one ends, one waits", use_cases.rolled_out_and_one_waits),
            ("one fails, one waits", use_cases.failed_and_one_waits),
            ("a late call is healed", use_cases.late_call),
            ("changed outside", use_cases.changed_outside),
        )
        for what, request in (("a rollback", roll_back), ("a deployment", deploy))
    ),
    Pair("a late call is healed, and a deletion", use_cases.late_call, SERVICE, delete),
    Pair("a rollout is cancelled, and a deletion", use_cases.to_be_brought_back, SERVICE, delete),
    Pair(
        "a worker is held up",
        use_cases.to_be_deployed,
        SERVICE,
        fail_meanwhile,
        on_its_way="ecs.UpdateService",
    ),
    Pair("a build ends, and a rollback", use_cases.third_built, wake("build-3"), roll_back),
    Pair("a build ends, and a deployment", use_cases.third_built, wake("build-3"), deploy),
    Pair("one push, delivered twice", use_cases.nothing, push, push),
    Pair("one push, by two webhooks", use_cases.nothing, push, other_delivery),
    Pair("one push, by two webhooks with a secret each", two_secrets, for_other, for_hello),
    Pair("two schedules, builds waiting", use_cases.two_pushed_unheard, tick, tick),
    Pair("two schedules, a service to heal", use_cases.late_call, tick, tick),
    Pair("a deployment, and another", use_cases.two_releases, deploy, lambda c: ask(c, "d")),
    Pair(
        "a rollback, and another",
        use_cases.two_releases,
        roll_back,
        lambda c: post(c, "rollback", {}, key="other"),
    ),
    Pair(
        "a cancel, and another",
        use_cases.one_deploys_one_waits,
        lambda c: cancel(c, "deploy-3"),
        lambda c: cancel(c, "deploy-3"),
    ),
)


@pytest.mark.sweep
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_whoever_is_first_the_end_is_right(
    pair: Pair,
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, Any], None],
) -> None:
    faults = Injector(monkeypatch)
    cloud.handlers_may_fail = True
    pair.prepare(cloud)
    gc.freeze()
    orders = {(pair.first, pair.second), (pair.second, pair.first)}
    swept = [sweep(*order, pair.on_its_way, cloud, faults) for order in orders]
    problems = [problem for _, found in swept for problem in found]
    assert not problems, "\n".join(problems)
    calls = sum(calls for calls, _ in swept)
    record_property("interleavings", (calls, 2 * calls))


def sweep(
    one: Step, other: Step, on_its_way: str, cloud: Cloud, faults: Injector
) -> tuple[int, list[str]]:
    """How many calls `one` makes, and what went wrong with `other` before or after each of them."""
    calls = forked(lambda: _calls(one, cloud, faults))
    assert not calls.trouble, calls.trouble
    problems = []
    for number, name in enumerate(calls.answer):
        for when in ("before", "after"):
            if (when, name) == ("before", on_its_way):
                continue
            told = forked(partial(_interleave, one, other, cloud, faults, number, when))
            if told.trouble:
                problems.append(f"{when} call {number}, {name}\n{told.trouble}")
    return len(calls.answer), problems


def _calls(step: Step, cloud: Cloud, faults: Injector) -> list[str]:
    faults.reset()
    step(cloud)
    assert faults.names, "nothing to stop at"
    return faults.names


def _interleave(
    one: Step, other: Step, cloud: Cloud, faults: Injector, number: int, when: str
) -> None:
    ledger = Ledger()
    faults.observe = ledger.observe
    faults.reset()
    answers: list[Any] = []

    def cut_in(call: int, _: str) -> None:
        if call == number and not answers:
            answers.append(other(cloud))

    setattr(faults, when, cut_in)
    answers.append(one(cloud))
    faults.reset()
    assert len(answers) == 2
    for answer in answers:
        assert answer is None or answer.status < 500, answer.text
    check()
    recover(cloud)
    ledger.verdict()
    check_settled(set())
