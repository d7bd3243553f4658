"""A failed build says why: over HTTP, with a log that CloudWatch may show late or not at all."""

import pytest

from chalicelib.domain.lag import LAG
from infra.local.aws import codebuild, fidelity
from tests.support.builders import WEBHOOK_SECRET
from tests.support.codebuild_log import (
    COMMAND,
    OUTPUT,
    RUN_FAILED,
    begin,
    failed_command,
    failed_log,
)
from tests.support.embedded import MINUTE, Cloud, client, sha
from tests.support.sdk import Calls, Trouble

GET_LOG = "logs.GetLogEvents"


def start_build(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()


def test_a_failed_build_shows_phase_cause_exit_code_and_last_lines(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "FAILED")
    build = cloud.build(1)
    assert build["failure"] == {
        "phase": "build",
        "summary": RUN_FAILED,
        "exit_code": 2,
        "tasks": [],
        "events": [],
        "log_tail": ["Building the image", *OUTPUT],
        "next_step": None,
    }
    listed = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/builds").body["items"]
    assert listed == [build]


def test_a_failed_build_shows_the_next_step_for_a_common_cause(cloud: Cloud) -> None:
    start_build(cloud)
    line = "error: the context has no Dockerfile Dockerfile"
    title = "Finding the Dockerfile"
    cloud.end_build(
        1,
        "FAILED",
        fail_phase="PRE_BUILD",
        log=failed_log(line, title=title, phase="PRE_BUILD"),
        message=failed_command(COMMAND.replace("Building the image", title)),
    )
    failure = cloud.build(1)["failure"]
    assert (failure["phase"], failure["exit_code"]) == ("prepare", 1)
    assert failure["summary"] == "the context has no Dockerfile Dockerfile"
    assert failure["next_step"].startswith("Commit a Dockerfile")


def test_only_a_failed_build_has_a_failure(cloud: Cloud) -> None:
    start_build(cloud)
    assert cloud.build(1)["failure"] is None
    cloud.finish_build(1)
    assert (cloud.build(1)["status"], cloud.build(1)["failure"]) == ("success", None)
    cloud.push(sha(2))
    cloud.settle()
    cloud.end_build(2, "STOPPED")
    assert (cloud.build(2)["status"], cloud.build(2)["failure"]) == ("cancelled", None)


def test_a_cause_that_cloudwatch_shows_late_is_found(cloud: Cloud) -> None:
    start_build(cloud)
    log = failed_log()
    cloud.end_build(1, "FAILED", log=log[:12])
    waiting = cloud.build(1)
    assert (waiting["status"], waiting["finished_at"]) == ("building", None)
    assert "CloudWatch may not show the end of its log yet" in waiting["error"]
    cloud.advance(1)
    cloud.settle()
    assert cloud.build(1) == waiting
    cloud.write_log(1, *log[12:])
    cloud.advance(1)
    cloud.settle()
    build = cloud.build(1)
    assert (build["status"], build["error"]) == ("failed", RUN_FAILED)
    assert build["failure"]["log_tail"] == ["Building the image", *OUTPUT]


def test_a_log_that_never_gets_its_end_keeps_a_build_open_for_twenty_seconds(
    cloud: Cloud, calls: Calls
) -> None:
    start_build(cloud)
    calls.clear()
    cloud.end_build(1, "FAILED", log=[*begin("Building the image"), "#5 1.0 the last line"])
    for second in range(LAG):
        assert cloud.build(1)["status"] == "building", second
        cloud.advance(1)
        cloud.settle()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"] == (
        'the step "Building the image" failed: exit status 1: #5 1.0 the last line'
    )
    assert len(calls.to(GET_LOG)) == 6  # after 0, 2, 4, 8, 16 and 20 seconds


def test_a_build_ends_in_time_without_messages_and_events(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "FAILED", log=[], settle=False)
    cloud.lose_events()
    cloud.tick()
    assert cloud.build(1)["status"] == "failed"
    assert cloud.build(1)["error"] == 'the step "Building the image" failed: exit status 1'


