"""CodeBuild's EventBridge events, with all members that AWS sends.

Source: CodeBuild User Guide, "Build notifications input format reference".
"""

import datetime
import uuid
from typing import Any

Build = dict[str, Any]


def state_change(build: Build, *, region: str, account: str) -> dict[str, Any]:
    """A build started or ended."""
    detail = {
        "build-status": build["buildStatus"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "additional-information": _additional_information(build),
        "current-phase": build["currentPhase"],
        "current-phase-context": "[]",
        "version": "1",
    }
    return _event("CodeBuild Build State Change", build, detail, region=region, account=account)


def phase_change(
    build: Build, phase: dict[str, Any], *, region: str, account: str
) -> dict[str, Any]:
    """A build left `phase`."""
    detail = {
        "completed-phase": phase["phaseType"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "completed-phase-context": f"[{', '.join(_contexts(phase))}]",
        "additional-information": _additional_information(build),
        "completed-phase-status": phase["phaseStatus"],
        "completed-phase-duration-seconds": phase["durationInSeconds"],
        "version": "1",
        "completed-phase-start": _time(phase["startTime"]),
        "completed-phase-end": _time(phase["endTime"]),
    }
    return _event("CodeBuild Build Phase Change", build, detail, region=region, account=account)


def _event(
    kind: str, build: Build, detail: dict[str, Any], *, region: str, account: str
) -> dict[str, Any]:
    last = build["phases"][-1]["startTime"]
    at = datetime.datetime.fromtimestamp(last, datetime.UTC)
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": "aws.codebuild",
        "account": account,
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [build["arn"]],
        "detail": detail,
    }


def _additional_information(build: Build) -> dict[str, Any]:
    environment, source, logs = build["environment"], build["source"], build["logs"]
    return {
        "artifact": {"location": build["artifacts"].get("location", "")},
        "environment": {
            "image": environment["image"],
            "privileged-mode": environment.get("privilegedMode", False),
            "compute-type": environment["computeType"],
            "type": environment["type"],
            "environment-variables": list(environment["environmentVariables"]),
        },
        "timeout-in-minutes": build["timeoutInMinutes"],
        "build-complete": build["buildComplete"],
        "initiator": build["initiator"],
        "build-start-time": _time(build["startTime"]),
        "source": {"location": source.get("location", ""), "type": source["type"]},
        "logs": {
            "group-name": logs["groupName"],
            "stream-name": logs["streamName"],
            "deep-link": logs["deepLink"],
        },
        "phases": [_phase(phase) for phase in build["phases"]],
    }


def _phase(phase: dict[str, Any]) -> dict[str, Any]:
    started = {"start-time": _time(phase["startTime"]), "phase-type": phase["phaseType"]}
    if "endTime" not in phase:
        return started
    return started | {
        "phase-context": _contexts(phase),
        "end-time": _time(phase["endTime"]),
        "duration-in-seconds": phase["durationInSeconds"],
        "phase-status": phase["phaseStatus"],
    }


def _contexts(phase: dict[str, Any]) -> list[str]:
    return [f"{item['statusCode']}: {item['message']}" for item in phase.get("contexts", [])]


def _time(seconds: float) -> str:
    """AWS's format in these events: "Sep 1, 2017 4:12:29 PM", without padding of day and hour."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime(
        "%b %-d, %Y %-I:%M:%S %p"
    )
