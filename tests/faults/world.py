"""A world that goes wrong: everything that can happen to Slipway, one action at a time.

Each action takes a number that chooses among what there is, so that a story is a list of numbers:
hypothesis shrinks it, and a seed repeats it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from chalicelib.domain.statuses import has_ended
from chalicelib.domain.timing import WATCH
from infra.local.aws import codebuild, ecs
from infra.local.aws.queues import QUEUE
from tests.faults.injector import DENIED, KINDS, Injector
from tests.faults.invariants import (
    Ledger,
    Violation,
    check,
    check_replaced,
    check_settled,
    in_codebuild,
    job_of,
)
from tests.faults.rows import builds, deployments, rows
from tests.faults.trials import finish_outside, is_at_rest, put_image_of, variables
from tests.support.builders import sqs_event
from tests.support.client import Answer
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    Cloud,
    client,
    put_image,
    register,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Killed

ROUNDS = 80
PATIENCE = 2  # schedule periods


@dataclass
class Tally:
    """What a story came to."""

    jobs: int = 0
    steps: int = 0
    repair: int = 0
    # Stories in which nothing but pushes decided what runs, so that it must be the newest.
    newest: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Request:
    """What somebody asked for, to be asked again until there is an answer."""

    send: Callable[[], Answer]
    name: str


class World:
    """One Slipway, its callers, AWS and the clock, with whatever spoils them."""

    def __init__(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *, calm: bool = False
    ) -> None:
        """In a `calm` world all that is built and rolled out is well, and nothing is denied."""
        self.calm = calm
        self.cloud = cloud
        self.cloud.handlers_may_fail = True
        self.tally = Tally()
        self.injector = Injector(monkeypatch)
        self._ledger = Ledger()
        self.injector.observe = self._ledger.observe
        self._accepted: set[str] = set()
        self._unanswered: list[Request] = []
        self._events: list[dict[str, Any]] = []
        self._pushes = 0
        self._keys = 0
        self._pushed: list[tuple[int, int]] = []
        self._only_pushes = True

    # What callers do.

    def push(self, choice: int) -> None:
        """A commit is pushed; every fourth is delivered late, after one that is newer."""
        self._pushes += 1
        number = self._pushes
        at = int(self.cloud._now) - (90 if choice % 4 == 0 else 0)
        self._ask(
            lambda: self.cloud.push(sha(number), delivery=f"delivery-{number}", pushed_at=at),
            f"push {number}",
        )

    def redeliver(self, choice: int) -> None:
        """GitHub delivers again what it had delivered."""
        if self._pushes:
            number = 1 + choice % self._pushes
            self._ask(lambda: self.cloud.push(sha(0), delivery=f"delivery-{number}"), "redelivery")

    def ask_for_build(self, _: int) -> None:
        """Somebody builds by hand."""
        self._post("build", {})

    def deploy(self, choice: int) -> None:
        """Somebody deploys what a build made, or an image by its digest."""
        self._only_pushes = False
        made = [row for row in builds().values() if row["status"] == "success"]
        if made and choice % 3:
            row = made[choice % len(made)]
            image = f"{row['image_repository']}:{row['image_tag']}"
        else:
            image = f"hello@{put_image('hello', f'by-hand-{self._keys}')}"
        self._post("deploy", {"image_tag": image})

    def roll_back(self, choice: int) -> None:
        """Somebody goes back, every third time to a release of their choice."""
        self._only_pushes = False
        known = sorted(deployments())
        named = {"deployment_id": known[choice % len(known)]} if known and choice % 3 == 0 else {}
        self._post("rollback", named)

    def cancel(self, choice: int) -> None:
        """Somebody cancels a job."""
        self._only_pushes = False
        names = sorted(rows("jobs"))
        if names:
            name = names[choice % len(names)]
            self._ask(lambda: self.cloud.api.post(f"/v1/cicd/jobs/{name}/cancel"), f"cancel {name}")

    def _post(self, what: str, body: dict[str, Any]) -> None:
        self._keys += 1
        path = f"/v1/cicd/services/{self.cloud.service_id}/{what}"
        headers: dict[str, str | None] = {"Idempotency-Key": f"key-{self._keys}"}
        self._ask(lambda: self.cloud.api.post(path, body, headers=headers), what)

    def _ask(self, send: Callable[[], Answer], name: str) -> None:
        request = Request(send, name)
        if not self._answered(request):
            self._unanswered.append(request)

    def _answered(self, request: Request) -> bool:
        before = len(self.injector.fired)
        answers: list[Answer] = []
        self._run(lambda: answers.append(request.send()))
        if not answers:
            return False
        answer = answers[0]
        fired = {kind for _, kind in self.injector.fired[before:]}
        if answer.status >= 500 and answer.status != 503 and DENIED not in fired:
            raise Violation(f"{request.name} was answered {answer.status}: {answer.text}")
        if answer.status < 300:
            self._accept(answer.body)
        return answer.status < 500

    def _accept(self, body: dict[str, Any]) -> None:
        promised = [body, *body.get("builds", ())]
        self._accepted |= {each["job_id"] for each in promised if "job_id" in each}

    # What carries news, and what becomes of it.

    def deliver(self, _: int) -> None:
        """A message arrives."""
        self._message(times=1)

    def deliver_twice(self, _: int) -> None:
        """A message arrives twice."""
        self._note("message duplicated")
        self._message(times=2)

    def lose_message(self, _: int) -> None:
        """A message never arrives."""
        self._note("message lost")
        self._message(times=0)

    def _message(self, *, times: int) -> None:
        sqs = client("sqs")
        url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=0)
        for message in taken.get("Messages", []):
            handled = True
            for _ in range(times):
                handled = self._run(partial(self._wake, message["Body"]))
            if handled:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _wake(self, body: str) -> None:
        self.cloud.app.handler_map["on_wakeup"](sqs_event(body), None)

    def hear(self, choice: int) -> None:
        """One of AWS's events arrives, in whatever order; every third comes again later."""
        event = self._event(choice, keep=choice % 3 == 0)
        if event is not None:
            self._run(lambda: self.cloud.hear(event))

    def lose_event(self, choice: int) -> None:
        """One of AWS's events never arrives."""
        if self._event(choice, keep=False) is not None:
            self._note("event lost")

    def _event(self, choice: int, *, keep: bool) -> dict[str, Any] | None:
        self._events += self.cloud.take_events()
        if not self._events:
            return None
        if keep:
            self._note("event duplicated")
            return self._events[choice % len(self._events)]
        return self._events.pop(choice % len(self._events))

    # What AWS does by itself, and what others do there.

    def build_moves(self, choice: int) -> None:
        """A build of CodeBuild ends: mostly well."""
        running = [build for build in in_codebuild() if build["buildStatus"] == "IN_PROGRESS"]
        if not running:
            return
        build = running[choice % len(running)]
        ends = ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "FAILED", "STOPPED")
        status = ends[0 if self.calm else choice % len(ends)]
        if status == "SUCCEEDED":
            put_image_of(build)
        else:
            self._only_pushes = False
        exported = {"COMMIT_SHA": variables(build)["GIT_SHA"] or sha(7)}
        codebuild.engine().run_to(build["id"], status, exported=exported)

    def rollout_moves(self, choice: int) -> None:
        """The newest ECS deployment gets healthy, or its circuit breaker trips."""
        if self.calm or choice % 4:
            ecs.engine().complete(CLUSTER, "hello")
        elif ecs.engine().service(CLUSTER, "hello").breaker["enable"]:
            self._only_pushes = False
            ecs.engine().fail(CLUSTER, "hello")

    def somebody_else_deploys(self, choice: int) -> None:
        """Somebody gives the ECS service a definition of their own."""
        self._note("changed outside")
        self._only_pushes = False
        run_on_ecs(register("hello", f"hello:theirs-{choice}"))

    # Time, and what breaks.

    def pass_time(self, choice: int) -> None:
        """Up to ten minutes pass."""
        self.cloud.advance(choice % 600)

    def schedule(self, _: int) -> None:
        """A minute passes, and the schedule fires."""
        self.cloud.advance(MINUTE)
        self._run(self.cloud.pump.tick)

    def two_schedules(self, choice: int) -> None:
        """The schedule fires while an earlier one is at some call of its own."""
        self._note("two at once")
        self.cloud.advance(MINUTE)
        self._cut_in(choice % 12, self.cloud.pump.tick)
        self._run(self.cloud.pump.tick)

    def wake_amid(self, choice: int) -> None:
        """While the schedule is at some call, all is woken, and a job perhaps cancelled."""
        self._note("two at once")
        self._only_pushes = False
        keys = ["service-1", *sorted(name for name in rows("jobs") if name.startswith("build"))]
        self.cloud.advance(MINUTE)

        def wake_all() -> None:
            if keys[1:] and choice % 2:
                self.cloud.api.post(f"/v1/cicd/jobs/{keys[-1]}/cancel")
            for key in keys:
                self.cloud.wake(key)

        self._cut_in(choice % 12, wake_all)
        self._run(self.cloud.pump.tick)

    def _cut_in(self, after: int, run: Callable[[], object]) -> None:
        at = self.injector.count + after

        def cut_in(number: int, name: str) -> None:
            if number == at:
                run()

        self.injector.after = cut_in

    def spoil(self, choice: int) -> None:
        """One of the next calls of the SDK will fail, in one of the ways there are."""
        kinds = [kind for kind in KINDS if not (self.calm and kind == DENIED)]
        kind = kinds[choice % len(kinds)]
        self.injector.fail(self.injector.count + choice % 7, kind)

    def _run(self, step: Callable[[], object]) -> bool:
        """Take a step as a process of its own, which may die; whether it came to its end."""
        try:
            step()
        except Killed:
            return False
        except Violation:
            raise
        except Exception:  # AWS takes a handler's failure for "not done"
            return False
        finally:
            self.injector.after = None
            self.tally.steps += 1
        return True

    def _note(self, fault: str) -> None:
        self.tally.faults[fault] += 1

    # How every story ends.

    def settle(self, *, deaf: bool) -> None:
        """The faults stop; with `deaf` no message and no event ever arrives again."""
        self._finish_tally()
        self.injector.reset()
        for request in self._unanswered:
            for _ in range(3):
                if self._answered(request):
                    break
            else:
                raise Violation(f"{request.name} is never answered")
        self._come_to_rest(deaf=deaf)
        # What somebody else did and no event has told is seen by the hourly look.
        self.cloud.advance(WATCH)
        self._come_to_rest(deaf=deaf)
        self._ledger.verdict()
        check_settled(self._accepted)
        self._check_newest()
        self.tally.jobs = len(rows("jobs"))

    def _come_to_rest(self, *, deaf: bool) -> None:
        for _ in range(ROUNDS):
            finish_outside()
            waiting = self._done_outside()
            for period in range(1, PATIENCE + 1):
                self.cloud.tick()
                if not deaf:
                    self.cloud.settle()
                check()
                if waiting:
                    self.tally.repair = max(self.tally.repair, period)
                waiting = self._open(waiting)
                if not waiting:
                    break
            else:
                raise Violation(f"{waiting} not ended two periods after their work had")
            check_replaced()
            if is_at_rest():
                break

    def _finish_tally(self) -> None:
        self.tally.faults.update(kind for _, kind in self.injector.fired)
        self.injector.fired.clear()

    def _done_outside(self) -> set[str]:
        """Open jobs that CodeBuild or ECS has ended, and that were theirs to end."""
        ended = {job_of(build) for build in in_codebuild() if build["buildComplete"]}
        known = rows("jobs")
        return {
            name
            for name in ended & known.keys()
            if not has_ended(known[name]["status"]) and "codebuild_id" in known[name]
        } | self._rolled_out()

    def _rolled_out(self) -> set[str]:
        newest = ecs.engine().service(CLUSTER, "hello").deployments[0]
        return {
            row["id"]
            for row in deployments().values()
            if row["status"] == "deploying"
            and row["task_definition"] == newest.task_definition
            and newest.rollout_state == "COMPLETED"
        }

    def _open(self, names: set[str]) -> set[str]:
        return {name for name in names if not has_ended(rows("jobs")[name]["status"])}

    def _check_newest(self) -> None:
        """Where nobody interfered and nothing failed, the newest push is what runs."""
        done = [row for row in builds().values() if row["trigger"] == "push"]
        well = all(row["status"] == "success" for row in done)
        if not self._only_pushes or not done or not well:
            return
        if any(row["status"] not in {"success", "superseded"} for row in deployments().values()):
            return
        self.tally.newest += 1
        newest = max(done, key=lambda row: (row["pushed_at"], row["number"]))
        runs = self.cloud.image_on_ecs()
        if not runs.endswith(newest["image_digest"]):
            raise Violation(f"build {newest['number']} is the newest and {runs} runs")


ACTIONS: dict[str, int] = {
    "push": 4,
    "redeliver": 1,
    "ask_for_build": 1,
    "deploy": 2,
    "roll_back": 2,
    "cancel": 2,
    "deliver": 8,
    "deliver_twice": 2,
    "lose_message": 1,
    "hear": 6,
    "lose_event": 2,
    "build_moves": 6,
    "rollout_moves": 6,
    "somebody_else_deploys": 1,
    "pass_time": 2,
    "schedule": 4,
    "two_schedules": 1,
    "wake_amid": 1,
    "spoil": 6,
}
# Those that leave it to pushes alone what runs.
CALM_ACTIONS = {
    name: weight
    for name, weight in ACTIONS.items()
    if name
    not in {"ask_for_build", "deploy", "roll_back", "cancel", "somebody_else_deploys", "wake_amid"}
}
