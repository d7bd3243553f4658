"""What the log says of jobs, and the CloudWatch metrics in it."""

import json
import logging
import sys
from typing import Any

import pytest

from chalicelib.correlation import note, working_on
from chalicelib.store.models import Build
from infra.dashboard import FOLLOW_A_PUSH
from tests.support.embedded import MINUTE, Cloud, sha
from tests.support.sdk import Trouble

logger = logging.getLogger("slipway")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="slipway")
    return caplog


def fields(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "slipway"]


def test_a_push_is_followed_by_its_commit_through_all_functions(
    cloud: Cloud, lines: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(1), delivery="first")
    cloud.push(sha(2), delivery="second")
    cloud.settle()
    cloud.finish_build(1)
    cloud.finish_rollout()
    own = [each for each in fields(lines) if each.get("commit_sha") == sha(1)]
    said = [each["message"] for each in own]
    assert said == [
        "build-1 was accepted",
        "POST /v1/webhooks/github: 202",
        "build-1 is building",
        "build-1 is success",
        "deploy-1 was accepted",
        "deploy-1 is deploying",
        "deploy-1 is success",
    ]
    assert {each["service_id"] for each in own if "job_id" in each} == {cloud.service_id}
    assert all(each.get("request_id") for each in own[:2])
    causes = {"message_id", "event_id"}
    assert all(causes & each.keys() for each in own[2:])
    assert own[0]["delivery"] == own[1]["delivery"] == "first"
    assert "commit_sha" in FOLLOW_A_PUSH


def test_a_request_names_the_job_that_it_is_about(
    cloud: Cloud, lines: pytest.LogCaptureFixture
) -> None:
    cloud.push(sha(1))
    lines.clear()
    cloud.api.post("/v1/cicd/jobs/build-1/cancel", headers={"X-Request-Id": "mine"})
    own = [each for each in fields(lines) if each.get("request_id") == "mine"]
    assert [each["message"] for each in own] == [
        "build-1 is cancelled",
        "POST /v1/cicd/jobs/{job_id}/cancel: 202",
    ]
    assert {(each["job_id"], each["service_id"]) for each in own} == {("build-1", cloud.service_id)}


def test_a_line_keeps_its_own_job_inside_the_work_on_another(
    lines: pytest.LogCaptureFixture,
) -> None:
    with working_on(event_id="e", job_id="build-1"):
        with working_on(row_id="service-1"):
            note(service_id=1)
            logger.info("inner", extra={"job_id": "build-2"})
        logger.info("outer")
    logger.info("none")
    inner, outer, none = fields(lines)
    assert [inner[each] for each in ("event_id", "job_id", "row_id", "service_id")] == [
        "e",
        "build-2",
        "service-1",
        1,
    ]
    assert outer["job_id"] == "build-1"
    assert not {"row_id", "service_id"} & outer.keys()
    assert not {"event_id", "job_id"} & none.keys()


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The metrics of jobs since the last call."""
    return [each for each in _metrics(capsys) if "Status" in each]


def _metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line) for line in lines if '"_aws"' in line]


def test_each_run_of_the_schedule_reports_for_how_long_work_was_overdue(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: Trouble,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "slipway-test-on_schedule")
    cloud.tick()
    (idle,) = _metrics(capsys)
    assert (idle["Installation"], idle["OverdueSeconds"]) == ("slipway", [0.0])
    (directive,) = idle["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Installation"]]
    cloud.push(sha(1))
    cloud.lose_messages()
    trouble.refuse("codebuild.StartBuild", "ServiceUnavailableException", times=2)
    cloud.advance(10 * MINUTE)
    cloud.tick()
    (late,) = _metrics(capsys)
    assert late["OverdueSeconds"][0] >= 10 * MINUTE


def test_the_end_of_a_job_is_a_metric_in_the_log_of_the_function(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "slipway-test-on_wakeup")
    cloud.push(sha(1))
    cloud.settle()
    cloud.advance(MINUTE)
    cloud.finish_build(1)
    build, *others = written(capsys)
    assert others == []
    (directive,) = build["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Slipway"
    assert directive["Dimensions"] == [["Installation", "Status"]]
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]} == {
        "Builds": "Count",
        "QueueSeconds": "Seconds",
        "BuildSeconds": "Seconds",
    }
    row = Build.get("build-1")
    assert build["Builds"] == [1.0]
    assert build["BuildSeconds"] == [float((row.finished_at or 0) - (row.started_at or 0))]
    assert (build["Installation"], build["Status"]) == ("slipway", "success")
    assert (build["job_id"], build["commit_sha"]) == ("build-1", sha(1))
    cloud.finish_rollout()
    (deployment,) = written(capsys)
    assert {"Deployments", "DeploySeconds", "LeadSeconds"} <= deployment.keys()


def test_outside_lambda_no_metric_is_written(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.release(1)
    assert written(capsys) == []


def test_a_job_ends_also_if_its_metric_cannot_be_written(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "slipway-test-api")
    monkeypatch.setitem(sys.modules, "aws_lambda_powertools.metrics", None)
    cloud.handlers_may_fail = True
    cloud.push(sha(1))
    assert cloud.api.post("/v1/cicd/jobs/build-1/cancel").status == 202
    assert cloud.build(1)["status"] == "cancelled"
    assert written(capsys) == []
