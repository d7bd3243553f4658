"""A history of some days for the dashboard, played through the front door of an embedded cloud.

It ends now, with one service in each state that the dashboard shows: it runs, it deploys, it
awaits approval, it builds, its build failed, its deployment failed, it is unhealthy, paused, or
changed outside.
"""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib import clock
from infra.local.aws import codebuild, ecs
from tests.support.embedded import (
    CLUSTER,
    Cloud,
    balance,
    client,
    create_ecs_service,
    create_image_repository,
    put_image,
    register,
    run_on_ecs,
    sha,
)
from tests.support.shifts import approve

DAY = 24 * 3600
PEOPLE = ("Ada Byron", "Grace Hopper", "Barbara Liskov", "Radia Perlman")
# Seconds since the step before, and a line. `{sha}` and `{image}` are those of the build.
_FETCH = (
    (2.0, "[Container] 2026/11/22 00:00:07.148228 Waiting for agent ping"),
    (3.0, "[Container] 2026/11/22 00:00:10.148228 Entering phase PRE_BUILD"),
    (0.1, '[Container] 2026/11/22 00:00:10.248228 Running command echo "Preparing the build"'),
    (0.1, "Preparing the build"),
    (1.1, '[Container] 2026/11/22 00:00:11.348228 Running command echo "Fetching the source"'),
    (0.1, "Fetching the source"),
    (1.4, "From https://github.com/acme/{repository}"),
    (0.0, " * branch            {sha} -> FETCH_HEAD"),
    (0.2, "Building commit {sha}"),
    (
        0.4,
        '[Container] 2026/11/22 00:00:13.348228 Running command echo "Logging in to the registry"',
    ),
    (0.0, "Logging in to the registry"),
    (1.0, "Login Succeeded"),
    (0.1, "[Container] 2026/11/22 00:00:14.348228 Entering phase BUILD"),
    (0.1, '[Container] 2026/11/22 00:00:14.448228 Running command echo "Building the image"'),
    (0.1, "Building the image"),
    (0.3, "#1 [internal] load build definition from Dockerfile"),
    (0.1, "#1 DONE 0.1s"),
    (0.2, "#2 [internal] load metadata for docker.io/library/python:3.11-slim"),
    (1.1, "#2 DONE 1.1s"),
    (0.1, "#4 [base 1/3] FROM docker.io/library/python:3.11-slim"),
    (4.2, "#4 DONE 4.2s"),
    (0.1, "#5 [base 2/3] WORKDIR /app"),
    (0.2, "#5 DONE 0.2s"),
    (0.1, "#6 [base 3/3] COPY requirements.txt ."),
    (0.1, "#6 CACHED"),
    (0.1, "#7 [app 1/4] RUN pip install --no-cache-dir -r requirements.txt"),
    (3.0, "#7 2.914 Collecting flask==3.1.3"),
    (1.0, "#7 3.871 Collecting werkzeug>=3.1"),
    (4.0, "#7 7.702 warning: the cache directory is not writable, caching is disabled"),
    (5.0, "#7 12.40 Successfully installed flask-3.1.3 werkzeug-3.1.5 jinja2-3.1.6"),
)
_PUSH = (
    (0.4, "#7 DONE 13.1s"),
    (0.1, "#8 [app 2/4] COPY . ."),
    (0.3, "#8 DONE 0.3s"),
    (0.1, "#9 [app 3/4] RUN python -m compileall -q app"),
    (2.4, "#9 DONE 2.4s"),
    (0.1, "#10 [app 4/4] RUN python -m pytest -q tests"),
    (6.0, "#10 5.913 ........................................................ [100%]"),
    (0.2, "#10 6.102 218 passed in 5.61s"),
    (0.1, "#10 DONE 6.4s"),
    (0.1, "#11 exporting to image"),
    (3.6, "#11 pushing layers 3.2s done"),
    (0.4, "#11 DONE 3.9s"),
    (0.2, "Pushed {image}"),
    (0.1, "[Container] 2026/11/22 00:01:04.148228 Phase complete: BUILD State: SUCCEEDED"),
)
_FAIL = (
    (0.4, "#7 DONE 13.1s"),
    (0.1, "#8 [app 2/4] COPY . ."),
    (0.3, "#8 DONE 0.3s"),
    (0.1, "#9 [app 3/4] RUN python -m compileall -q app"),
    (2.4, "#9 DONE 2.4s"),
    (0.1, "#10 [app 4/4] RUN python -m pytest -q tests"),
    (4.0, "#10 3.871 ........................F............................... [100%]"),
    (0.1, "#10 3.902 E   AssertionError: expected 409, got 500"),
    (0.1, "#10 3.904 tests/test_orders.py:118: AssertionError"),
    (0.1, "#10 3.910 FAILED tests/test_orders.py::test_a_second_payment_is_refused"),
    (0.1, "#10 3.911 1 failed, 217 passed in 3.62s"),
    (
        0.1,
        '#10 ERROR: process "/bin/sh -c python -m pytest -q tests" did not complete '
        "successfully: exit code: 1",
    ),
    (0.1, "------"),
    (0.0, " > [app 4/4] RUN python -m pytest -q tests:"),
    (0.0, "3.910 FAILED tests/test_orders.py::test_a_second_payment_is_refused"),
    (0.0, "3.911 1 failed, 217 passed in 3.62s"),
    (0.0, "------"),
    (0.0, "Dockerfile:14"),
    (
        0.1,
        'ERROR: failed to solve: process "/bin/sh -c python -m pytest -q tests" did not complete '
        "successfully: exit code: 1",
    ),
    (
        0.1,
        "[Container] 2026/11/22 00:01:04.148228 Command did not exit successfully "
        'echo "Building the image" exit status 1',
    ),
    (0.1, "[Container] 2026/11/22 00:01:04.248228 Phase complete: BUILD State: FAILED"),
)
_FAILED_COMMAND = 'Error while executing command: echo "Building the image". Reason: exit status 1'


