"""The verdicts about the endings of rollouts: Slipway's are right, and all are as published."""

import logging
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from moto import mock_aws

from infra.local.aws import clock, ecs
from tests.support.embedded import (
    CLUSTER,
    MIDNIGHT,
    MINUTE,
    REGISTRY,
    Cloud,
    client,
    create_ecs_service,
    create_image_repository,
    ecs_service,
    image_of,
    put_image,
    put_index,
)
from tests.verdicts.endings import ENDINGS, NAME, TAG, Ending, Image, Verdict, configure
from tests.verdicts.rivals import RIVALS, Rival
from tests.verdicts.stage import Stage

PAGE = (Path(__file__).parents[2] / "docs/reliability.md").read_text()
# No deployment is open for longer: six times deploy_minutes, and the grace after it.
LONGEST = 150 * MINUTE
WRONG = " ✗"


@dataclass(frozen=True)
class Told:
    """The verdict of a tool, and whether ECS runs the image when the story is over."""

    verdict: Verdict
    runs: bool

    @property
    def is_right(self) -> bool:
        """Whether the tool reports a success exactly if there is one."""
        return (self.verdict is Verdict.SUCCESS) == self.runs

    def __str__(self) -> str:
        return self.verdict + ("" if self.is_right else WRONG)


def push_image(kind: Image) -> tuple[str, set[str]]:
    """Push an image to ECR; its name, and the digests that its tasks may report."""
    if kind is Image.INDEX:
        digest, manifests = put_index(NAME, TAG, "linux/amd64", "linux/arm64")
        return f"{REGISTRY}/{NAME}@{digest}", {manifests["linux/amd64"]}
    digest = put_image(NAME, TAG)
    name = TAG if kind is Image.TAG else digest
    return f"{REGISTRY}/{NAME}{':' if kind is Image.TAG else '@'}{name}", {digest}


def prepare(ending: Ending) -> None:
    """The state of the service before the rollout."""
    ecs.engine().fleet.reports_manifests = ending.image is Image.INDEX
    configure(**ending.configuration)()
    ending.before()


def runs(digests: AbstractSet[str]) -> bool:
    """Whether ECS runs an image in as many tasks as are desired: this reads only ECS."""
    service = ecs_service(NAME)
    if service["status"] != "ACTIVE":
        return False
    definition, desired = service["taskDefinition"], service["desiredCount"]
    if desired == 0:
        return image_of(definition).partition("@")[2] in digests
    arns = client("ecs").list_tasks(cluster=CLUSTER, serviceName=NAME)["taskArns"]
    tasks = client("ecs").describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
    running = [
        container.get("imageDigest") in digests
        for task in tasks
        for container in task["containers"]
        if (task["lastStatus"], container["name"]) == ("RUNNING", "app")
        and task["taskDefinitionArn"] == definition
    ]
    return len(running) == desired and all(running)


def deploy(cloud: Cloud, digest: str) -> int:
    """Deploy an image and begin its rollout; return the number of the deployment."""
    answer = cloud.deploy(f"{NAME}@{digest}")
    assert answer.status == 202, answer.text
    cloud.settle()
    return int(answer.body["deployment_id"])


def slipway(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> Told:
    """The end of a deployment that Slipway makes."""
    cloud = Cloud(monkeypatch)
    deploy(cloud, put_image(NAME, "before"))
    cloud.finish_rollout()
    prepare(ending)
    if ending.image is Image.TAG:  # Slipway deploys only the tags of its own builds
        build = cloud.ask_for_build()
        cloud.settle()
        digests = {cloud.finish_build(build)}
        number = cloud.deploy_build(build)
        cloud.settle()
    else:
        image, digests = push_image(ending.image)
        number = deploy(cloud, image.partition("@")[2])
    stage = Stage(ending.steps, cloud.advance, after=cloud.settle)
    while stage.seconds < LONGEST and cloud.deployment(number)["finished_at"] is None:
        stage.let_pass(MINUTE)
        cloud.settle()
    verdict = Verdict(cloud.deployment(number)["status"])
    stage.finish()
    return Told(verdict, runs(digests))


def rival(use: Rival, ending: Ending, monkeypatch: pytest.MonkeyPatch) -> Told:
    """The end of a deployment that another tool makes."""
    passed = [MIDNIGHT]
    monkeypatch.setattr(clock, "now", lambda: sum(passed))
    client("ecs").create_cluster(clusterName=CLUSTER)
    create_image_repository(NAME)
    create_ecs_service(NAME)
    prepare(ending)
    image, digests = push_image(ending.image)
    stage = Stage(ending.steps, passed.append)
    verdict = use(image, stage, monkeypatch)
    stage.finish()
    return Told(verdict, runs(digests))


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_the_verdicts_about_an_ending_are_right_and_as_published(
    ending: Ending, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with mock_aws():
        own = slipway(ending, monkeypatch)
    assert (own.verdict, own.is_right) == (ending.right, True)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    others = []
    for use in RIVALS.values():
        with mock_aws(), monkeypatch.context() as patch:
            others.append(rival(use, ending, patch))
    if ending.image is not Image.TAG:
        # These tools change nothing after their verdict: ECS itself shows which one is right.
        assert {each.runs for each in others} == {ending.right is Verdict.SUCCESS}
    cells = [ending.name, ending.right, own, *others]
    assert f"| {' | '.join(map(str, cells))} |" in PAGE
    assert f"| {ending.name} | {ending.source} |" in PAGE


def test_the_published_counts_are_those_of_the_published_rows() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.partition("<!-- verdicts -->")[2].strip().partition("\n\n")[0].splitlines()
    ]
    head, _, *verdicts, counts = rows
    assert [row[0] for row in verdicts] == [ending.name for ending in ENDINGS]
    wrong = [sum(row[column].endswith(WRONG) for row in verdicts) for column in range(2, len(head))]
    assert counts == ["Wrong verdicts", "", *(f"{count} of {len(ENDINGS)}" for count in wrong)]
    assert f"ecs-deploy {version('ecs-deploy')}" in PAGE
