"""Slipway in a world with faults. Each method in ACTIONS is one thing that can happen.

An action takes a number that chooses among the possible cases. So a story is a list of names and
numbers, which hypothesis can shrink and a seed can repeat.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from chalicelib.domain import heads
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.timing import WATCH, WORKER_LIFE
from infra.local.aws import codebuild, ecs
from infra.local.aws.queues import QUEUE, TELLINGS
from tests.faults import receivers, traffic, traffic_cases
from tests.faults.injector import DENIED, KINDS, Injector
from tests.faults.invariants import (
    Ledger,
    Violation,
    changes_outside,
    check,
    check_noted,
    check_replaced,
    check_settled,
    codebuild_builds,
    job_id_of,
)
from tests.faults.pulls import PullRequest
from tests.faults.receivers import BY_APP, PASSED, add_receiver
from tests.faults.rows import Row, builds, deployments, rows, services
from tests.faults.trials import PATIENCE, finish_outside, is_at_rest, put_image_of, variables
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, sqs_event
from tests.support.client import Answer
from tests.support.ecs_shifts import pause
from tests.support.embedded import (
    CLUSTER,
    MINUTE,
    REPOSITORY,
    Cloud,
    add_topic,
    client,
    delete_definition,
    put_image,
    register,
    run_on_ecs,
    sha,
)
from tests.support.sdk import Killed

ROUNDS = 80
_FIRST_HEAD = sha(0xFFFFF)
# Deployments of these triggers overrule no choice of another party.
_NOT_EXPLICIT = {"push", "config"}
_FIRST_ROLLOUT = 8  # minutes, enough for any of _STRATEGIES
_STRATEGIES = (traffic_cases.BLUE_GREEN, traffic_cases.LINEAR, traffic_cases.CANARY)


@dataclass
class Tally:
    """The totals of a story."""

    jobs: int = 0
    steps: int = 0
    # Schedule periods from the end of work in AWS until the row showed it, at most.
    repair: int = 0
    # 1 if only pushes decided what runs, so that the newest push must run.
    only_pushes: int = 0
    # Deployments that a person has approved.
    approved: int = 0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Request:
    """A request of a caller. It is repeated until it is answered."""

    send: Callable[[], Answer]
    name: str


@dataclass(frozen=True)
class Change:
    """A change of the ECS service by another party: ECS's record of it, and when it was made.

    `stays` is false if it may be taken for a late call of Slipway, if Slipway wants that definition
    anyway, or if no deployment has begun.
    """

    record: Any
    at: int
    stays: bool


class World:
    """One Slipway with its callers, AWS, the clock and the faults."""

    def __init__(
        self,
        cloud: Cloud,
        monkeypatch: pytest.MonkeyPatch,
        *,
        calm: bool = False,
        tells: bool = True,
    ) -> None:
        """In a `calm` world builds and rollouts succeed, and no first try of a call is denied.

        If it `tells`, a topic is told of all that happens.
        """
        self.calm = calm
        # Whether each version that runs tells channels.
        self.all_tell = True
        self.cloud = cloud
        self.cloud.handlers_may_fail = True
        # A second service deploys the images of the first one.
        self._dependent = cloud.add_dependent("worker", desired=1)
        if tells:
            add_topic(cloud)
        cloud.advance(1)
        self.tally = Tally()
        self.injector = Injector(monkeypatch)
        self._ledger = Ledger()
        self.injector.observe, self.injector.watch = self._ledger.observe, self._ledger.watch
        self._accepted: set[str] = set()
        self._unanswered: list[Request] = []
        self._changes: list[Change] = []
        self._events: list[dict[str, Any]] = []
        self._deleted: set[str] = set()
        self._pushes = 0
        self._pushed_at = 0
        # The pushes that GitHub has not delivered yet, with their times.
        self._undelivered: dict[int, int] = {}
        self._keys = 0
        self._only_pushes = True
        # Names of variables that accepted changes of the config have set.
        self._variables: set[str] = set()
        self.moves_traffic = False
        self._pull_request = PullRequest(cloud, self._send)
        self._requires_checks = False

    def move_traffic(self, choice: int) -> None:
        """The service moves traffic with one of the strategies. Three of four need approval.

        In every second of them the owner has a hook, too. A release runs, and the rollout of the
        next one has begun.
        """
        self.moves_traffic = True
        hooks = [pause("POST_SCALE_UP")] if choice // 12 % 2 else []
        traffic_cases.balance(*hooks)
        self.cloud.change_service(
            strategy=_STRATEGIES[choice % 3],
            approval=choice // 3 % 4 != 0,
            approval_minutes=30,
            approve_own=True,
        )
        self.push(2)
        for _ in range(_FIRST_ROLLOUT):
            self.cloud.tick()
            self.cloud.settle()
            traffic.answer_hooks(self.cloud)
            finish_outside()
        self.push(2)
        self.cloud.settle()
        finish_outside()
        self.cloud.settle()

    def connect_github(self, *, by_app: bool, checks: bool) -> None:
        """Create a channel to GitHub, which Slipway asks for the head of the branch from now on.

        The service builds pull requests. With `checks` no push is deployed before its check.
        """
        github = add_receiver(self.cloud, BY_APP if by_app else "github")
        github.push(_FIRST_HEAD, before=sha(0), at=int(self.cloud._now))
        self.cloud.change_service(build_pull_requests=True)
        if checks:
            self._requires_checks, github.conclusion = True, None
            for number in (self.cloud.service_id, self._dependent):
                body = {"require_checks": ["test"]}
                assert self.cloud.api.patch(f"/v1/services/{number}", body).status == 200
        for _ in range(heads.PERIOD):
            self.cloud.tick()
        self.cloud.settle()

    # Requests of callers.

    def push(self, choice: int) -> None:
        """GitHub delivers a push, or two of one second.

        Every fourth delivery is 90 seconds late: a newer push may be first. Every fourth has two
        pushes, the newer one first.
        """
        at = max(self._pushed_at, int(self.cloud._now) - (90 if choice % 4 == 0 else 0))
        self._pushed_at = at  # each push begins at the commit of the one before, so it is later
        numbers = [self._pushes + 1] if choice % 4 != 1 else [self._pushes + 2, self._pushes + 1]
        self._pushes += len(numbers)
        for number in sorted(numbers):
            self._reach_github(number, at)
        for number in numbers:
            self._send(partial(self._deliver, number, at), f"push {number}")

    def _deliver(self, number: int, at: int) -> Answer:
        """GitHub delivers push `number`, which begins at the commit of the push before."""
        return self.cloud.push(
            sha(number), before=sha(number - 1), delivery=f"delivery-{number}", pushed_at=at
        )

    # What happens on GitHub once it is connected.

    def lose_delivery(self, _: int) -> None:
        """Somebody pushes, and GitHub delivers nothing. Slipway must find the push."""
        self._note("delivery lost")
        # Pushes of one second are ordered only by their commits, and here one is missing.
        at = max(self._pushed_at + 1, int(self.cloud._now))
        self.cloud.advance(at - int(self.cloud._now))  # Slipway takes a future time for now
        self._pushed_at = at
        self._pushes += 1
        self._undelivered[self._pushes] = at
        self._reach_github(self._pushes, at)

    def change_pull_request(self, choice: int) -> None:
        """Somebody opens, pushes to, closes or reopens the pull request."""
        self._pull_request.act(choice)

    def end_check(self, choice: int) -> None:
        """The check of a pushed commit ends, and every second time GitHub delivers that.

        Three of four pass.
        """
        if not self._pushes:
            return
        self._check_begun()
        commit = sha(1 + choice % self._pushes)
        conclusion = ("success", "skipped", "success", "failure")[0 if self.calm else choice % 4]
        receivers.current.conclusions.setdefault(commit, conclusion)
        if choice % 8 < 4:
            self._send(partial(self._deliver_status, commit), f"status of {commit}")

    def _deliver_status(self, commit: str) -> Answer:
        repository = {"full_name": REPOSITORY, "html_url": f"https://github.com/{REPOSITORY}"}
        body = json.dumps({"sha": commit, "repository": repository}).encode()
        headers = delivery_headers(body, event="status", secret=WEBHOOK_SECRET)
        return self.cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)

    def _check_begun(self) -> None:
        """No push is deployed before its check has passed. A check that has ended stays."""
        if not self._requires_checks:
            return
        for row in deployments().values():
            begun = "started_at" in row or row["status"] in {"deploying", "success"}
            conclusion = receivers.current.conclusions.get(row.get("commit_sha", ""))
            if row["trigger"] == "push" and begun and conclusion not in PASSED:
                raise Violation(f"{row['id']} has begun, and its check is {conclusion}")

    def refuse_on_github(self, choice: int) -> None:
        """GitHub answers the next requests with 503, and may say when to ask again."""
        self._note("refused by GitHub")
        receivers.current.failures = 1 + choice % 3
        receivers.current.retry_after = choice % 300 if choice % 2 else None

    def _reach_github(self, number: int, at: int) -> None:
        if receivers.current.pushes:
            receivers.current.push(sha(number), before=sha(number - 1), at=at)

    def redeliver(self, choice: int) -> None:
        """GitHub delivers an earlier delivery again, or one that it had not delivered."""
        if self._pushes:
            number = 1 + choice % self._pushes
            if number in self._undelivered:
                at = self._undelivered.pop(number)
                self._send(partial(self._deliver, number, at), f"push {number}")
                return
            self._send(lambda: self.cloud.push(sha(0), delivery=f"delivery-{number}"), "redelivery")

    def request_build(self, _: int) -> None:
        """A caller requests a build."""
        self._post("build", {})

    def retry_build(self, choice: int) -> None:
        """A caller retries a build. It may be open or a success, and then it is refused."""
        known = sorted(builds())
        if known:
            self._keys += 1
            path = f"/v1/cicd/builds/{known[choice % len(known)]}/retry"
            headers: dict[str, str | None] = {"Idempotency-Key": f"key-{self._keys}"}
            self._send(lambda: self.cloud.api.post(path, headers=headers), "retry")

    def deploy(self, choice: int) -> None:
        """A caller deploys the image of a build, or an image by its digest, to a service."""
        self._only_pushes = False
        built = [row for row in builds().values() if row["status"] == "success"]
        if built and choice % 3:
            row = built[choice % len(built)]
            image = f"{row['image_repository']}:{row['image_tag']}"
        else:
            image = f"hello@{put_image('hello', f'by-hand-{self._keys}')}"
        self._post("deploy", {"image_tag": image}, self._service(choice))

    def roll_back(self, choice: int) -> None:
        """A caller rolls back, every third time to a named deployment."""
        self._only_pushes = False
        known = sorted(deployments())
        named = {"deployment_id": known[choice % len(known)]} if known and choice % 3 == 0 else {}
        self._post("rollback", named, self._service(choice))

    def switch_dependent(self, choice: int) -> None:
        """A caller switches the auto-deploy of the dependent on or off."""
        self._only_pushes = False
        path = f"/v1/services/{self._dependent}"
        body = {"auto_deploy": bool(choice % 2)}
        self._send(lambda: self.cloud.api.patch(path, body), "switch")

    def _service(self, choice: int) -> int:
        """Two of three times the service with the builds, otherwise its dependent."""
        return self._dependent if choice // 3 % 3 == 0 else self.cloud.service_id

    def change_config(self, choice: int) -> None:
        """A caller changes the config, every fourth time without a deployment.

        It sets a variable of its own, and sets or removes one that many changes share.
        """
        self._keys += 1
        shared = None if choice % 3 == 0 else str(choice)
        body: dict[str, Any] = {
            "environment": {f"V{self._keys}": "x", "SHARED": shared},
            "deploy": choice % 4 != 0,
        }
        if choice % 5 == 0:
            body |= {"cpu": 256 + choice % 3, "desired_count": 1 + choice % 3}
        path = f"/v1/services/{self.cloud.service_id}/config"
        headers: dict[str, str | None] = {"Idempotency-Key": f"key-{self._keys}"}
        name = f"change {self._keys}"
        self._send(lambda: self.cloud.api.patch(path, body, headers=headers), name)

    def cancel(self, choice: int) -> None:
        """A caller cancels a job."""
        self._only_pushes = False
        job_ids = sorted(rows("jobs"))
        if job_ids:
            job_id = job_ids[choice % len(job_ids)]
            path = f"/v1/cicd/jobs/{job_id}/cancel"
            self._send(lambda: self.cloud.api.post(path), f"cancel {job_id}")

    def _post(self, action: str, body: dict[str, Any], service: int | None = None) -> None:
        self._keys += 1
        path = f"/v1/cicd/services/{service or self.cloud.service_id}/{action}"
        headers: dict[str, str | None] = {"Idempotency-Key": f"key-{self._keys}"}
        self._send(lambda: self.cloud.api.post(path, body, headers=headers), action)

    def _send(self, send: Callable[[], Answer], name: str) -> None:
        request = Request(send, name)
        if not self._try(request):
            self._unanswered.append(request)

    def _try(self, request: Request) -> bool:
        """Send a request in a process that may die. True if the answer is below 500."""
        before = len(self.injector.fired)
        answers: list[Answer] = []
        self._run(lambda: answers.append(request.send()))
        if not answers:
            return False
        answer = answers[0]
        fired = {kind for _, kind in self.injector.fired[before:]}
        if answer.status >= 500 and answer.status != 503 and DENIED not in fired:
            raise Violation(f"{request.name} got the answer {answer.status}: {answer.text}")
        if answer.status < 300:
            self._accept(answer.body)
            if request.name.startswith("change "):
                self._variables.add(f"V{request.name.removeprefix('change ')}")
        return answer.status < 500

    def _accept(self, body: dict[str, Any]) -> None:
        accepted = [body, *body.get("builds", ())]
        self._accepted |= {each["job_id"] for each in accepted if each.get("job_id")}

    # Messages and events.

    def deliver_message(self, _: int) -> None:
        """A message arrives."""
        self._receive_message(QUEUE, "on_wakeup", times=1)

    def deliver_message_twice(self, _: int) -> None:
        """A message arrives twice."""
        self._note("message duplicated")
        self._receive_message(QUEUE, "on_wakeup", times=2)

    def deliver_telling(self, choice: int) -> None:
        """A message about what a channel is to be told arrives, every fourth time twice."""
        self._receive_message(TELLINGS, "on_telling", times=2 if choice % 4 == 0 else 1)

    def lose_telling(self, _: int) -> None:
        """A message about what a channel is to be told never arrives."""
        self._note("telling lost")
        self._receive_message(TELLINGS, "on_telling", times=0)

    def lose_message(self, _: int) -> None:
        """A message never arrives."""
        self._note("message lost")
        self._receive_message(QUEUE, "on_wakeup", times=0)

    def _receive_message(self, queue: str, function: str, *, times: int) -> None:
        sqs = client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=0)
        for message in received.get("Messages", []):
            handled = True
            for _ in range(times):
                handled = self._run(partial(self._invoke, function, message["Body"]))
            if handled:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _invoke(self, function: str, body: str) -> None:
        self.cloud.app.handler_map[function](sqs_event(body), None)

    def deliver_event(self, choice: int) -> None:
        """One of AWS's events arrives, in any order. Every third one can arrive again later."""
        event = self._take_event(choice, keep=choice % 3 == 0)
        if event is not None:
            self._run(lambda: self.cloud.hear(event))

    def lose_event(self, choice: int) -> None:
        """One of AWS's events never arrives."""
        if self._take_event(choice, keep=False) is not None:
            self._note("event lost")

    def _take_event(self, choice: int, *, keep: bool) -> dict[str, Any] | None:
        self._events += self.cloud.take_events()
        if not self._events:
            return None
        if keep:
            self._note("event duplicated")
            return self._events[choice % len(self._events)]
        return self._events.pop(choice % len(self._events))

    # AWS, and other parties that change it.

    def begin_codebuild_build(self, _: int) -> None:
        """A build leaves CodeBuild's queue."""
        codebuild.engine().claim()

    def end_codebuild_build(self, choice: int) -> None:
        """A build ends in CodeBuild. Three of five succeed."""
        running = [build for build in codebuild_builds() if build["buildStatus"] == "IN_PROGRESS"]
        if not running:
            return
        build = running[choice % len(running)]
        statuses = ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "FAILED", "STOPPED")
        status = statuses[0 if self.calm else choice % len(statuses)]
        exported = {"COMMIT_SHA": variables(build)["GIT_SHA"] or sha(7)}
        if status == "SUCCEEDED":
            exported["IMAGE_DIGEST"] = put_image_of(build) or ""
        else:
            self._only_pushes = False
        codebuild.engine().run_to(build["id"], status, exported=exported)

    def end_ecs_rollout(self, choice: int) -> None:
        """The newest ECS deployment becomes healthy, or its circuit breaker trips."""
        name = "worker" if choice % 3 == 0 else "hello"
        if self.calm or choice % 4:
            ecs.engine().complete(CLUSTER, name)
        elif ecs.engine().service(CLUSTER, name).breaker["enable"]:
            self._only_pushes = False
            ecs.engine().fail(CLUSTER, name)
        elif self.moves_traffic:
            self._only_pushes = False
            for is_on in (True, False):
                ecs.engine().alarm("errors", on=is_on)

    # The approval of traffic.

    def approve(self, choice: int) -> None:
        """A caller approves what a deployment waits for, every third time all of it."""
        steps = "all" if choice % 3 == 0 else "next"
        self._answer("approve", choice, {"steps": steps})

    def reject(self, choice: int) -> None:
        """A caller rejects what a deployment waits for."""
        self._only_pushes = False
        self._answer("reject", choice, {"reason": "not good"})

    def _answer(self, action: str, choice: int, body: dict[str, Any]) -> None:
        """Answer a deployment that waits, or another one, which is refused.

        Every second answer names the hook that the caller has seen.
        """
        known = [row for row in deployments().values() if "awaiting" in row] or self._own()
        if not known:
            return
        row = known[choice % len(known)]
        if choice % 2 and "awaiting" in row:
            body["hook_id"] = row["awaiting"]["hook_id"]
        path = f"/v1/cicd/deployments/{row['number']}/{action}"
        self._send(lambda: self.cloud.api.post(path, body), f"{action} {row['number']}")

    def answer_outside(self, choice: int) -> None:
        """The owner answers a hook in the console of AWS. Every fourth answer is a no."""
        record = traffic.newest_record()
        hooks = traffic.hooks_that_wait(record)
        if hooks:
            self._note("answered outside")
            action = "CONTINUE" if choice % 4 or self.calm else "ROLLBACK"
            self._only_pushes &= action == "CONTINUE"
            traffic.answer_outside(record, hooks[choice % len(hooks)], action)

    def stop_outside(self, _: int) -> None:
        """The owner takes a rollout back in the console of AWS."""
        record = traffic.newest_record()
        if record.status == "IN_PROGRESS" and record.shift is not None:
            self._note("stopped outside")
            self._only_pushes = False
            traffic.stop_outside(record)

    def switch_approval(self, choice: int) -> None:
        """An admin switches the approval on or off, or changes its time or the strategy."""
        changes: tuple[dict[str, Any], ...] = (
            {"approval": bool(choice // 3 % 2)},
            {"approval_minutes": 20 + choice // 3 % 20},
            {"strategy": _STRATEGIES[choice // 3 % 3]},
        )
        path = f"/v1/services/{self.cloud.service_id}"
        self._send(lambda: self.cloud.api.patch(path, changes[choice % 3]), "switch")

    def change_command(self, choice: int) -> None:
        """An admin sets a release command, or removes it."""
        command = ["migrate"] if choice % 3 else None
        path = f"/v1/services/{self.cloud.service_id}"
        body = {"release_command": command, "release_command_minutes": 1 + choice % 20}
        self._send(lambda: self.cloud.api.patch(path, body), "command")

    def end_command(self, choice: int) -> None:
        """The program of a release command begins, or ends. Some programs fail."""
        launcher = ecs.engine().launcher
        tasks = launcher.active()
        if not tasks:
            return
        task = tasks[choice % len(tasks)]
        if task.last_status == "PENDING" and choice % 2:
            launcher.begin(task)
            return
        launcher.begin(task)
        fails = not self.calm and choice % 5 == 0
        if fails:
            self._only_pushes = False
        stops = task.desired_status == "STOPPED" and choice % 2
        launcher.end(task, 137 if stops else int(fails))

    def delay_tasks(self, choice: int) -> None:
        """ECS shows new tasks up to a minute and a half late."""
        ecs.engine().launcher.lag = choice % 90

    def lose_tasks(self, choice: int) -> None:
        """Some or all tasks of the newest ECS deployment crash, for instance after its end."""
        self._note("tasks lost")
        primary = ecs.engine().service(CLUSTER, "hello").deployments[0]
        lost = min(primary.running_count, 1 + choice % 2)
        if lost:
            running = primary.running_count - lost
            ecs.engine().report(
                CLUSTER, "hello", primary.id, running=running, failed=lost, exit_code=choice % 3
            )

    def change_outside(self, choice: int) -> None:
        """Another party makes ECS run its own definition, or an earlier one of Slipway."""
        self._note("changed outside")
        self._only_pushes = False
        own = {
            row["task_definition"]: row
            for row in self._own()
            if "started_at" in row and row["task_definition"] not in self._deleted
        }
        is_own = bool(own) and choice % 2 == 0
        definition = (
            sorted(own)[choice // 2 % len(own)] if is_own else register("hello", f"by:{choice}")
        )
        if definition == self.cloud.definition_on_ecs():
            return
        service = services()[self.cloud.service_id]
        now = int(self.cloud._now)
        wanted = self._wanted_definitions(service)
        # In the second in which its deployment ended, times do not show which was first.
        ended_at = own.get(definition, {}).get("finished_at", 0)
        may_be_late = is_own and now <= max(service.get("called_at", 0) + WORKER_LIFE, ended_at)
        stays = bool(wanted) and definition not in wanted and not may_be_late
        run_on_ecs(definition)
        record = traffic.newest_record()
        self._changes.append(Change(record, now, stays))
        self._ledger.others = self.changes

    def _own(self) -> list[Row]:
        """The deployments of the service with the builds."""
        return [row for row in deployments().values() if row["service_id"] == self.cloud.service_id]

    def _wanted_definitions(self, service: Row) -> set[str]:
        """The definitions that Slipway rolls out or restores at the moment."""
        numbers = {service.get("active"), service.get("current")}
        wanted = [row for number, row in deployments().items() if number in numbers]
        definitions = {service.get("baseline"), *(row.get("task_definition") for row in wanted)}
        return {each for each in definitions if each is not None}

    @property
    def changes(self) -> set[str]:
        """The ARNs of the service deployments that another party has made."""
        return {change.record.service_deployment_arn for change in self._changes}

    def check_changes(self) -> None:
        """Only changes by another party are taken for such, and the last one stays.

        It stays unless an image was deployed or rolled back explicitly since then.
        """
        found = {details["service_deployment"] for details in changes_outside()}
        if found - self.changes:
            raise Violation(f"{found - self.changes} are no changes outside Slipway")
        if not self._changes or not self._changes[-1].stays:
            return
        last = self._changes[-1]
        if last.record.target.rollout_state == "FAILED" or last.record.rollback:
            return  # ECS went back to what ran before
        explicit = (row for row in self._own() if row["trigger"] not in _NOT_EXPLICIT)
        if any(row["created_at"] >= last.at for row in explicit):
            return
        newest = traffic.newest_record()
        if newest is not last.record:
            chosen, runs = last.record.target.task_definition, newest.target.task_definition
            raise Violation(f"{chosen} was chosen outside Slipway, and {runs} was rolled out since")

    def check_configs(self) -> None:
        """No accepted change of the config is lost, unless a rollback brought an earlier one.

        A variable that is never removed again and that the current release has is in the config,
        unless a rollback is under way.
        """
        service, found = services()[self.cloud.service_id], deployments()
        names = service.get("config", {}).get("environment", {}).keys()
        lost = self._variables - names
        if any(row["trigger"] == "rollback" for row in found.values()):
            current = found.get(service.get("current", 0), {}).get("config", {})
            lost &= current.get("environment", {}).keys()
        if found.get(service.get("active", 0), {}).get("trigger") == "rollback":
            return
        if lost:
            raise Violation(f"the config has lost {sorted(lost)}")

    def delete_definitions(self, _: int) -> None:
        """Another party deletes the task definitions of ended releases that ECS does not run."""
        self._note("definitions deleted")
        service = rows("services")[self.cloud.service_id]
        found = ecs.engine().service(CLUSTER, "hello")
        used = {each.task_definition for each in found.deployments}
        used |= {found.completed.task_definition} if found.completed else set()
        used.add(service.get("baseline", ""))
        for row in self._own():
            arn = row.get("task_definition")
            ended = has_ended(row["status"]) and row["number"] != service.get("current")
            if arn and ended and arn not in used | self._deleted:
                self._deleted.add(arn)
                delete_definition(arn)

    # Time and faults.

    def pass_time(self, choice: int) -> None:
        """Up to ten minutes pass."""
        self.cloud.advance(choice % 600)

    def run_schedule(self, _: int) -> None:
        """A minute passes, and the schedule fires."""
        self.cloud.advance(MINUTE)
        self._run(self.cloud.pump.tick)

    def overlap_schedules(self, choice: int) -> None:
        """The schedule fires while an earlier run of it is paused after one of its calls."""
        self._note("two at once")
        self.cloud.advance(MINUTE)
        self._interrupt(choice % 12, self.cloud.pump.tick)
        self._run(self.cloud.pump.tick)

    def wake_during_schedule(self, choice: int) -> None:
        """While the schedule is paused after a call, wake all builds and both services.

        Every second time the last build is cancelled first.
        """
        self._note("two at once")
        self._only_pushes = False
        build_ids = sorted(name for name in rows("jobs") if name.startswith("build"))
        self.cloud.advance(MINUTE)

        def wake_all() -> None:
            if build_ids and choice % 2:
                self.cloud.api.post(f"/v1/cicd/jobs/{build_ids[-1]}/cancel")
            for row_id in ("service-1", f"service-{self._dependent}", *build_ids):
                self.cloud.wake(row_id)

        self._interrupt(choice % 12, wake_all)
        self._run(self.cloud.pump.tick)

    def _interrupt(self, after: int, run: Callable[[], object]) -> None:
        at = self.injector.count + after

        def run_after_call(number: int, name: str) -> None:
            if number == at:
                run()

        self.injector.after = run_after_call

    def inject_fault(self, choice: int) -> None:
        """One of the next seven calls of the SDK will fail, with one of KINDS."""
        kinds = [kind for kind in KINDS if not (self.calm and kind == DENIED)]
        kind = kinds[choice % len(kinds)]
        self.injector.fail(self.injector.count + choice % 7, kind)

    def _run(self, step: Callable[[], object]) -> bool:
        """Run a step as one process, which may die. False if it died or raised an error."""
        try:
            step()
        except Killed:
            return False
        except Violation:
            raise
        except Exception:  # AWS takes an error of a handler for "not done"
            return False
        finally:
            self.injector.after = None
            self.tally.steps += 1
        return True

    def _note(self, fault: str) -> None:
        self.tally.faults[fault] += 1

    # The end of every story.

    def settle(self, *, lose_all: bool) -> None:
        """Stop the faults, let all work end, and check the invariants. Raises Violation.

        With `lose_all` no message and no event arrives any more.
        """
        self._finish_tally()
        self.injector.reset()
        self._check_begun()
        receivers.current.failures, receivers.current.conclusion = 0, "success"
        for request in self._unanswered:
            for _ in range(3):
                if self._try(request):
                    break
            else:
                raise Violation(f"{request.name} gets no answer in three tries")
        self._let_work_end(lose_all=lose_all)
        # The hourly look finds changes of another party without an event.
        self.cloud.advance(WATCH)
        self._let_work_end(lose_all=lose_all)
        self._ledger.raise_first()
        check_settled(self._accepted, self.changes, told=self.all_tell)
        self._check_newest()
        self._check_heads()
        self._pull_request.check()
        self._check_passed()
        self.check_changes()
        self.check_configs()
        self.tally.jobs = len(rows("jobs"))
        answers = [traffic.approvals_of(row) for row in deployments().values()]
        self.tally.approved = sum(any("approve" in each for each in found) for found in answers)

    def _let_work_end(self, *, lose_all: bool) -> None:
        for round_ in range(ROUNDS):
            if round_ >= PATIENCE:
                check_noted()
            traffic.answer_hooks(self.cloud)
            finish_outside()
            pending = self._ended_in_aws()
            for period in range(1, PATIENCE + 1):
                self.cloud.tick()
                if not lose_all:
                    self.cloud.settle()
                # This function has no schedule of its own: SQS delivers in the end.
                self.cloud.pump.deliver_tellings()
                if receivers.current.has_unknown_head():
                    self.cloud.pump.deliver_messages()
                check(self.changes)
                if pending:
                    self.tally.repair = max(self.tally.repair, period)
                pending = self._still_open(pending)
                if not pending:
                    break
            else:
                raise Violation(f"{pending} are open {PATIENCE} periods after their work has ended")
            check_replaced()
            # A version without channels leaves the marks of what is to be told.
            at_rest = is_at_rest(told=self.all_tell)
            if at_rest and not receivers.current.has_unknown_head():
                return
        raise Violation(f"work is not over after {ROUNDS} rounds")

    def _finish_tally(self) -> None:
        self.tally.faults.update(kind for _, kind in self.injector.fired)
        self.injector.fired.clear()

    def _ended_in_aws(self) -> set[str]:
        """The open jobs that have ended in CodeBuild or ECS."""
        ended = {job_id_of(build) for build in codebuild_builds() if build["buildComplete"]}
        jobs = rows("jobs")
        return {
            job_id
            for job_id in ended & jobs.keys()
            if not has_ended(jobs[job_id]["status"]) and "codebuild_id" in jobs[job_id]
        } | self._rolled_out()

    def _rolled_out(self) -> set[str]:
        """The open deployments whose rollout has succeeded in ECS.

        ECS may roll back to an earlier revision of the same definition. That proves no success.
        """
        completed = set()
        for service in ecs.engine().services():
            newest = service.deployments[0]
            ends = [each.status for each in service.records if _is_of(each, newest)]
            if newest.rollout_state == "COMPLETED" and "SUCCESSFUL" in ends[:1]:
                completed.add(newest.task_definition)
        return {
            row["id"]
            for row in deployments().values()
            if row["status"] == "deploying" and row["task_definition"] in completed
        }

    def _still_open(self, job_ids: set[str]) -> set[str]:
        return {job_id for job_id in job_ids if not has_ended(rows("jobs")[job_id]["status"])}

    def _check_heads(self) -> None:
        """The head of the branch is built, or a record says why not."""
        if not receivers.current.pushes:
            return
        head = receivers.current.pushes[-1]["after"]
        records = [
            row
            for name, row in rows("receipts").items()
            if name.startswith(f"delivery:service-{self.cloud.service_id}:")
        ]
        judged = any(json.loads(row["outcome"]).get("sha") == head for row in records)
        built = any(row.get("commit_sha") == head for row in builds().values())
        if not built and not judged and head != _FIRST_HEAD:
            raise Violation(f"the head {head} is not built, and no record says why")

    def _check_passed(self) -> None:
        """No push is deployed whose check has failed."""
        receivers.current.conclusions.update(
            (sha(number), receivers.current.conclusions.get(sha(number), "success"))
            for number in range(1, self._pushes + 1)
        )
        self._check_begun()

    def _check_newest(self) -> None:
        """The newest push runs everywhere, if only pushes decided and nothing failed."""
        pushed = [row for row in builds().values() if row["trigger"] == "push"]
        all_succeeded = all(row["status"] in {"success", "superseded"} for row in pushed)
        if not self._only_pushes or not pushed or not all_succeeded:
            return
        if any(row["status"] not in {"success", "superseded"} for row in deployments().values()):
            return
        self.tally.only_pushes += 1
        newest = max(pushed, key=lambda row: (row["pushed_at"], row["commit_sha"]))
        for name in ("hello", "worker"):
            runs = self.cloud.image_on_ecs(name)
            if not runs.endswith(newest["image_digest"]):
                raise Violation(f"build {newest['number']} is the newest, and {name} runs {runs}")


def _is_of(record: Any, deployment: Any) -> bool:
    """Whether a service deployment rolls out the definition of an ECS deployment."""
    return bool(record.target.task_definition == deployment.task_definition)


ACTIONS: dict[str, int] = {
    "push": 4,
    "redeliver": 1,
    "request_build": 1,
    "retry_build": 1,
    "deploy": 2,
    "roll_back": 2,
    "change_config": 2,
    "switch_dependent": 1,
    "cancel": 2,
    "deliver_message": 8,
    "deliver_message_twice": 2,
    "lose_message": 1,
    "deliver_telling": 6,
    "lose_telling": 1,
    "deliver_event": 6,
    "lose_event": 2,
    "begin_codebuild_build": 2,
    "end_codebuild_build": 6,
    "end_ecs_rollout": 6,
    "change_command": 2,
    "end_command": 4,
    "delay_tasks": 1,
    "lose_tasks": 1,
    "change_outside": 2,
    "delete_definitions": 1,
    "pass_time": 2,
    "run_schedule": 4,
    "overlap_schedules": 1,
    "wake_during_schedule": 1,
    "inject_fault": 6,
}
# The actions in a world that moves traffic.
TRAFFIC_ACTIONS: dict[str, int] = {
    **ACTIONS,
    "approve": 8,
    "reject": 1,
    "answer_outside": 2,
    "stop_outside": 1,
    "switch_approval": 1,
    "end_ecs_rollout": 10,
    "pass_time": 6,
}
# Those that need a connection to GitHub.
GITHUB_ACTIONS: dict[str, int] = {
    "lose_delivery": 2,
    "change_pull_request": 4,
    "end_check": 4,
    "refuse_on_github": 1,
}
# The actions that decide what runs, besides pushes.
_DECIDE = {
    "request_build",
    "deploy",
    "roll_back",
    "switch_dependent",
    "cancel",
    "change_outside",
    "lose_tasks",
    "wake_during_schedule",
    "reject",
    "stop_outside",
}


def without_choices(actions: dict[str, int]) -> dict[str, int]:
    """Those that leave only pushes to decide what runs."""
    return {name: weight for name, weight in actions.items() if name not in _DECIDE}


def actions_of(world: World) -> dict[str, int]:
    """The actions that can happen in a world, with their weights."""
    actions = TRAFFIC_ACTIONS if world.moves_traffic else ACTIONS
    return without_choices(actions) if world.calm else actions
