"""Each invariant can fail: with the state spoilt by hand, the check says what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.store.jobs import find_build, get_deployment
from chalicelib.store.models import Build, Deployment, Job, Receipt, Service
from chalicelib.store.services import get_service
from infra.local.aws import codebuild, ecs
from tests.faults.invariants import Ledger, Violation, check, check_replaced, check_settled
from tests.support.embedded import CLUSTER, Cloud, client, put_image, run_on_ecs, sha

Spoil = Callable[[Cloud], Any]


def service(*actions: Any) -> Spoil:
    return lambda cloud: get_service(cloud.service_id).update(actions=list(actions))


def build(*actions: Any) -> Spoil:
    return lambda _: (find_build(1) or Build()).update(actions=list(actions))


def deployment(*actions: Any) -> Spoil:
    return lambda _: get_deployment(1).update(actions=list(actions))


def start_twice(_: Cloud) -> None:
    client("codebuild").start_build(
        projectName="slipway-builds",
        environmentVariablesOverride=[{"name": "JOB_ID", "value": "build-1"}],
    )


def end_in_the_row_alone(cloud: Cloud) -> None:
    build(Build.status.set("failed"), Job.due.remove())(cloud)
    service(Service.open_builds.remove())(cloud)


def forgets(receipt: str) -> Spoil:
    return lambda _: Receipt.get(receipt).delete()


def deploying(cloud: Cloud) -> None:
    cloud.begin_release(1)


def by_digest(cloud: Cloud) -> None:
    cloud.deploy(f"hello@{put_image('hello', 'by-hand')}")


def building(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()


def released(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.tick()


THEIRS = "ECS runs {}, which was not deployed by Slipway"


def shows_its_own(cloud: Cloud) -> None:
    service(Service.drift.set(THEIRS.format(cloud.definition_on_ecs())))(cloud)


def roll_out_what_failed(cloud: Cloud) -> None:
    definition = cloud.definition_on_ecs()
    ecs.engine().fail(CLUSTER, "hello")
    run_on_ecs(definition)


@pytest.mark.parametrize(
    ("before", "spoil", "says"),
    [
        (deploying, service(Service.active.remove()), "is open, and neither active nor waiting"),
        (
            released,
            service(Service.active.set(1)),
            "1 is active at service-1, and has ended",
        ),
        (released, service(Service.waiting.set(1)), "1 waits at service-1 for nobody"),
        (deploying, service(Service.due.remove()), "deploys and is not due"),
        (deploying, service(Service.current.set(1)), "what service-1 runs is no success"),
        (building, service(Service.open_builds.remove()), "build-1 is not counted as open"),
        (released, service(Service.open_builds.set({1})), "counted as open and is not"),
        (building, build(Job.due.remove()), "build-1 is open and not due"),
        (building, build(Job.progress.set(100)), "build-1 is building and at 100 %"),
        (building, start_twice, "build-1 was started 2 times"),
        (building, build(Build.status.set("failed"), Job.due.remove()), "open and is not"),
        (building, end_in_the_row_alone, "build-1 has ended, and CodeBuild still runs it"),
        (deploying, roll_out_what_failed, "failed and was rolled out again"),
        (released, deployment(Deployment.image_digest.set("x")), "of no build of its service"),
        (by_digest, deployment(Deployment.image_digest.set("x")), "deployment 1 does not exist"),
        (released, deployment(Deployment.task_definition.set("hello:1")), "does not run .*/hello@"),
    ],
)
def test_what_is_wrong_at_any_moment_is_said(
    cloud: Cloud, before: Spoil, spoil: Spoil, says: str
) -> None:
    before(cloud)
    check()
    spoil(cloud)
    with pytest.raises(Violation, match=says):
        check()


@pytest.mark.parametrize(
    ("before", "spoil", "says"),
    [
        (building, lambda _: None, "build-1 is still building"),
        (released, lambda _: run_on_ecs("hello:1"), "should run .*:2 and runs .*:1"),
        (released, service(Service.due.remove()), "neither at rest nor under way"),
        (released, service(Service.due_at.set(0)), "neither at rest nor under way"),
        (released, service(Service.called_at.set(1)), "neither at rest nor under way"),
        (released, service(Service.drift.set("a lie")), "'a lie', which says nothing"),
        (released, service(Service.drift.set(THEIRS.format("hello:1"))), "and runs .*/hello:2"),
        (released, shows_its_own, "not deployed by Slipway', and it was"),
        (released, forgets("delivery:all:delivery-0"), "not tell all that it started 1"),
        (released, forgets("delivery:service-1:delivery-0"), "not tell service-1 that it"),
        (released, forgets("delivery:project-1:delivery-0"), "not tell project-1 that it"),
    ],
)
def test_what_is_wrong_at_the_end_is_said(
    cloud: Cloud, before: Spoil, spoil: Spoil, says: str
) -> None:
    before(cloud)
    spoil(cloud)
    with pytest.raises(Violation, match=says):
        check_settled(set())


def test_what_was_cancelled_must_not_stay(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.begin_release(2)
    cloud.api.post("/v1/cicd/jobs/deploy-2/cancel")
    with pytest.raises(Violation, match="deploy-2 is cancelled and is still rolled out"):
        check_replaced()
    cloud.settle()
    check_replaced()


def test_an_accepted_job_that_is_nowhere_is_missed(cloud: Cloud) -> None:
    released(cloud)
    check_settled({"build-1"})
    with pytest.raises(Violation, match=r"accepted and nowhere.*build-9"):
        check_settled({"build-1", "build-9"})


@pytest.mark.parametrize(
    ("before", "spoil", "says"),
    [
        (building, build(Job.status.set("queued")), "build-1 went from building to queued"),
        (released, build(Job.status.set("failed")), "build-1 went from success to failed"),
        (released, build(Job.error.set("x")), r"build-1 had ended success, and \['error'"),
        (building, build(Job.progress.set(0)), "progress of build-1 fell"),
        (released, deployment(Deployment.image.set("x")), "had ended|image of deploy-1 changed"),
        (released, lambda _: get_deployment(1).delete(), "deploy-1 is gone"),
    ],
)
def test_a_row_that_moves_as_it_must_not_is_seen(
    cloud: Cloud, before: Spoil, spoil: Spoil, says: str
) -> None:
    before(cloud)
    ledger = Ledger()
    ledger.verdict()
    spoil(cloud)
    ledger.observe()
    with pytest.raises(Violation, match=says):
        ledger.verdict()


def test_a_rolled_back_release_is_no_violation(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.release(2)
    ledger = Ledger()
    cloud.roll_back()
    cloud.settle()
    ledger.observe()
    cloud.finish_rollout()
    ledger.observe()
    ledger.verdict()
    assert cloud.statuses(2) == ["rolled_back"]
    assert codebuild.engine().drain_events() == []
