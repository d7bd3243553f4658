"""CodeBuild: start, describe, find and stop builds."""

from collections.abc import Mapping
from typing import Any

from chalicelib.aws.clients import calling, client
from chalicelib.domain.builds import BuildReport
from chalicelib.domain.identities import without_identities
from chalicelib.errors import Unavailable

# The code of StartBuild's refusal at the limit of the project or of the account.
AT_LIMIT = "AccountLimitExceededException"

_PAGES = 5  # of a hundred builds each
_CLOCK_SKEW = 60  # seconds between CodeBuild's clock and this one


def start(request: Mapping[str, Any]) -> BuildReport:
    """StartBuild; the same request within five minutes returns the same build.

    Raises Unavailable when throttled or at a limit, Rejected for a permanent refusal. With the code
    AT_LIMIT CodeBuild has started no build.
    """
    with calling("CodeBuild StartBuild"):
        return _report(client("codebuild").start_build(**request)["build"])


def describe(codebuild_id: str) -> BuildReport | None:
    """The present state of the build, or None if CodeBuild does not know it."""
    with calling("CodeBuild BatchGetBuilds"):
        builds = client("codebuild").batch_get_builds(ids=[codebuild_id])["builds"]
    return _report(builds[0]) if builds else None


def find(project: str, job_id: str, *, since: int) -> BuildReport | None:
    """The build with this JOB_ID among those started at `since` or later.

    Raises Unavailable if more builds were started since then than it searches.
    """
    token: dict[str, str] = {}
    for _ in range(_PAGES):
        builds, next_token = _newest(project, **token)
        for build in builds:
            if {"name": "JOB_ID", "value": job_id, "type": "PLAINTEXT"} in _variables(build):
                return _report(build)
        oldest = min((build["startTime"].timestamp() for build in builds), default=0)
        if oldest < since - _CLOCK_SKEW or next_token is None:
            return None
        token = {"nextToken": next_token}
    raise Unavailable(f"{job_id} is not among the newest {100 * _PAGES} builds of {project}")


def in_progress(project: str) -> tuple[bool, list[str]]:
    """The builds in progress among the project's newest hundred.

    Whether one of them is Slipway's, and the ids of the others with who started them.
    """
    builds, _ = _newest(project)
    running = [build for build in builds if build["buildStatus"] == "IN_PROGRESS"]
    own = [build for build in running if "JOB_ID" in {v["name"] for v in _variables(build)}]
    return bool(own), [
        f"{build['id']} (started by {build.get('initiator', 'unknown')})"
        for build in running
        if build not in own
    ]


def _newest(project: str, **token: str) -> tuple[list[Any], str | None]:
    """A page of the project's builds, newest first, and the token of the next page."""
    with calling("CodeBuild ListBuildsForProject"):
        listed = client("codebuild").list_builds_for_project(
            projectName=project, sortOrder="DESCENDING", **token
        )
    if not listed["ids"]:
        return [], None
    with calling("CodeBuild BatchGetBuilds"):
        builds = client("codebuild").batch_get_builds(ids=listed["ids"])["builds"]
    return builds, listed.get("nextToken")


def stop(codebuild_id: str) -> None:
    """StopBuild; it has no effect on a build that has ended."""
    with calling("CodeBuild StopBuild"):
        client("codebuild").stop_build(id=codebuild_id)


def _variables(build: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"type": "PLAINTEXT", **variable}
        for variable in build["environment"].get("environmentVariables", [])
    ]


def _report(build: Mapping[str, Any]) -> BuildReport:
    logs = build.get("logs", {})
    path = f"{logs['groupName']}/{logs['streamName']}" if logs.get("streamName") else None
    exported = build.get("exportedEnvironmentVariables", [])
    failed = _failed_phase(build)
    ended = build.get("endTime")
    return BuildReport(
        id=build["id"],
        status=build["buildStatus"],
        phase=build.get("currentPhase", ""),
        log_path=path,
        left_queue_at=_left_queue_at(build),
        failed_phase=failed.get("phaseType", ""),
        message=without_identities(
            "; ".join(c["message"] for c in failed.get("contexts", []) if c.get("message"))
        ),
        script=build.get("source", {}).get("buildspec", ""),
        ended_at=int(ended.timestamp()) if ended else None,
        exported={variable["name"]: variable.get("value", "") for variable in exported},
    )


def _left_queue_at(build: Mapping[str, Any]) -> int | None:
    """The end of the phase QUEUED (API reference: BuildPhase); None before it, or if it failed."""
    for phase in build.get("phases", []):
        if phase["phaseType"] == "QUEUED" and phase.get("phaseStatus") == "SUCCEEDED":
            return int(phase["endTime"].timestamp())
    return None


def _failed_phase(build: Mapping[str, Any]) -> Mapping[str, Any]:
    for phase in build.get("phases", []):
        if phase.get("phaseStatus", "SUCCEEDED") not in {"SUCCEEDED", "IN_PROGRESS"}:
            return dict(phase)
    return {}
