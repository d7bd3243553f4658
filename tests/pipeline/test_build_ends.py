"""How builds end, and the status and error that a user sees."""

from moto.codebuild.models import codebuild_backends

from tests.support.embedded import MINUTE, Cloud, sha


def start_build(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()


def test_a_failed_build_shows_the_phase_and_the_message_of_codebuild(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "FAILED")
    build, job = cloud.build(1), cloud.job("build-1")
    assert (build["status"], job["status"]) == ("failed", "failed")
    assert build["error"] == (
        "BUILD FAILED: Error while executing command: false. Reason: exit status 1"
    )
    assert 0 < build["progress"] < 100
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
    for _ in range(32):
        cloud.tick()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert "TIMED_OUT" in build["error"]


def test_a_build_without_an_image_fails(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "SUCCEEDED")
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"] == f"the build succeeded, but ECR holds no {build['image_tag']}"
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
