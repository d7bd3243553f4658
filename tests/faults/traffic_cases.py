"""The use cases of rollouts that move traffic, and of their approval."""

from collections.abc import Callable
from typing import Any

from infra.local.aws import ecs, ecs_rollouts
from infra.local.aws.queues import QUEUE
from tests.faults.receivers import add_receiver
from tests.faults.traffic import (
    answer_hooks,
    answer_outside,
    hooks_that_wait,
    newest_record,
    roll_out_outside,
    stop_outside,
)
from tests.faults.use_cases import KEY, UseCase, cancel, deploy_image, plan, post, send
from tests.support.client import Answer
from tests.support.ecs_shifts import BALANCER, FUNCTION, function, pause
from tests.support.embedded import (
    CLUSTER,
    CONFIGURATION,
    MINUTE,
    Cloud,
    add_topic,
    client,
)

Step = Callable[[Cloud], None]
# What the owner has configured. An alarm may end a rollout.
OWNERS: dict[str, Any] = {
    **CONFIGURATION,
    "strategy": "BLUE_GREEN",
    "bakeTimeInMinutes": 1,
    "alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True},
}
BLUE_GREEN = {"type": "BLUE_GREEN", "bake_minutes": 2}
LINEAR = {"type": "LINEAR", "percent": 40.0, "step_minutes": 1, "bake_minutes": 0}
CANARY = {"type": "CANARY", "percent": 10.0, "step_minutes": 1, "bake_minutes": 1}
WAITED = 30 * MINUTE  # until ECS takes back a rollout that nobody approves


def pass_time(seconds: int) -> Step:
    """Time passes and ECS goes on. Nothing of it is delivered."""

    def step(cloud: Cloud) -> None:
        cloud.advance(seconds)
        ecs.engine().advance()

    return step


def balance(*hooks: dict[str, Any]) -> None:
    """The owner puts the ECS service behind a load balancer that moves traffic, and adds hooks."""
    roll_out_outside(
        loadBalancers=[BALANCER],
        deploymentConfiguration=OWNERS | ({"lifecycleHooks": [*hooks]} if hooks else {}),
    )


def shifts(cloud: Cloud, strategy: dict[str, Any], *hooks: dict[str, Any], **settings: Any) -> None:
    """A release whose ECS service moves traffic, the hooks of the owner, and settings."""
    cloud.release(1)
    balance(*hooks)
    while newest_record().status != "SUCCESSFUL":
        cloud.finish_rollout()
        cloud.advance(MINUTE)
        answer_hooks(cloud)
    cloud.change_service(strategy=strategy, **settings)


