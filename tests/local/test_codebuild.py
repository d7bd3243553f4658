"""The CodeBuild engine behaves as the CodeBuild API reference and User Guide describe."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.codebuild.models import codebuild_backends
from types_boto3_codebuild import CodeBuildClient
from types_boto3_codebuild.type_defs import BuildTypeDef

from infra.local.aws import clock, fidelity
from infra.local.aws.codebuild import PHASES, Engine, engine

BUILDSPEC = "version: 0.2"


@pytest.fixture
def codebuild(monkeypatch: pytest.MonkeyPatch) -> Iterator[CodeBuildClient]:
    fidelity.install()
    clock.reset()
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("codebuild", region_name="eu-west-1")
        create_project(client)
        yield client
    clock.reset()


@pytest.fixture
def runner(codebuild: CodeBuildClient) -> Engine:
    return engine()


def create_project(client: CodeBuildClient) -> None:
    client.create_project(
        name="images",
        source={"type": "NO_SOURCE", "buildspec": BUILDSPEC},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        },
        serviceRole="arn:aws:iam::123456789012:role/builds",
        timeoutInMinutes=30,
        concurrentBuildLimit=2,
    )


def start(client: CodeBuildClient, **request: Any) -> BuildTypeDef:
    return client.start_build(projectName="images", **request)["build"]


def read(client: CodeBuildClient, build_id: str) -> BuildTypeDef:
    return client.batch_get_builds(ids=[build_id])["builds"][0]


def phases(build: BuildTypeDef) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def test_a_build_stays_queued_until_an_agent_claims_it(codebuild: CodeBuildClient) -> None:
    """API reference Build: buildStatus IN_PROGRESS, currentPhase QUEUED, buildComplete false."""
    build = read(codebuild, start(codebuild)["id"])
    assert (build["buildStatus"], build["currentPhase"]) == ("IN_PROGRESS", "QUEUED")
    assert build["buildComplete"] is False
    assert phases(build) == {"SUBMITTED": "SUCCEEDED", "QUEUED": ""}
    assert "endTime" not in build


def test_a_request_overrides_the_project(codebuild: CodeBuildClient) -> None:
    """API reference StartBuild: the ...Override members; a log stream name is a prefix."""
    logs = {"status": "ENABLED", "groupName": "/slipway/builds", "streamName": "build-1"}
    build = start(
        codebuild,
        environmentVariablesOverride=[{"name": "B", "value": "9"}, {"name": "C", "value": "3"}],
        buildspecOverride="version: 0.1",
        timeoutInMinutesOverride=7,
        queuedTimeoutInMinutesOverride=8,
        logsConfigOverride={"cloudWatchLogs": logs},
    )
    variables = build["environment"]["environmentVariables"]
    assert {v["name"]: v["value"] for v in variables} == {"A": "1", "B": "9", "C": "3"}
    assert build["source"]["buildspec"] == "version: 0.1"
    assert (build["timeoutInMinutes"], build["queuedTimeoutInMinutes"]) == (7, 8)
    assert build["logs"]["groupName"] == "/slipway/builds"
    assert build["logs"]["streamName"] == f"build-1/{build['id'].split(':')[1]}"


def test_a_successful_build_goes_through_every_phase(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """User Guide, "Build phase transitions"; API reference ExportedEnvironmentVariable."""
    build_id = start(codebuild)["id"]
    runner.run_to(build_id, exported={"COMMIT_SHA": "abc"})
    build = read(codebuild, build_id)
    assert (build["buildStatus"], build["buildComplete"]) == ("SUCCEEDED", True)
    assert tuple(phases(build)) == PHASES
    assert build["exportedEnvironmentVariables"] == [{"name": "COMMIT_SHA", "value": "abc"}]
    assert build["endTime"] >= build["startTime"]
    assert build["buildNumber"] == 1


def test_a_failed_build_shows_the_failed_phase_and_the_reason(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """API reference BuildPhase: phaseStatus, contexts; PhaseContext: COMMAND_EXECUTION_ERROR."""
    build_id = start(codebuild)["id"]
    runner.run_to(build_id, "FAILED", fail_phase="PRE_BUILD", message="exit status 3")
    build = read(codebuild, build_id)
    assert build["buildStatus"] == "FAILED"
    failed = next(phase for phase in build["phases"] if phase.get("phaseStatus") == "FAILED")
    context = {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "exit status 3"}
    assert (failed["phaseType"], failed["contexts"]) == ("PRE_BUILD", [context])
    assert "BUILD" not in phases(build)


def test_a_stopped_build_stays_stopped(codebuild: CodeBuildClient, runner: Engine) -> None:
    """API reference StopBuild; BatchGetBuilds afterwards: STOPPED."""
    build_id = start(codebuild)["id"]
    runner.claim()
    codebuild.stop_build(id=build_id)
    assert runner.phase(build_id, "BUILD") is False
    assert runner.finish(build_id, "SUCCEEDED") is False
    build = read(codebuild, build_id)
    assert (build["buildStatus"], build["buildComplete"]) == ("STOPPED", True)
    assert phases(build)["PROVISIONING"] == "STOPPED"


def test_a_stopped_build_is_never_claimed(codebuild: CodeBuildClient, runner: Engine) -> None:
    codebuild.stop_build(id=start(codebuild)["id"])
    assert runner.claim() is None


def test_time_in_the_queue_does_not_count_for_the_timeout_of_a_build(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """API reference StartBuild: timeoutInMinutesOverride, queuedTimeoutInMinutesOverride."""
    build_id = start(codebuild, timeoutInMinutesOverride=10)["id"]
    clock.advance(11 * 60)
    assert runner.claim() is not None
    assert read(codebuild, build_id)["buildStatus"] == "IN_PROGRESS"
    clock.advance(10 * 60 + 1)
    build = read(codebuild, build_id)
    assert (build["buildStatus"], build["buildComplete"]) == ("TIMED_OUT", True)
    assert build["phases"][-2]["contexts"][0]["statusCode"] == "BUILD_TIMED_OUT"


def test_a_build_times_out_in_the_queue(codebuild: CodeBuildClient, runner: Engine) -> None:
    build_id = start(codebuild, queuedTimeoutInMinutesOverride=5)["id"]
    clock.advance(5 * 60 + 1)
    assert runner.claim() is None
    build = read(codebuild, build_id)
    assert build["buildStatus"] == "TIMED_OUT"
    assert phases(build)["QUEUED"] == "TIMED_OUT"
    assert "PROVISIONING" not in phases(build)


def test_at_the_limit_of_the_account_a_started_build_stays_in_the_queue(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """User Guide, "Builds in AWS CodeBuild" (builds-working.html): builds are queued at the
    account's limit of concurrently running builds, for at most the queued time-out."""
    runner.account_limit = 1
    first, second = (
        start(codebuild, queuedTimeoutInMinutesOverride=minutes)["id"] for minutes in (5, 30)
    )
    claimed = runner.claim()
    assert claimed is not None
    assert claimed["id"] == first
    clock.advance(20 * 60)
    assert runner.claim() is None
    waiting = read(codebuild, second)
    assert (waiting["currentPhase"], waiting["buildStatus"]) == ("QUEUED", "IN_PROGRESS")
    runner.finish(first, "SUCCEEDED")
    claimed = runner.claim()
    assert claimed is not None
    assert claimed["id"] == second


