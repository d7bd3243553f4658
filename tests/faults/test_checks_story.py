"""Random stories: pushes, checks that end, lost messages, requests of people, in any order.

No deployment of a push begins before its check has passed, and every deployment ends.
"""

import random

import pytest

from infra.local.aws import ecs
from tests.faults import receivers
from tests.faults.invariants import check, check_settled
from tests.faults.receivers import PASSED, add_receiver
from tests.faults.rows import builds, deployments
from tests.faults.trials import recover
from tests.support.builders import WEBHOOK_SECRET, delivery_headers
from tests.support.embedded import REPOSITORY, Cloud, cloud, sha

__all__ = ["cloud"]

STEPS = 60


class Story:
    def __init__(self, cloud: Cloud, seed: int) -> None:
        self.cloud, self.random = cloud, random.Random(seed)
        self.github = add_receiver(cloud, "github")
        self.github.conclusion = None
        self.pushes = 0
        cloud.handlers_may_fail = True
        cloud.change_service(require_checks=["test"], checks_minutes=30)

    def act(self) -> None:
        actions = [
            *[self.push, self.end_build, self.end_rollout, self.end_check, self.event] * 2,
            *[self.deliver, self.tick, self.question] * 3,
            *[self.lose, self.deploy, self.roll_back, self.cancel, self.github_fails],
        ]
        self.random.choice(actions)()
        check()
        self.check_begun()

    def check_begun(self) -> None:
        """Whoever has begun by itself has passed. A check that has ended does not change again."""
        for row in deployments().values():
            begun = "started_at" in row or row["status"] in {"deploying", "success"}
            if row["trigger"] == "push" and begun:
                conclusion = self.github.conclusions.get(row["commit_sha"])
                assert conclusion in PASSED, f"{row['id']} has begun: its check is {conclusion}"

    # What happens.

    def push(self) -> None:
        if self.pushes < 9:
            self.pushes += 1
            self.cloud.advance(1)
            self.cloud.push(sha(self.pushes))

    def end_build(self) -> None:
        self.cloud.pump.deliver_messages()
        running = [row for row in builds().values() if row["status"] in {"queued", "building"}]
        if running and "codebuild_id" in running[0]:
            self.cloud.finish_build(running[0]["number"], settle=False)

    def end_rollout(self) -> None:
        ecs.engine().complete("main", "hello")

    def end_check(self) -> None:
        if self.pushes:
            commit = sha(self.random.randint(1, self.pushes))
            conclusion = self.random.choice(["success", "skipped", "success", "failure"])
            self.github.conclusions.setdefault(commit, conclusion)

    def event(self) -> None:
        commit = sha(self.random.randint(1, 9))
        name = f"https://github.com/{REPOSITORY}"
        body = (
            f'{{"sha": "{commit}", "repository": '
            f'{{"full_name": "{REPOSITORY}", "html_url": "{name}"}}}}'
        ).encode()
        headers = delivery_headers(body, event="status", secret=WEBHOOK_SECRET)
        assert self.cloud.api.post("/v1/webhooks/github", raw=body, headers=headers).status == 200

    def deliver(self) -> None:
        self.cloud.pump.deliver_events()
        self.cloud.pump.deliver_messages()

    def question(self) -> None:
        self.cloud.pump.deliver_tellings()

    def tick(self) -> None:
        self.cloud.tick()

    def lose(self) -> None:
        self.random.choice(
            [self.cloud.lose_tellings, self.cloud.lose_messages, self.cloud.lose_events]
        )()

    def github_fails(self) -> None:
        self.github.failures = self.random.randint(1, 3)

    def deploy(self) -> None:
        built = [row for row in builds().values() if row["status"] == "success"]
        if built:
            image = f"hello:{self.random.choice(built)['image_tag']}"
            self.cloud.deploy(image)

    def roll_back(self) -> None:
        self.cloud.roll_back()

    def cancel(self) -> None:
        numbers = list(deployments())
        if numbers:
            self.cloud.api.post(f"/v1/cicd/jobs/deploy-{self.random.choice(numbers)}/cancel")


@pytest.mark.parametrize("seed", range(4))
def test_no_push_is_deployed_before_its_check_has_passed(cloud: Cloud, seed: int) -> None:
    story = Story(cloud, seed)
    for _ in range(STEPS):
        story.act()
    # In the end all checks end.
    for number in range(1, 10):
        story.github.conclusions.setdefault(sha(number), "success")
    recover(cloud)
    check_settled(set())
    story.check_begun()
    assert receivers.current.problems() == []