def guarded(
    cloud: Cloud, strategy: dict[str, Any], *hooks: dict[str, Any], **settings: Any
) -> None:
    """The same, and each deployment needs an approval."""
    own = {"approval": True, "approval_minutes": WAITED // MINUTE, "approve_own": True}
    shifts(cloud, strategy, *hooks, **(own | settings))


def then(prepare: Step, *steps: Step) -> Step:
    """The state, after further steps."""

    def prepared(cloud: Cloud) -> None:
        prepare(cloud)
        for step in steps:
            step(cloud)

    return prepared


def _state(make: Callable[..., None], *steps: Step) -> Callable[..., Step]:
    """A function of a strategy, hooks and settings that makes a state by further steps."""

    def of(strategy: dict[str, Any], *hooks: dict[str, Any], **settings: Any) -> Step:
        return then(lambda cloud: make(cloud, strategy, *hooks, **settings), *steps)

    return of


def request(cloud: Cloud) -> None:
    assert deploy_image(cloud, "b").status == 202


def begin(cloud: Cloud) -> None:
    request(cloud)
    cloud.settle()


def start_tasks(cloud: Cloud) -> None:
    """All tasks of the new release become healthy. ECS's events are not delivered."""
    begin(cloud)
    cloud.finish_rollout(settle=False)


def note(cloud: Cloud) -> None:
    """Slipway sees what ECS does now."""
    cloud.wake("service-1")
    cloud.lose_events()
    cloud.lose_messages()


def approve(cloud: Cloud, **body: Any) -> Answer:
    return cloud.api.post("/v1/cicd/deployments/2/approve", body, headers=KEY)


def reject(cloud: Cloud) -> Answer:
    body = {"reason": "orders are missing"}
    return cloud.api.post("/v1/cicd/deployments/2/reject", body, headers=KEY)


def roll_back(cloud: Cloud) -> Answer:
    return post(cloud, "rollback", {}, key="k")


def answered(action: str = "CONTINUE") -> Step:
    """The owner answers the hook that waits, in the console."""

    def step(_: Cloud) -> None:
        record = newest_record()
        (hook,) = hooks_that_wait(record)
        answer_outside(record, hook, action)

    return step


def stopped(_: Cloud) -> None:
    """The owner takes the rollout back, in the console."""
    stop_outside(newest_record())


def function_answers(answer: str) -> Step:
    return lambda _: ecs.engine().answer_hook(FUNCTION, answer)


def asked(act: Callable[[Cloud], Answer]) -> Step:
    """A request, as a part of a state. Its message is not delivered yet."""

    def step(cloud: Cloud) -> None:
        answer = act(cloud)
        assert answer.status < 300, answer.text

    return step


def cancelled(cloud: Cloud) -> None:
    asked(lambda c: cancel(c, "deploy-2"))(cloud)


def woken(_: Cloud) -> None:
    send(QUEUE, "service-1")


def without_hooks(_: Cloud) -> None:
    """The owner removes all hooks and begins the rollout again, in the console."""
    roll_out_outside(deploymentConfiguration=OWNERS, forceNewDeployment=True)


def without_hooks_at_the_next(_: Cloud) -> None:
    """The owner removes the hooks of the ECS service. The rollout under way keeps its own."""
    kept = {**OWNERS, "lifecycleHooks": []}
    client("ecs").update_service(cluster=CLUSTER, service="hello", deploymentConfiguration=kept)


def approve_again(cloud: Cloud) -> None:
    """The next step is approved, and ECS is told to go on."""
    answer = cloud.api.post("/v1/cicd/deployments/2/approve", {})
    assert answer.status == 202, answer.text
    deliver_messages(cloud)
    cloud.lose_events()


def unnamed(cloud: Cloud) -> None:
    """ECS does not say which service deployment is under way."""
    cloud.monkeypatch.setattr(ecs_rollouts.Service, "current_service_deployment", None)


def paused_by_the_owner(_: Cloud) -> None:
    """The owner adds a PAUSE hook at the stage of Slipway's."""
    hooks = [pause("PRE_PRODUCTION_TRAFFIC_SHIFT")]
    client("ecs").update_service(
        cluster=CLUSTER,
        service="hello",
        deploymentConfiguration={**OWNERS, "lifecycleHooks": hooks},
    )


def deployed_behind(cloud: Cloud) -> None:
    """Another deployment waits for the end of this one."""
    assert deploy_image(cloud, "c").status == 202
    cloud.settle()


def deliver_messages(cloud: Cloud) -> None:
    cloud.pump.deliver_messages()


def deliver_messages_and_tick(cloud: Cloud) -> None:
    cloud.pump.deliver_messages()
    cloud.tick()


def deliver_events(cloud: Cloud) -> None:
    cloud.pump.deliver_events()


def deliver_tellings(cloud: Cloud) -> None:
    cloud.pump.deliver_tellings()


def tick(cloud: Cloud) -> None:
    cloud.tick()


def told(prepare: Step, add: Callable[[Cloud], object]) -> Step:
    """The same state, and a channel that is told of it."""

    def prepared(cloud: Cloud) -> None:
        add(cloud)
        prepare(cloud)

    return prepared


def refused(act: Callable[[Cloud], Answer], *statuses: int) -> Callable[[Cloud], Answer | None]:
    """A refusal is the end of the use case. Only a 5xx is repeated."""

    def run(cloud: Cloud) -> Answer | None:
        answer = act(cloud)
        return None if answer.status in statuses else answer

    return run


# The shifts take two seconds each. So ten seconds after the tasks are healthy ECS is at the hook,
# and ten seconds after the hook it has moved the traffic of a step.
SOON = pass_time(10)
_WAITS = (start_tasks, SOON, note)
_APPROVED = (*_WAITS, asked(approve))
_ALL_APPROVED = (*_WAITS, asked(lambda c: approve(c, steps="all")))
to_begin = _state(shifts, request)
tasks_run = _state(shifts, start_tasks)
at_last = _state(shifts, start_tasks, pass_time(10 * MINUTE))
guarded_to_begin = _state(guarded, request)
scaling = _state(guarded, begin)
reached = _state(guarded, start_tasks, SOON)
waits = _state(guarded, *_WAITS)
approved = _state(guarded, *_APPROVED)
all_approved = _state(guarded, *_ALL_APPROVED)
moved = _state(guarded, *_APPROVED, deliver_messages, SOON, note)
second = _state(guarded, *_APPROVED, deliver_messages, pass_time(3 * MINUTE), note)
second_of_all = _state(guarded, *_ALL_APPROVED, deliver_messages, pass_time(3 * MINUTE), note)
baking = _state(guarded, *_APPROVED, deliver_messages, pass_time(MINUTE), note)
too_late = _state(guarded, *_WAITS, pass_time(WAITED))
approved_too_late = _state(
    guarded,
    *_WAITS,
    pass_time(WAITED - MINUTE),
    asked(approve),
    Cloud.lose_messages,
    pass_time(MINUTE),
)
rejected = _state(guarded, *_WAITS, asked(reject))
# A Lambda hook of the owner runs at the stage of Slipway's hook.
beside_a_function = _state(guarded, function_answers("IN_PROGRESS"), *_WAITS)(
    BLUE_GREEN, function("PRE_PRODUCTION_TRAFFIC_SHIFT")
)


def stops_at(stage: str) -> Step:
    """A rollout that waits at a hook of the owner, in a stage that is not Slipway's."""
    if stage == "POST_PRODUCTION_TRAFFIC_SHIFT":
        steps: tuple[Step, ...] = (note, asked(approve), deliver_messages, SOON, note)
    else:
        steps = (note,)
    return then(_state(guarded, start_tasks, SOON)(BLUE_GREEN, pause(stage)), *steps)


# A rollout of each kind of place where it can be, to be taken back.
STAGES: tuple[tuple[str, Step], ...] = (
    ("before the tasks start", stops_at("PRE_SCALE_UP")),
    ("while the tasks start", scaling(BLUE_GREEN)),
    ("after the tasks start", stops_at("POST_SCALE_UP")),
    # Slipway could not tell a PAUSE hook of this stage from its own.
    (
        "after the test traffic",
        _state(shifts, start_tasks, SOON, note)(BLUE_GREEN, pause("POST_TEST_TRAFFIC_SHIFT")),
    ),
    ("at Slipway's hook", waits(CANARY)),
    ("between its hook and the traffic", approved(CANARY)),
    ("at 10 %", moved(CANARY)),
    ("at the second hook", second(CANARY)),
    ("after the traffic", stops_at("POST_PRODUCTION_TRAFFIC_SHIFT")),
    ("in the bake time", baking(BLUE_GREEN)),
    ("at its end", then(baking(BLUE_GREEN), pass_time(2 * MINUTE - 8))),
)

TRAFFIC = (
    *(
        UseCase(f"a {kind} rollout {what}", prepare, run)
        for kind, strategy in (("blue/green", BLUE_GREEN), ("linear", LINEAR), ("canary", CANARY))
        for what, prepare, run in (
            ("begins", to_begin(strategy), deliver_messages),
            ("moves its traffic", then(tasks_run(strategy), SOON), tick),
            ("goes on", then(tasks_run(strategy), pass_time(2 * MINUTE)), tick),
            ("ends", at_last(strategy), deliver_events),
        )
    ),
    UseCase(
        "a rollout moves its traffic, and ECS does not name it",
        then(tasks_run(CANARY), SOON, unnamed),
        tick,
    ),
    UseCase("a deployment is planned while traffic moves", moved(CANARY), plan),
    UseCase("a rollout that needs approval begins", guarded_to_begin(CANARY), deliver_messages),
    UseCase("a hook is reached", reached(CANARY), deliver_events),
    UseCase("a hook is found without its event", reached(CANARY), tick),
    UseCase("the traffic is approved", waits(CANARY), approve),
    UseCase(
        "all traffic is approved", waits(CANARY), lambda c: approve(c, steps="all", reason="tested")
    ),
    UseCase("the traffic is approved a second time", approved(CANARY), approve),
    UseCase("the traffic is rejected", waits(CANARY), reject),
    UseCase("the traffic is rejected a second time", rejected(CANARY), reject),
    UseCase(
        "a deployer may not approve what it asked for",
        waits(CANARY, approve_own=False),
        refused(approve, 403),
    ),
    UseCase(
        "an approval that nothing waits for is refused", scaling(CANARY), refused(approve, 409)
    ),
    UseCase("an approval is given to ECS", approved(CANARY), deliver_messages),
    UseCase("an approval of all steps is given to ECS", all_approved(LINEAR), deliver_messages),
    UseCase(
        "an approval that ECS has already is given to it",
        then(approved(CANARY), answered()),
        deliver_messages,
    ),
    UseCase("the first step of a canary is seen", then(moved(CANARY), woken), deliver_messages),
    UseCase("the second step is approved", second(CANARY), approve),
    UseCase("the second step is let go on", second_of_all(CANARY), tick),
    UseCase("the second step of a linear rollout waits", second(LINEAR), tick),
    UseCase("nobody has approved in time", too_late(CANARY), tick),
    UseCase("nobody has approved in time, an event says", too_late(BLUE_GREEN), deliver_events),
    UseCase("an approval comes too late", approved_too_late(CANARY), tick),
    UseCase("a rejected rollout is taken back", rejected(CANARY), deliver_messages),
    *(
        UseCase(f"a rollout is cancelled {where}", then(prepare, cancelled), deliver_messages)
        for where, prepare in STAGES
    ),
    *(
        UseCase(f"a rollback is requested {where}", prepare, roll_back)
        for where, prepare in (
            ("at Slipway's hook", waits(CANARY)),
            ("at 10 %", moved(CANARY)),
        )
    ),
    *(
        UseCase(
            f"a rollback takes a rollout back {where}",
            then(prepare, asked(roll_back)),
            deliver_messages,
            begins=True,
        )
        for where, prepare in (
            ("at Slipway's hook", waits(CANARY)),
            ("between its hook and the traffic", approved(CANARY)),
            ("at 10 %", moved(CANARY)),
            ("in the bake time", baking(BLUE_GREEN)),
        )
    ),
    UseCase(
        "a rollback ends that ECS has made",
        then(moved(CANARY), asked(roll_back), deliver_messages, SOON, woken),
        deliver_messages,
    ),
    UseCase(
        "a rollback needs no approval",
        then(moved(BLUE_GREEN), pass_time(10 * MINUTE), Cloud.settle, asked(roll_back)),
        deliver_messages,
    ),
    UseCase(
        "a PAUSE hook of the owner is reached",
        reached(CANARY, pause("POST_SCALE_UP")),
        deliver_events,
    ),
    UseCase(
        "an approval is given beside a Lambda hook of the owner",
        then(beside_a_function, asked(approve)),
        deliver_messages,
    ),
    UseCase(
        "a Lambda hook of the owner fails beside Slipway's",
        then(beside_a_function, function_answers("FAILED"), SOON),
        tick,
    ),
    UseCase("the owner approves in the console", then(waits(CANARY), answered(), SOON), tick),
    UseCase(
        "the owner approves in the console, and nobody has seen the hook",
        then(reached(BLUE_GREEN), answered(), pass_time(10 * MINUTE)),
        deliver_events,
    ),
    UseCase(
        "the owner rejects in the console", then(waits(CANARY), answered("ROLLBACK"), SOON), tick
    ),
    UseCase("the owner stops a rollout in the console", then(moved(CANARY), stopped, SOON), tick),
    UseCase(
        "an alarm ends a rollout in its bake time",
        then(baking(BLUE_GREEN), lambda _: ecs.engine().alarm("errors")),
        tick,
    ),
    UseCase(
        "the approval is switched off while a deployment waits",
        waits(CANARY),
        lambda c: c.api.patch("/v1/services/1", {"approval": False}),
    ),
    UseCase(
        "a deployment goes on waiting after the approval was switched off",
        then(waits(CANARY), lambda c: c.change_service(approval=False, strategy=None)),
        tick,
    ),
    UseCase(
        "a service whose deployment waits is not deleted",
        waits(CANARY),
        refused(lambda c: c.api.delete("/v1/services/1"), 409),
    ),
    UseCase(
        "a service whose rollout is to be taken back is not deleted",
        rejected(CANARY),
        refused(lambda c: c.api.delete("/v1/services/1"), 409),
    ),
    UseCase(
        "a deployment begins after the rejected one",
        then(waits(CANARY), deployed_behind, asked(reject)),
        deliver_messages_and_tick,
        begins=True,
    ),
    UseCase(
        "the owner removes the hook of a deployment that waits",
        then(waits(BLUE_GREEN), without_hooks),
        tick,
    ),
    UseCase(
        "an approved rollout ends, and the ECS service has no hook any more",
        then(second(CANARY), without_hooks_at_the_next, approve_again, pass_time(10 * MINUTE)),
        tick,
    ),
    UseCase(
        "a rolling update that needs approval is refused",
        then(guarded_to_begin(CANARY), lambda c: c.change_service(strategy={"type": "ROLLING"})),
        deliver_messages,
    ),
    UseCase(
        "a second hook of the owner refuses a deployment that needs approval",
        then(guarded_to_begin(CANARY), paused_by_the_owner),
        deliver_messages,
    ),
    UseCase(
        "a channel is told that a deployment awaits approval",
        told(waits(CANARY), add_topic),
        deliver_tellings,
    ),
    UseCase(
        "GitHub is told that a deployment awaits approval",
        told(waits(CANARY), lambda c: add_receiver(c, "github")),
        deliver_tellings,
    ),
)