def test_one_token_starts_one_build_for_five_minutes(codebuild: CodeBuildClient) -> None:
    """API reference StartBuild, idempotencyToken: valid 5 minutes; "If you repeat the StartBuild
    request with the same token, but change a parameter, CodeBuild returns a parameter mismatch
    error"."""
    first = start(codebuild, idempotencyToken="build-1")["id"]
    assert start(codebuild, idempotencyToken="build-1")["id"] == first
    with pytest.raises(codebuild.exceptions.InvalidInputException):
        start(codebuild, idempotencyToken="build-1", sourceVersion="other")
    clock.advance(301)
    assert start(codebuild, idempotencyToken="build-1")["id"] != first


def test_a_project_runs_no_more_builds_than_its_limit(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """API reference CreateProject, concurrentBuildLimit; StartBuild: AccountLimitExceededException.
    A repeated request is answered from its token, even at the limit."""
    first = start(codebuild, idempotencyToken="first")["id"]
    start(codebuild)
    with pytest.raises(codebuild.exceptions.AccountLimitExceededException):
        start(codebuild)
    assert start(codebuild, idempotencyToken="first")["id"] == first
    runner.run_to(first)
    start(codebuild)


def test_missing_builds_and_projects_are_reported(codebuild: CodeBuildClient) -> None:
    """API reference BatchGetBuilds: buildsNotFound; ResourceNotFoundException elsewhere."""
    known = start(codebuild)
    answer = codebuild.batch_get_builds(ids=["images:none", known["arn"]])
    assert answer["buildsNotFound"] == ["images:none"]
    assert [build["id"] for build in answer["builds"]] == [known["id"]]
    projects = codebuild.batch_get_projects(names=["images", "none"])
    assert projects["projects"][0]["concurrentBuildLimit"] == 2
    assert projects["projectsNotFound"] == ["none"]
    missing = codebuild.exceptions.ResourceNotFoundException
    with pytest.raises(missing):
        codebuild.start_build(projectName="none")
    with pytest.raises(missing):
        codebuild.stop_build(id="images:none")
    with pytest.raises(missing):
        codebuild.list_builds_for_project(projectName="none")
    with pytest.raises(codebuild.exceptions.ResourceAlreadyExistsException):
        create_project(codebuild)


def test_builds_are_listed_newest_first_with_a_hundred_per_page(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """API reference ListBuildsForProject: sortOrder DESCENDING by default, 100 ids, nextToken."""
    started = []
    for _ in range(103):
        started.append(start(codebuild)["id"])
        runner.finish(started[-1], "SUCCEEDED")
    first = codebuild.list_builds_for_project(projectName="images")
    assert first["ids"] == started[:2:-1]
    second = codebuild.list_builds_for_project(projectName="images", nextToken=first["nextToken"])
    assert second["ids"] == started[2::-1]
    assert "nextToken" not in second
    oldest = codebuild.list_builds_for_project(projectName="images", sortOrder="ASCENDING")
    assert oldest["ids"] == started[:100]


def test_exactly_one_claimer_gets_a_build(codebuild: CodeBuildClient, runner: Engine) -> None:
    build_id = start(codebuild)["id"]
    barrier = threading.Barrier(16)

    def claim(_: int) -> Any:
        barrier.wait()
        return runner.claim()

    with ThreadPoolExecutor(16) as pool:
        claims = [claim for claim in pool.map(claim, range(16)) if claim]
    assert [claim["id"] for claim in claims] == [build_id]


def test_a_reset_clears_everything(codebuild: CodeBuildClient) -> None:
    start(codebuild)
    codebuild_backends["123456789012"]["eu-west-1"].reset()
    assert codebuild.batch_get_projects(names=["images"])["projects"] == []


def test_events_report_every_phase_and_start_and_end(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """User Guide, "Build notifications input format reference"."""
    build = start(codebuild, logsConfigOverride={"cloudWatchLogs": {"status": "ENABLED"}})
    runner.run_to(build["id"])
    events = runner.drain_events()
    states = [e["detail"]["build-status"] for e in events if "build-status" in e["detail"]]
    assert states == ["IN_PROGRESS", "SUCCEEDED"]
    completed = [e["detail"]["completed-phase"] for e in events if "completed-phase" in e["detail"]]
    assert completed == list(PHASES[1:-1])
    assert all(event["resources"] == [build["arn"]] for event in events)
    assert len({event["id"] for event in events}) == len(events)
    assert runner.drain_events() == []
    json.dumps(events)


def test_the_last_event_has_the_members_that_aws_documents(
    codebuild: CodeBuildClient, runner: Engine
) -> None:
    """User Guide, "Build notifications input format reference", the example of a state change."""
    build_id = start(codebuild)["id"]
    runner.run_to(build_id, "FAILED", message="exit status 1")
    event = runner.drain_events()[-1]
    assert (event["source"], event["detail-type"]) == (
        "aws.codebuild",
        "CodeBuild Build State Change",
    )
    assert (event["account"], event["region"]) == ("123456789012", "eu-west-1")
    detail = event["detail"]
    assert detail["build-id"].endswith(f":build/{build_id}")
    assert (detail["current-phase"], detail["version"]) == ("COMPLETED", "1")
    information = detail["additional-information"]
    assert set(information) == {
        "artifact",
        "environment",
        "timeout-in-minutes",
        "build-complete",
        "initiator",
        "build-start-time",
        "source",
        "logs",
        "phases",
    }
    assert set(information["logs"]) == {"group-name", "stream-name", "deep-link"}
    failed = information["phases"][-2]
    assert (failed["phase-type"], failed["phase-status"]) == ("BUILD", "FAILED")
    assert failed["phase-context"] == ["COMMAND_EXECUTION_ERROR: exit status 1"]
    assert set(information["phases"][-1]) == {"start-time", "phase-type"}
