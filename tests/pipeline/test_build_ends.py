"""How builds end, and the status and error that a user sees."""

from moto.codebuild.models import codebuild_backends

from chalicelib.domain.lag import LAG
from infra.local.aws import codebuild
from tests.support.codebuild_log import RUN_FAILED
from tests.support.embedded import MINUTE, Cloud, sha


def start_build(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()


def test_a_failed_build_shows_its_cause(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "FAILED")
    build, job = cloud.build(1), cloud.job("build-1")
    assert (build["status"], job["status"]) == ("failed", "failed")
    assert build["error"] == job["error"] == build["failure"]["summary"] == RUN_FAILED
    assert build["finished_at"] is not None
    assert build["deployment_id"] is None


def test_a_build_stopped_in_codebuild_is_cancelled(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "STOPPED")
    assert (cloud.build(1)["status"], cloud.build(1)["error"]) == (
        "cancelled",
        "stopped in CodeBuild",
    )


def test_a_build_that_times_out_in_codebuild_fails(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.enter_phase(1, "PROVISIONING")
    for _ in range(32):
        cloud.tick()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"] == "not done after 30 minutes, and stopped"


def test_a_build_that_codebuild_never_begins_is_stopped_and_fails(cloud: Cloud) -> None:
    cloud.change_service(build_minutes=5)
    start_build(cloud)
    for _ in range(9):
        cloud.tick()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"].startswith("not done after 5 minutes")
    assert not codebuild.engine().alive(build["codebuild_id"])


def test_a_build_without_an_image_fails(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "SUCCEEDED")
    cloud.advance(LAG)
    cloud.settle()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"] == f"the build succeeded, but ECR holds no {build['image_tag']}"
    assert build["failure"]["phase"] == "push"
    assert build["progress"] < 95
    assert build["deployment_id"] is None


def test_a_build_that_codebuild_no_longer_knows_fails_after_a_while(cloud: Cloud) -> None:
    start_build(cloud)
    codebuild_backends["123456789012"]["eu-west-1"].reset()
    cloud.tick()
    assert cloud.build(1)["status"] == "building"
    for _ in range(2):
        cloud.tick()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"] == f"CodeBuild does not know {build['codebuild_id']}"


def test_a_build_without_capacity_in_codebuild_fails_after_its_queued_minutes(cloud: Cloud) -> None:
    cloud.change_service(queued_minutes=5)
    for number in (1, 2, 3):
        cloud.push(sha(number))
    cloud.settle()
    for _ in range(5):
        cloud.tick()
    assert cloud.build(3)["status"] == "queued"
    for _ in range(2):
        cloud.tick()
    build = cloud.build(3)
    assert build["status"] == "failed"
    assert build["error"].startswith("waited 5 minutes for CodeBuild to take it: ")
    assert "active builds" in build["error"]
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]


def test_late_events_do_not_change_an_ended_build(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "STOPPED", settle=False)
    events = cloud.take_events()
    for event in events:
        cloud.hear(event)
    ended = cloud.build(1)
    cloud.advance(MINUTE)
    for event in reversed(events):
        cloud.hear(event)
    cloud.tick()
    assert cloud.build(1) == ended
