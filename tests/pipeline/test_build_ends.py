"""How builds end, and the status and error that a user sees."""

from moto.codebuild.models import codebuild_backends

from chalicelib.domain.lag import LAG
from tests.support.codebuild_log import RUN_FAILED
from tests.support.embedded import MINUTE, Cloud, client, put_image, sha


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
    for _ in range(32):
        cloud.tick()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"] == "ran longer than its build_minutes (30) and was stopped"


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


def test_an_image_that_another_tool_pushed_under_the_builds_tag_is_not_deployed(
    cloud: Cloud,
) -> None:
    cloud.change_service(auto_deploy=True)
    start_build(cloud)
    put_image(*cloud.build(1)["image_tag"].split(":"))
    cloud.end_build(1, "SUCCEEDED", IMAGE_DIGEST="sha256:" + "a" * 64)
    build = cloud.build(1)
    assert (build["status"], build["deployment_id"]) == ("failed", None)
    assert f"the build pushed sha256:{'a' * 64}, but ECR holds sha256:" in build["error"]


def test_a_build_that_reports_no_digest_fails(cloud: Cloud) -> None:
    start_build(cloud)
    put_image(*cloud.build(1)["image_tag"].split(":"))
    cloud.end_build(1, "SUCCEEDED")
    assert cloud.build(1)["error"] == "the build reported no digest of its image: build again"


def test_problems_that_did_not_fail_the_build_are_shown_as_warnings(cloud: Cloud) -> None:
    start_build(cloud)
    digest = put_image(*cloud.build(1)["image_tag"].split(":"))
    warnings = "the image has no SBOM\nnot copied: ghp_" + "a" * 36 + "\x1b[31m"
    cloud.end_build(1, "SUCCEEDED", IMAGE_DIGEST=digest, WARNINGS=warnings)
    assert cloud.build(1)["warnings"] == ["the image has no SBOM", "not copied: ***"]
    assert cloud.build(1)["status"] == "success"


def test_a_build_says_which_machine_builds_it_and_what_is_emulated(cloud: Cloud) -> None:
    for platforms, machine, emulated in (
        (["linux/arm64"], "linux/arm64", []),
        (["linux/amd64"], "linux/amd64", []),
        (["linux/amd64", "linux/arm64"], "linux/amd64", ["linux/arm64"]),
    ):
        build = cloud.build(cloud.ask_for_build(platforms=platforms))
        assert (build["machine"], build["emulated_platforms"]) == (machine, emulated)


def test_a_build_that_a_person_stopped_in_time_is_cancelled_even_if_slipway_looks_late(
    cloud: Cloud,
) -> None:
    cloud.change_service(build_minutes=5)
    start_build(cloud)
    cloud.advance(MINUTE)
    client("codebuild").stop_build(id=cloud.build(1)["codebuild_id"])
    cloud.lose_events()
    cloud.advance(10 * MINUTE)
    cloud.tick()
    assert (cloud.build(1)["status"], cloud.build(1)["error"]) == (
        "cancelled",
        "stopped in CodeBuild",
    )