@pytest.mark.parametrize(
    ("code", "seconds"),
    [
        ("AccessDeniedException", 0),
        ("ResourceNotFoundException", LAG),
        ("ThrottlingException", LAG),
    ],
)
def test_a_log_that_cannot_be_read_does_not_keep_a_build_open(
    cloud: Cloud, trouble: Trouble, code: str, seconds: int
) -> None:
    start_build(cloud)
    trouble.refuse(GET_LOG, code, times=40)
    cloud.end_build(1, "FAILED")
    for _ in range(seconds):
        assert cloud.build(1)["status"] == "building"
        cloud.advance(1)
        cloud.settle()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["failure"] == {
        "phase": "build",
        "summary": 'the step "Building the image" failed: exit status 1',
        "exit_code": 1,
        "tasks": [],
        "events": [],
        "log_tail": [],
        "next_step": None,
    }


def test_a_build_without_commands_ends_without_a_read_of_its_log(
    cloud: Cloud, calls: Calls
) -> None:
    start_build(cloud)
    calls.clear()
    cloud.end_build(1, "FAILED", log=[], fail_phase="PROVISIONING", message="No machine is free")
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["failure"]["phase"] == "start"
    assert build["error"] == "CodeBuild: PROVISIONING FAILED: No machine is free"
    assert calls.to(GET_LOG) == []


def test_repeated_events_read_the_log_only_at_its_times(cloud: Cloud, calls: Calls) -> None:
    start_build(cloud)
    cloud.end_build(1, "FAILED", log=[], settle=False)
    calls.clear()
    events = cloud.take_events()
    for event in [*events, *events]:
        cloud.hear(event)
    assert len(events) > 3
    assert len(calls.to(GET_LOG)) == 1


def test_a_build_that_waits_for_its_log_can_be_cancelled(cloud: Cloud) -> None:
    start_build(cloud)
    cloud.end_build(1, "FAILED", log=[])
    assert cloud.build(1)["status"] == "building"
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel").status == 202
    cloud.settle()
    build = cloud.build(1)
    assert (build["status"], build["failure"]) == ("cancelled", None)


def test_the_failure_shows_no_secret_and_no_control_character(cloud: Cloud) -> None:
    start_build(cloud)
    log = failed_log(
        f"\x1b[31m{WEBHOOK_SECRET}\x1b[0m",
        "AWS_SECRET_ACCESS_KEY=abc/DEF",
        f"ERROR: failed to solve: \u202etoken {WEBHOOK_SECRET} ghp_{'a' * 36}",
    )
    cloud.end_build(1, "FAILED", log=log)
    build = cloud.build(1)
    assert build["error"] == build["failure"]["summary"] == "failed to solve: token *** ***"
    assert build["failure"]["log_tail"] == [
        "Building the image",
        "***",
        "AWS_SECRET_ACCESS_KEY=***",
        "ERROR: failed to solve: token *** ***",
    ]


def test_a_line_of_the_buildspec_that_looks_like_a_secret_is_not_shown_as_output(
    cloud: Cloud,
) -> None:
    start_build(cloud)
    command = (
        f"{COMMAND}AWS_SECRET_ACCESS_KEY=$(jq -r .key)\n"
        "curl https://user:password@example.com\ntrue\n"
    )
    first, *rest = command.splitlines()
    log = [
        f"[Container] 2026/11/22 00:00:07.148228 Running command {first}",
        *rest,
        "Building the image",
        "[Container] 2026/11/22 00:00:09.148229 Phase complete: BUILD State: FAILED",
    ]
    cloud.end_build(1, "FAILED", log=log, message=failed_command(command))
    assert cloud.build(1)["failure"]["log_tail"] == ["Building the image"]


def test_a_message_of_codebuild_shows_no_secret(cloud: Cloud) -> None:
    start_build(cloud)
    message = f"No image {WEBHOOK_SECRET}\n\x1b[31mat registry"
    cloud.end_build(1, "FAILED", log=[], fail_phase="PROVISIONING", message=message)
    build = cloud.build(1)
    expected = "CodeBuild: PROVISIONING FAILED: No image *** at registry"
    assert build["error"] == build["failure"]["summary"] == expected


def test_a_failed_build_by_hand_shows_its_commit(cloud: Cloud) -> None:
    number = cloud.ask_for_build()
    cloud.settle()
    cloud.end_build(number, "FAILED")
    build = cloud.build(number)
    assert build["status"] == "failed"
    assert (build["commit_sha"], build["commit_message"], build["author"]) == (
        sha(7),
        "seven",
        "Ada",
    )
    assert build["log_path"].startswith("/slipway/builds/build-1/")


