"""What must be true whatever goes wrong; read from the tables and from AWS, not from the API."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from moto.ecr.models import ecr_backends

from chalicelib import clock
from chalicelib.domain.statuses import has_ended, may_follow
from chalicelib.domain.timing import PERIOD, WATCH
from infra.local.aws import codebuild, ecs
from tests.faults.rows import Row, builds, deployments, rows, services

_OPEN_IN_ECS = {"PENDING", "IN_PROGRESS", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"}
# Once a deployment has them they are what it is.
_FIXED = ("image_digest", "image", "task_definition", "restores", "rollback_of", "created_at")


class Violation(AssertionError):
    """Something that must never be is."""


class Ledger:
    """Watches the rows of jobs from one write to the next."""

    def __init__(self) -> None:
        self._seen: dict[str, Row] = rows("jobs")
        self._violations: list[Violation] = []

    def observe(self) -> None:
        """Compare with the last time.

        Nothing is raised here, in the middle of the product, which might take it for a fault.
        """
        now = rows("jobs")
        try:
            for name, before in self._seen.items():
                _require(name in now, f"{name} is gone")
                if now[name] != before:
                    _compare(name, before, now[name])
        except Violation as violation:
            self._violations.append(violation)
        self._seen = now

    def verdict(self) -> None:
        """Raise the first Violation that was observed, if there was one."""
        if self._violations:
            raise self._violations[0]


def _compare(name: str, before: Row, after: Row) -> None:
    old, new, kind = before["status"], after["status"], before["kind"]
    _require(old == new or may_follow(old, new, kind=kind), f"{name} went from {old} to {new}")
    _require(after["progress"] >= before["progress"], f"progress of {name} fell")
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if has_ended(old):
        _require(old != new, f"{name} had ended {old}, and {sorted(changed)} changed")
        _require(changed <= {"status", "version"}, f"{name} was {old}; {sorted(changed)} changed")
    for key in _FIXED:
        _require(key not in before or key not in changed, f"{key} of {name} changed")


def check() -> None:
    """What is true at any moment; raises Violation."""
    jobs, all_services = rows("jobs"), services()
    releases, made = deployments(jobs), builds(jobs)
    for service in all_services.values():
        _check_active(service, releases)
    for name, job in jobs.items():
        if not has_ended(job["status"]):
            _check_open(name, job, all_services[job["service_id"]])
        done = job["status"] in {"success", "rolled_back"} and job["progress"] == 100
        _require(done or job["progress"] < 100, f"{name} is {job['status']} and at 100 %")
    for service in all_services.values():
        for number in service.get("open_builds", ()):
            known = made.get(number)
            open_ = known is not None and not has_ended(known["status"])
            _require(open_, f"build {number} is counted as open and is not")
    _check_codebuild(jobs)
    _check_rollouts(releases)
    _check_digests(releases, made)
    _check_definitions(releases)


def _check_active(service: Row, known: dict[int, Row]) -> None:
    name, number, waiting = (
        f"service-{service['id']}",
        service.get("active"),
        service.get("waiting"),
    )
    if number is not None:
        active = known.get(number)
        is_open = active is not None and active["status"] in {"queued", "deploying"}
        _require(is_open, f"deployment {number} is active at {name}, and has ended")
        _require("due" in service, f"{name} deploys and is not due")
    if waiting is not None:
        _require(number is not None, f"{waiting} waits at {name} for nobody")
        _require(known[waiting]["status"] == "queued", f"{waiting} waits and is not queued")
    current = service.get("current")
    if current is not None:
        _require(known[current]["status"] == "success", f"what {name} runs is no success")


def _check_open(name: str, job: Row, service: Row) -> None:
    if job["kind"] == "build":
        _require(job["number"] in service.get("open_builds", ()), f"{name} is not counted as open")
        _require("due" in job, f"{name} is open and not due")
    else:
        known = {service.get("active"), service.get("waiting")}
        _require(job["number"] in known, f"{name} is open, and neither active nor waiting")


def _check_codebuild(jobs: dict[str, Row]) -> None:
    started = Counter(job_of(build) for build in in_codebuild())
    for name, times in started.items():
        _require(times == 1, f"{name} was started {times} times in CodeBuild")
        _require(name in jobs, f"CodeBuild runs {name}, which nobody asked for")
    for build in in_codebuild():
        over = has_ended(jobs[job_of(build)]["status"])
        alive = build["buildStatus"] == "IN_PROGRESS"
        _require(not (over and alive), f"{job_of(build)} has ended, and CodeBuild still runs it")


def _check_rollouts(releases: dict[int, Row]) -> None:
    """What failed is not rolled out again by anybody of ours."""
    ours = {row["task_definition"] for row in releases.values() if "task_definition" in row}
    for service in ecs.engine().services():
        failed: set[str] = set()
        for record in reversed(service.records):
            definition = record.target.task_definition
            again = definition in failed and definition in ours
            _require(not again, f"{definition} failed and was rolled out again")
            if record.target.rollout_state == "FAILED":
                failed.add(definition)


def _check_digests(releases: dict[int, Row], made: dict[int, Row]) -> None:
    """Whatever was deployed is what its build made for the service, or was named and exists."""
    for number, deployment in releases.items():
        digest, build = deployment["image_digest"], made.get(deployment.get("build_id", 0))
        if build is not None:
            own = build["service_id"] == deployment["service_id"]
            known = own and build["status"] == "success" and build["image_digest"] == digest
            _require(known, f"deployment {number} is of no build of its service")
        else:
            by_itself = deployment["trigger"] == "push"
            _require(not by_itself, f"deployment {number} is of no build of its service")
            held = digest in _digests_in_ecr(deployment["image_repository"])
            _require(held, f"the image of deployment {number} does not exist")


def _digests_in_ecr(repository: str) -> set[str]:
    images = ecr_backends["123456789012"]["eu-west-1"].repositories[repository].images
    return {image.get_image_digest() for image in images}


def _check_definitions(releases: dict[int, Row]) -> None:
    """What a deployment rolls out is its image, by digest."""
    for number, deployment in releases.items():
        if "task_definition" in deployment:
            containers = ecs.engine().containers(deployment["task_definition"])
            image = deployment["image"]
            _require(image.endswith(f"@{deployment['image_digest']}"), f"{image} is another image")
            runs = image in {container["image"] for container in containers}
            _require(runs, f"the definition of deployment {number} does not run {image}")


def check_settled(accepted: set[str]) -> None:
    """What is true when faults have stopped and everything had its time; raises Violation.

    `accepted` are the jobs that some answer of the API has promised.
    """
    check()
    jobs = rows("jobs")
    missing = accepted - jobs.keys()
    _require(not missing, f"accepted and nowhere: {sorted(missing)}")
    for name, job in jobs.items():
        _require(has_ended(job["status"]), f"{name} is still {job['status']}: {job.get('error')}")
    for service in services().values():
        _check_at_rest(service)
    _check_deliveries()


def _check_deliveries() -> None:
    """A delivery that has started a build says so, to all who may see it."""
    receipts = rows("receipts")
    for number, build in builds().items():
        if "delivery" in build:
            delivery, service, project = (
                build[name] for name in ("delivery", "service_id", "project_id")
            )
            for who in ("all", f"service-{service}", f"project-{project}"):
                noted = receipts.get(f"delivery:{who}:{delivery}", {})
                said = {json.loads(verdict)["build_id"] for verdict in noted.get("verdicts", ())}
                told = f"delivery {delivery} does not tell {who} that it started {number}"
                _require(number in said, told)


def _check_at_rest(service: Row) -> None:
    name = f"service-{service['id']}"
    _require("active" not in service and "waiting" not in service, f"{name} is not at rest")
    if service["settings"]["ecs_service"] is None or "deleted_at" in service:
        return
    if "drift" in service:
        _check_drift(service)
        return
    wanted = _wanted(service)
    if wanted is not None:
        _require(is_watched(service), f"{name} is neither at rest nor under way")
        runs = _primary(service)
        _require(wanted == runs, f"{name} should run {wanted} and runs {runs}")


def _check_drift(service: Row) -> None:
    """What is shown is so, and is looked at again."""
    name, text = f"service-{service['id']}", service["drift"]
    _require(is_watched(service), f"{name} shows {text!r} and is not watched")
    theirs = re.fullmatch(r"ECS runs (\S+), which was not deployed by Slipway", text)
    if theirs is not None:
        runs = _primary(service)
        _require(runs == theirs[1], f"{name} shows {text!r} and runs {runs}")
        ours = {row.get("task_definition") for row in deployments().values()}
        _require(runs not in ours, f"{name} shows {text!r}, and it was")
        return
    _require(": " in text, f"{name} shows {text!r}, which says nothing")


def check_replaced() -> None:
    """What an ended deployment had rolled out is not what ECS is told to run."""
    own = {
        row["task_definition"]: row for row in deployments().values() if "task_definition" in row
    }
    for service in services().values():
        if {"active", "drift", "deleted_at"} & service.keys():
            continue
        if service["settings"]["ecs_service"] is None:
            continue
        row = own.get(_primary(service))
        current = row is None or row["number"] == service.get("current")
        wanted = current or service.get("baseline") == _primary(service)
        _require(wanted, f"{row and row['id']} is {row and row['status']} and is still rolled out")


def _primary(service: Row) -> Any:
    settings = service["settings"]
    found = ecs.engine().service(settings["ecs_cluster"], settings["ecs_service"])
    return found.deployments[0].task_definition


def is_watched(service: Row) -> bool:
    """Whether nothing is to be done but to see now and then that nobody else changed it."""
    again = service.get("due_at", 0) - clock.now()
    return "due" in service and "called_at" not in service and 2 * PERIOD < again <= WATCH


def _wanted(service: Row) -> str | None:
    current = service.get("current")
    if current is None:
        return service.get("baseline")
    definition: str = deployments()[current]["task_definition"]
    return definition


def moving(service: Any) -> Iterator[Any]:
    """The rollouts of an ECS service that have not ended."""
    return (record for record in service.records if record.status in _OPEN_IN_ECS)


def in_codebuild() -> list[Any]:
    """Every build that CodeBuild ever started."""
    return list(codebuild.engine()._builds.values())


def job_of(build: Any) -> str:
    """The job that a CodeBuild build was started for."""
    variables = build["environment"]["environmentVariables"]
    return str(next(each["value"] for each in variables if each["name"] == "JOB_ID"))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)