@dataclass
class Played:
    """A cloud with a history, and the numbers that the views need."""

    cloud: Cloud
    services: dict[str, int]
    builds: dict[str, int]
    deployments: dict[str, int]


class Story:
    """Plays the history. Each service has its own repository."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.services: dict[str, int] = {}
        self._commits = 0

    def service(self, name: str, project: int, *, desired: int = 2, **settings: Any) -> None:
        create_image_repository(name)
        create_ecs_service(name, desired=desired)
        body = {
            "name": name,
            "git_url": f"https://github.com/acme/{name}.git",
            "branch": "main",
            "image_repository": name,
            "ecs_cluster": CLUSTER,
            "ecs_service": name,
            "containers": ["app"],
            "auto_deploy": True,
            **settings,
        }
        answer = self.cloud.api.post(f"/v1/projects/{project}/services", body)
        assert answer.status == 201, answer.text
        self.services[name] = int(answer.body["id"])

    def project(self, name: str) -> int:
        answer = self.cloud.api.post("/v1/projects", {"name": name})
        assert answer.status == 201, answer.text
        return int(answer.body["id"])

    def channel(self, kind: str, name: str, **settings: Any) -> int:
        answer = self.cloud.api.post("/v1/channels", {"kind": kind, "name": name, **settings})
        assert answer.status == 201, answer.text
        return int(answer.body["id"])

    def push(self, name: str, message: str, *, branch: str = "main") -> int:
        """Push a commit; return the number of its build."""
        self._commits += 1
        commit = hashlib.sha1(b"%d" % self._commits, usedforsecurity=False).hexdigest()
        person = PEOPLE[self._commits % len(PEOPLE)]
        repository = {
            "full_name": f"acme/{name}",
            "html_url": f"https://github.com/acme/{name}",
            "clone_url": f"https://github.com/acme/{name}.git",
        }
        answer = self.cloud.push(
            commit,
            branch=branch,
            repository=repository,
            sender={"login": person.split()[0].lower()},
            head_commit={"id": commit, "message": message, "author": {"name": person}},
        )
        assert answer.status == 202, answer.text
        self.cloud.settle()
        return int(answer.body["builds"][0]["build_id"])

    def log(self, number: int, lines: Sequence[tuple[float, str]]) -> None:
        """CloudWatch shows lines of a build, and time passes meanwhile."""
        build = self.cloud.build(number)
        codebuild_id = build["codebuild_id"]
        (found,) = client("codebuild").batch_get_builds(ids=[codebuild_id])["builds"]
        stream = {
            "logGroupName": found["logs"]["groupName"],
            "logStreamName": found["logs"]["streamName"],
        }
        logs = client("logs")
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(**stream)
        at, events = float(clock.now()), []
        facts = {
            "sha": build["commit_sha"],
            "image": build["image_tag"],
            "repository": build["image_tag"].partition(":")[0],
        }
        for seconds, line in lines:
            at += seconds
            events.append({"timestamp": int(at * 1000), "message": line.format_map(facts) + "\n"})
        logs.put_log_events(**stream, logEvents=events)
        self.cloud.advance(int(at - clock.now()))

    def build(self, number: int, *, message: str = "", succeeds: bool = True) -> None:
        """Run a build to its end."""
        self.cloud.advance(4)
        self.cloud.enter_phase(number, "PRE_BUILD")
        self.cloud.enter_phase(number, "BUILD")
        self.log(number, (*_FETCH, *(_PUSH if succeeds else _FAIL)))
        build = self.cloud.build(number)
        engine, codebuild_id = codebuild.engine(), build["codebuild_id"]
        exported = {
            "COMMIT_SHA": build["commit_sha"] or sha(7),
            "COMMIT_MESSAGE": build["commit_message"] or message,
            "COMMIT_AUTHOR": build["author"] or PEOPLE[0],
        }
        if succeeds:
            exported["IMAGE_DIGEST"] = put_image(*build["image_tag"].split(":"))
            engine.finish(codebuild_id, "SUCCEEDED", exported=exported)
        else:
            engine.run_to(
                codebuild_id,
                "FAILED",
                fail_phase="BUILD",
                message=_FAILED_COMMAND,
                exported=exported,
            )
        self.cloud.settle()

    def release(self, name: str, message: str) -> int:
        """Push, build and roll out; return the deployment's number."""
        number = self.push(name, message)
        self.build(number)
        self.cloud.advance(48)
        self.cloud.finish_rollout(name)
        self.cloud.tick()
        self.cloud.settle()
        return int(self.cloud.build(number)["deployment_id"])

    def later(self, seconds: float) -> None:
        self.cloud.advance(seconds)
        self.cloud.pump.tick()
        self.cloud.settle()