@pytest.mark.parametrize(("phase", "progress"), [("PRE_BUILD", 30), ("BUILD", 40)])
def test_a_failed_build_keeps_the_progress_of_the_phase_that_failed(
    cloud: Cloud, phase: str, progress: int
) -> None:
    start_build(cloud)
    cloud.enter_phase(1, phase)
    codebuild_id = cloud.build(1)["codebuild_id"]
    engine = codebuild.engine()
    engine.phase(codebuild_id, "FINALIZING", previous="FAILED", message=failed_command())
    cloud.settle()
    assert cloud.build(1)["progress"] == progress
    cloud.write_log(1, *failed_log(phase=phase))
    engine.finish(codebuild_id, "FAILED")
    cloud.settle()
    assert (cloud.build(1)["status"], cloud.build(1)["progress"]) == ("failed", progress)


def test_an_image_that_ecr_shows_late_is_deployed(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fidelity, "IMAGE_LAG", 1.5)
    start_build(cloud)
    digest = cloud.finish_build(1)
    waiting = cloud.build(1)
    assert waiting["status"] == "building"
    assert waiting["error"] == (f"the build succeeded, but ECR holds no {waiting['image_tag']} yet")
    cloud.advance(2)
    cloud.settle()
    build = cloud.build(1)
    assert (build["status"], build["error"], build["image_digest"]) == ("success", None, digest)
    assert build["deployment_id"] == 1


def test_a_build_for_a_missing_image_repository_fails_before_it_starts(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.push(sha(1))
    client("ecr").delete_repository(repositoryName="hello", force=True)
    calls.clear()
    cloud.settle()
    build = cloud.build(1)
    assert (build["status"], build["codebuild_id"]) == ("failed", None)
    assert build["failure"] == {
        "phase": "start",
        "summary": "ECR has no image repository hello",
        "exit_code": None,
        "tasks": [],
        "events": [],
        "log_tail": [],
        "next_step": "Create the repository: aws ecr create-repository --repository-name hello "
        "--region eu-west-1",
    }
    assert calls.to("codebuild.StartBuild") == []


def test_a_build_starts_if_slipway_may_not_look_for_its_repository(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    trouble.refuse("ecr.DescribeImages", "AccessDeniedException")
    cloud.settle()
    assert cloud.build(1)["status"] == "building"


def test_a_build_waits_while_ecr_does_not_answer(cloud: Cloud, trouble: Trouble) -> None:
    cloud.push(sha(1))
    trouble.refuse("ecr.DescribeImages", "ThrottlingException")
    cloud.settle()
    assert cloud.build(1)["status"] == "queued"
    assert "ECR DescribeImages" in cloud.build(1)["error"]
    cloud.tick()
    cloud.settle()
    assert cloud.build(1)["status"] == "building"


def test_a_late_build_does_not_wait_for_ecr(cloud: Cloud, trouble: Trouble) -> None:
    cloud.change_service(queued_minutes=5)
    cloud.push(sha(1))
    trouble.refuse("ecr.DescribeImages", "ThrottlingException", times=100)
    cloud.settle()
    cloud.advance(6 * MINUTE)
    cloud.tick()
    cloud.settle()
    assert cloud.build(1)["status"] == "building"


def test_a_build_that_codebuild_never_took_fails_in_the_queue(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.change_service(queued_minutes=5)
    trouble.refuse("codebuild.StartBuild", "ThrottlingException", times=100)
    cloud.push(sha(1))
    cloud.settle()
    for _ in range(8):
        cloud.tick()
    failure = cloud.build(1)["failure"]
    assert failure["phase"] == "queue"
    assert failure["summary"] == cloud.build(1)["error"]
    assert failure["summary"].startswith("waited 5 minutes")


def test_a_build_that_is_stopped_shows_where_it_was(cloud: Cloud) -> None:
    start_build(cloud)
    for phase in codebuild.PHASES[3:7]:
        cloud.enter_phase(1, phase)
    cloud.write_log(1, *begin("Building the image", phase="BUILD"), "#5 1.0 waiting for a mirror")
    cloud.advance(32 * MINUTE)
    cloud.tick()
    cloud.advance(LAG)
    cloud.settle()
    failure = cloud.build(1)["failure"]
    assert failure["phase"] == "build"
    assert failure["log_tail"][-1] == "#5 1.0 waiting for a mirror"
    assert failure["next_step"].startswith("Raise the service's build_minutes")
