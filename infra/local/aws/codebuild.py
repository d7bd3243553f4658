"""An engine for CodeBuild. It replaces moto's, in which every build succeeds when it is first read.

An engine keeps projects and builds for one account and region. The API (through boto3) starts,
reads and stops builds. An agent or a test advances them with `claim`, `phase` and `finish`. By
itself a build ends only at its timeout.

At `account_limit` running builds, further ones stay in the phase QUEUED until there is room, at
most for their queued time-out (User Guide, "Builds in AWS CodeBuild").
"""

import json
import pickle
import threading
import uuid
from collections.abc import Callable
from typing import Any

from moto.codebuild.exceptions import (
    InvalidInputException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from moto.codebuild.models import codebuild_backends
from moto.codebuild.responses import CodeBuildResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult

from infra.local.aws import clock
from infra.local.aws.codebuild_events import Build, phase_change, state_change

PHASES = (
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
    "COMPLETED",
)
ACTIONS = (
    "create_project",
    "batch_get_projects",
    "start_build",
    "batch_get_builds",
    "list_builds_for_project",
    "stop_build",
)
PAGE_SIZE = 100
TOKEN_LIFETIME = 300
FAILURE_CODES = {"FAILED": "COMMAND_EXECUTION_ERROR", "TIMED_OUT": "BUILD_TIMED_OUT"}

_engines = threading.Lock()


class AccountLimitExceeded(JsonRESTError):
    """The project already runs as many builds as its concurrentBuildLimit allows."""

    def __init__(self, message: str) -> None:
        super().__init__("AccountLimitExceededException", message)


def install() -> None:
    """Make moto's CodeBuild use the engine. Actions that the engine lacks are refused."""
    for action in ACTIONS:
        setattr(CodeBuildResponse, action, _handler(action))
    for action in {"list_builds", "list_projects", "delete_project"} & set(vars(CodeBuildResponse)):
        delattr(CodeBuildResponse, action)


def engine(region: str = "eu-west-1", account: str = "123456789012") -> "Engine":
    """The engine of one account and region. A reset of moto replaces it with an empty one."""
    backend = codebuild_backends[account][region]
    with _engines:
        if "engine" not in vars(backend):
            vars(backend)["engine"] = Engine(region, account)
        found: Engine = vars(backend)["engine"]
        return found


def _handler(action: str) -> Callable[[CodeBuildResponse], ActionResult]:
    def handle(self: CodeBuildResponse) -> ActionResult:
        runner = engine(self.region, self.current_account)
        return ActionResult(runner.call(action, json.loads(self.body)))

    return handle


class Engine:
    """Projects and builds. Any thread may call the public methods."""

    def __init__(self, region: str, account: str) -> None:
        self.region = region
        self.account = account
        self.account_limit: int | None = None
        self.events: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._projects: dict[str, dict[str, Any]] = {}
        self._builds: dict[str, Build] = {}
        self._tokens: dict[str, tuple[float, dict[str, Any], str]] = {}

    def call(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run an API action by name. The answer is a copy: agents keep changing the build."""
        with self._lock:
            answer: dict[str, Any] = _copied(getattr(self, action)(request))
            return answer

    # The API, with AWS's requests and answers.

    def create_project(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            arn = self._arn("project", request["name"])
            if request["name"] in self._projects:
                raise ResourceAlreadyExistsException(f"Project already exists: {arn}")
            defaults = {"timeoutInMinutes": 60, "queuedTimeoutInMinutes": 480}
            times = {"created": clock.now(), "lastModified": clock.now()}
            self._projects[request["name"]] = {**defaults, **request, **times, "arn": arn}
            return {"project": self._projects[request["name"]]}

    def batch_get_projects(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            names = [name.rsplit("project/", 1)[-1] for name in request["names"]]
            found = [self._projects[name] for name in names if name in self._projects]
            missing = [name for name in names if name not in self._projects]
            return {"projects": found, "projectsNotFound": missing}

    def start_build(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.expire()
            project = self._project(request["projectName"])
            repeated = self._started_by_token(request)
            if repeated is not None:
                return {"build": repeated}
            self._check_limit(project)
            build = self._new_build(project, request)
            self._builds[build["id"]] = build
            if "idempotencyToken" in request:
                self._tokens[request["idempotencyToken"]] = (clock.now(), request, build["id"])
            return {"build": build}

    def batch_get_builds(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            self.expire()
            ids = [_build_id(name) for name in request["ids"]]
            found = [self._builds[name] for name in ids if name in self._builds]
            return {
                "builds": found,
                "buildsNotFound": [name for name in ids if name not in self._builds],
            }

    def list_builds_for_project(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            name = self._project(request["projectName"])["name"]
            ids = [build["id"] for build in self._builds.values() if build["projectName"] == name]
            if request.get("sortOrder", "DESCENDING") == "DESCENDING":
                ids.reverse()
            start = int(request.get("nextToken", "0"))
            page = {"ids": ids[start : start + PAGE_SIZE]}
            more = start + PAGE_SIZE < len(ids)
            return {**page, "nextToken": str(start + PAGE_SIZE)} if more else page

    def stop_build(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            build_id = _build_id(request["id"])
            if build_id not in self._builds:
                raise ResourceNotFoundException(f"Build {build_id} does not exist")
            self.finish(build_id, "STOPPED")
            return {"build": self._builds[build_id]}

    # The internal side of CodeBuild, driven by an agent or a test.

    def claim(self) -> Build | None:
        """Give the oldest queued build to exactly one caller.

        None if the queue is empty or the account runs as many builds as it may.
        """
        with self._lock:
            self.expire()
            if self.account_limit is not None and self._running() >= self.account_limit:
                return None
            queued = (build for build in self._builds.values() if build["currentPhase"] == "QUEUED")
            build = next(queued, None)
            if build is None:
                return None
            self._enter(build, "PROVISIONING", "SUCCEEDED", "")
            copy: Build = _copied(build)
            return copy

    def alive(self, build_id: str) -> bool:
        """Whether the build still runs: not ended, stopped or timed out."""
        with self._lock:
            self.expire()
            return build_id in self._builds and not self._builds[build_id]["buildComplete"]

    def phase(
        self, build_id: str, phase: str, *, previous: str = "SUCCEEDED", message: str = ""
    ) -> bool:
        """Close the current phase and enter `phase`. False if the build has already ended."""
        with self._lock:
            if not self.alive(build_id):
                return False
            self._enter(self._builds[build_id], phase, previous, message)
            return True

    def run_into(self, build_id: str, phase: str) -> None:
        """Enter all phases that are missing up to `phase`, one after the other."""
        current = PHASES.index(self._builds[build_id]["currentPhase"])
        for name in PHASES[current + 1 : PHASES.index(phase) + 1]:
            self.phase(build_id, name)

    def finish(
        self,
        build_id: str,
        status: str,
        *,
        message: str = "",
        exported: dict[str, str] | None = None,
    ) -> bool:
        """End a build. False if it has already ended.

        The current phase gets the build's status, unless an earlier phase already failed.
        """
        with self._lock:
            if not self.alive(build_id):
                return False
            self._end(self._builds[build_id], status, message, exported or {})
            return True

    def run_to(
        self,
        build_id: str,
        status: str = "SUCCEEDED",
        *,
        fail_phase: str = "BUILD",
        message: str = "Error while executing command: false. Reason: exit status 1",
        exported: dict[str, str] | None = None,
    ) -> None:
        """Move a build through its remaining phases to its end. A failure is in `fail_phase`."""
        succeeds = status == "SUCCEEDED"
        end = PHASES.index("COMPLETED") if succeeds else PHASES.index(fail_phase) + 1
        self.run_into(build_id, PHASES[end - 1])
        self.finish(build_id, status, message="" if succeeds else message, exported=exported)

    def expire(self) -> None:
        """Time out builds that have been queued or running for too long."""
        with self._lock:
            for build in self._builds.values():
                if not build["buildComplete"] and clock.now() > _deadline(build):
                    self._end(build, "TIMED_OUT", "Build has timed out. ", {})

    def drain_events(self) -> list[dict[str, Any]]:
        """The events since the last call, oldest first."""
        with self._lock:
            events, self.events = self.events, []
            return events

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:codebuild:{self.region}:{self.account}:{kind}/{name}"

    def _project(self, name: str) -> dict[str, Any]:
        project = self._projects.get(name.rsplit("project/", 1)[-1])
        if project is None:
            raise ResourceNotFoundException(
                f"Project cannot be found: {self._arn('project', name)}"
            )
        return project

    def _started_by_token(self, request: dict[str, Any]) -> Build | None:
        clock.forget_old(self._tokens, TOKEN_LIFETIME)
        used = self._tokens.get(request.get("idempotencyToken", ""))
        if used is None:
            return None
        if used[1] != request:
            raise InvalidInputException("The idempotency token was used with other parameters")
        return self._builds[used[2]]

    def _running(self) -> int:
        """The account's builds that have left the queue and have not ended."""
        return sum(
            build["currentPhase"] != "QUEUED" and not build["buildComplete"]
            for build in self._builds.values()
        )

    def _check_limit(self, project: dict[str, Any]) -> None:
        limit = project.get("concurrentBuildLimit")
        active = sum(
            build["projectName"] == project["name"] and not build["buildComplete"]
            for build in self._builds.values()
        )
        if limit is not None and active >= limit:
            raise AccountLimitExceeded(
                f"Cannot have more than {limit} active builds for the project"
            )

    def _new_build(self, project: dict[str, Any], request: dict[str, Any]) -> Build:
        now, unique = clock.now(), str(uuid.uuid4())
        build_id = f"{project['name']}:{unique}"
        earlier = sum(b["projectName"] == project["name"] for b in self._builds.values())
        buildspec = request.get("buildspecOverride", project["source"].get("buildspec", ""))
        minutes = {
            name: request.get(f"{name}Override", project[name])
            for name in ("timeoutInMinutes", "queuedTimeoutInMinutes")
        }
        return {
            "id": build_id,
            "arn": self._arn("build", build_id),
            "buildNumber": earlier + 1,
            "projectName": project["name"],
            "startTime": now,
            "currentPhase": "QUEUED",
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "phases": [
                {"phaseType": "SUBMITTED", "startTime": now, **_closed("SUCCEEDED", now, now)},
                {"phaseType": "QUEUED", "startTime": now},
            ],
            "source": {**project["source"], "buildspec": buildspec},
            "artifacts": project["artifacts"],
            "environment": _environment(project, request),
            "serviceRole": project["serviceRole"],
            "logs": self._logs(project, request, unique),
            "initiator": "slipway",
            **minutes,
        }

    def _logs(
        self, project: dict[str, Any], request: dict[str, Any], unique: str
    ) -> dict[str, Any]:
        config = request.get("logsConfigOverride", project.get("logsConfig", {}))
        cloudwatch = config.get("cloudWatchLogs", {"status": "ENABLED"})
        group = cloudwatch.get("groupName", f"/aws/codebuild/{project['name']}")
        # AWS appends the build's uuid to the requested stream name.
        prefix = cloudwatch.get("streamName")
        stream = f"{prefix}/{unique}" if prefix else unique
        console = f"https://console.aws.amazon.com/cloudwatch/home?region={self.region}"
        return {
            "groupName": group,
            "streamName": stream,
            "deepLink": f"{console}#logEvent:group={group};stream={stream}",
            "cloudWatchLogs": cloudwatch,
        }

    def _enter(self, build: Build, phase: str, previous: str, message: str) -> None:
        if PHASES.index(phase) <= PHASES.index(build["currentPhase"]):
            raise ValueError(f"{phase} cannot follow {build['currentPhase']}")
        now, last = clock.now(), build["phases"][-1]
        last.update(_closed(previous, last["startTime"], now, message))
        build["phases"].append({"phaseType": phase, "startTime": now})
        build["currentPhase"] = phase
        event = phase_change(build, last, region=self.region, account=self.account)
        self.events.append(_copied(event))
        if phase == "PROVISIONING":
            self._publish_state(build)

    def _end(self, build: Build, status: str, message: str, exported: dict[str, str]) -> None:
        failed_before = any(phase.get("phaseStatus") == "FAILED" for phase in build["phases"])
        last_status = "SUCCEEDED" if failed_before and status == "FAILED" else status
        build.update(buildStatus=status, buildComplete=True, endTime=clock.now())
        build["exportedEnvironmentVariables"] = [
            {"name": name, "value": value} for name, value in exported.items()
        ]
        self._enter(build, "COMPLETED", last_status, message)
        self._publish_state(build)

    def _publish_state(self, build: Build) -> None:
        event = state_change(build, region=self.region, account=self.account)
        self.events.append(_copied(event))


def _copied(value: Any) -> Any:
    """A deep copy of plain values; `copy.deepcopy` takes ten times as long."""
    return pickle.loads(pickle.dumps(value))


def _build_id(name: str) -> str:
    return name.rsplit("build/", 1)[-1]


def _closed(status: str, start: float, end: float, message: str = "") -> dict[str, Any]:
    closed = {"phaseStatus": status, "endTime": end, "durationInSeconds": int(end - start)}
    if message:
        code = FAILURE_CODES.get(status, status)
        closed["contexts"] = [{"statusCode": code, "message": message}]
    return closed


def _deadline(build: Build) -> float:
    """The queue has its own limit. The build's limit starts when the build leaves the queue."""
    queued = build["currentPhase"] == "QUEUED"
    minutes = build["queuedTimeoutInMinutes" if queued else "timeoutInMinutes"]
    start: float = build["startTime"] if queued else build["phases"][2]["startTime"]
    return start + 60 * float(minutes)


def _environment(project: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    overrides = request.get("environmentVariablesOverride", [])
    replaced = {variable["name"] for variable in overrides}
    kept = [
        variable
        for variable in project["environment"].get("environmentVariables", [])
        if variable["name"] not in replaced
    ]
    return {**project["environment"], "environmentVariables": kept + overrides}