def play(cloud: Cloud) -> Played:
    """Play the history, and end it now."""
    cloud.advance(time.time() - 6 * DAY - clock.now())
    story = Story(cloud)
    shop, platform = cloud.project, story.project("platform")
    cloud.api.request("DELETE", f"/v1/services/{cloud.service_id}")
    for name in ("web", "checkout", "search"):
        story.service(name, shop)
    for name in ("gateway", "billing", "mailer", "reports", "payments"):
        story.service(name, platform)
    cloud.api.post("/v1/tokens", {"name": "ci", "role": "deployer", "expires_in_days": 90})
    cloud.api.post("/v1/tokens", {"name": "wall display", "role": "viewer", "project_id": shop})
    story.channel("slack", "Team", secret="secretsmanager:slipway/tell/all/team")
    for name in ("web", "checkout", "search"):
        story.release(name, "First release of this service")
        story.later(900)
    for _ in range(26):  # the channel is tried each hour, and is switched off after a day
        story.later(DAY / 24)
    for name in ("gateway", "billing", "mailer", "payments"):
        story.release(name, "Read the settings from the environment")
        story.later(1200)
    story.release("web", "Show the basket on every page")
    story.later(DAY)
    checkout = story.release("checkout", "Ask for the postcode before the street")
    story.release("search", "Index titles in both languages")
    story.later(DAY)
    _configure(cloud, story.services["web"])
    cloud.settle()
    cloud.advance(50)
    cloud.finish_rollout("web")
    story.release("web", "Load images of the list lazily")
    failed_rollout = story.push("mailer", "Use the new templates")
    story.build(failed_rollout)
    cloud.advance(90)
    cloud.fail_rollout("mailer", exit_code=1)
    story.later(DAY)
    story.release("web", "Prices with and without tax")
    rolled_back = _roll_back(story, "web", "The totals are wrong in the basket")
    story.later(DAY / 2)
    resumed = cloud.api.patch(f"/v1/services/{story.services['web']}", {"auto_deploy": True})
    assert resumed.status == 200, resumed.text
    web = story.release("web", "Prices with tax, and the totals again")
    story.release("search", "Synonyms for sizes and colours")
    story.release("gateway", "Retry only safe requests")
    _roll_back(story, "gateway", "Some clients got 502")
    story.later(DAY / 3)
    return _end_now(cloud, story, web=web, checkout=checkout, back=rolled_back)


def _end_now(cloud: Cloud, story: Story, *, web: int, checkout: int, back: int) -> Played:
    """What goes on now: the last quarter of an hour."""
    cloud.advance(time.time() - 900 - clock.now())
    canary = _begin_canary(story)
    primary = ecs.engine().service(CLUSTER, "search").deployments[0].id
    ecs.engine().report(CLUSTER, "search", primary, running=1, failed=1, exit_code=137)
    cloud.wake(f"service-{story.services['search']}")
    run_on_ecs(register("billing", "billing:hotfix"), "billing")
    cloud.settle()
    broken = story.push("checkout", "Refuse a second payment of one order")
    story.build(broken, succeeds=False)
    cloud.advance(max(0.0, time.time() - 100 - clock.now()))
    rolling = story.push("web", "Remember the last delivery address")
    story.build(rolling)
    moving = ecs.engine().service(CLUSTER, "web").deployments[0].id
    ecs.engine().report(CLUSTER, "web", moving, running=1)
    cloud.settle()
    cloud.wake(f"service-{story.services['web']}")
    running = story.push("reports", "Monthly report as a CSV file")
    cloud.advance(4)
    cloud.enter_phase(running, "PRE_BUILD")
    cloud.enter_phase(running, "BUILD")
    story.log(running, _FETCH)
    more = story.push("gateway", "Log the name of the upstream")
    waits = story.push("checkout", "Refuse a second payment, and say why")
    _add_channels(story)
    cloud.advance(max(0.0, time.time() - 5 - clock.now()))
    deployments = {
        "web": web,
        "canary": canary,
        "checkout": checkout,
        "rollback": back,
        "rolling": int(cloud.build(rolling)["deployment_id"]),
    }
    failed = cloud.api.get(f"/v1/cicd/services/{story.services['mailer']}/deployments").body
    deployments["failed"] = next(
        each["id"] for each in failed["items"] if each["status"] == "failed"
    )
    builds = {"failed": broken, "running": running, "more": more, "queued": waits, "good": rolling}
    return Played(cloud, story.services, builds, deployments)


def _begin_canary(story: Story) -> int:
    """A canary with a tenth of the traffic, whose second step awaits approval."""
    cloud, number = story.cloud, story.services["payments"]
    balance(cloud, "payments")
    strategy = {"type": "CANARY", "percent": 10, "step_minutes": 0, "bake_minutes": 30}
    settings = {"strategy": strategy, "approval": True}
    changed = cloud.api.patch(f"/v1/services/{number}", settings)
    assert changed.status == 200, changed.text
    build = story.push("payments", "Take cards of all countries")
    story.build(build)
    cloud.finish_rollout("payments")
    story.later(60)
    deployment = int(cloud.build(build)["deployment_id"])
    approve(cloud, deployment, "The new tasks answer in the test")
    story.later(60)
    assert cloud.deployment(deployment)["approval"]["number"] == 2
    return deployment


def _add_channels(story: Story) -> None:
    """One channel that works, and one that fails; the one of the first day is off by now."""
    topic = client("sns").create_topic(Name="slipway-news")["TopicArn"]
    web = story.services["web"]
    works = story.channel("sns", "On call", target=topic, events=["service.unhealthy"])
    fails = story.channel(
        "discord",
        "Shop",
        secret=f"secretsmanager:slipway/tell/{story.cloud.project}/shop",
        service_id=web,
        branches=["main", "release/**"],
    )
    for number in (works, fails):
        assert story.cloud.api.post(f"/v1/channels/{number}/test", {}).status == 202
    story.cloud.settle()


def _configure(cloud: Cloud, service: int) -> None:
    reference = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/web-AbCdEf"
    client("secretsmanager").create_secret(Name="shop/web", SecretString="x")
    found = client("secretsmanager").describe_secret(SecretId="shop/web")["ARN"]
    body = {
        "environment": {"LOG_LEVEL": "info", "CURRENCY": "EUR", "PAGE_SIZE": "48"},
        "reason": "Show prices in euros",
    }
    answer = cloud.api.patch(f"/v1/services/{service}/config", body)
    assert answer.status == 202, (answer.text, found, reference)


def _roll_back(story: Story, name: str, reason: str) -> int:
    path = f"/v1/cicd/services/{story.services[name]}/rollback"
    answer = story.cloud.api.post(path, {"reason": reason})
    assert answer.status == 202, answer.text
    story.cloud.settle()
    story.cloud.advance(35)
    story.cloud.finish_rollout(name)
    return int(answer.body["deployment_id"])
