"""The invariants that hold under every fault, checked in the tables and in AWS, not in the API."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import combinations
from operator import itemgetter
from typing import Any

from moto.ecr.models import ecr_backends
from moto.sns.models import sns_backends

from chalicelib import clock
from chalicelib.domain.definitions import fingerprint
from chalicelib.domain.heads import SAME
from chalicelib.domain.metrics import bucket_of
from chalicelib.domain.release_receipts import hash_of
from chalicelib.domain.statuses import has_ended, may_follow, unhappy_end
from chalicelib.domain.timing import PERIOD, SOON, WATCH
from infra.local.aws import codebuild, ecs
from infra.local.aws.ecs_records import OPEN
from infra.local.aws.ecs_run_task import overridden
from tests.faults import receivers
from tests.faults.rows import Row, builds, deployments, history, roll_ups, rows, services
from tests.faults.traffic import check_hooks, check_traffic, check_traffic_at_rest

# The keys of the indexes of ends.
_ENDS = {"end", "project_end", "service_end"}
# Attributes of a job that never change once they are set.
_FIXED = (
    "image_digest",
    "image",
    "target",
    "config",
    "task_definition",
    "started_at",
    "restores",
    "rollback_of",
    "created_at",
)
# Attributes that say what channels know of a row, and the mark of each such write. They change also
# after the end of a job.
_TOLD = frozenset({"telling", "tell_at", "news_at", "told", "mark"})


class Violation(AssertionError):
    """An invariant does not hold."""


class Ledger:
    """Compares the rows of jobs before and after each write, and looks at the traffic meanwhile.

    `others` are the ARNs of the service deployments that another party has made in ECS.
    """

    def __init__(self) -> None:
        self.others: Collection[str] = ()
        self._seen: dict[str, Row] = rows("jobs")
        self._violations: list[Violation] = []
        # Each job with a status that it has had since then.
        self._told_before = len(published())
        self._statuses = {(name, row["status"]) for name, row in self._seen.items()}

    def observe(self) -> None:
        """Compare the rows with those of the last call, and keep a Violation for later.

        It raises nothing, because it runs inside the product, which could catch the error.
        """
        now = rows("jobs")
        try:
            for job_id, before in self._seen.items():
                _require(job_id in now, f"the row of {job_id} is gone")
                if now[job_id] != before:
                    _compare(job_id, before, now[job_id])
        except Violation as violation:
            self._violations.append(violation)
        self._seen = now
        self._statuses |= {(name, row["status"]) for name, row in now.items()}

    def watch(self) -> None:
        """Look at the traffic after a call of ECS, and keep a Violation for later."""
        problem = check_traffic(deployments(), self.others)
        if problem is not None:
            self._violations.append(Violation(problem))

    def raise_first(self) -> None:
        """Raise the first Violation that was observed, if any."""
        if self._violations:
            raise self._violations[0]
        for told in published()[self._told_before :]:
            if "job_id" in told:
                known = (told["job_id"], told["status"]) in self._statuses
                _require(known, f"{told['job_id']} was told to be {told['status']}, and never was")


def _compare(job_id: str, before: Row, after: Row) -> None:
    old, new, kind = before["status"], after["status"], before["kind"]
    _require(old == new or may_follow(old, new, kind=kind), f"{job_id} went from {old} to {new}")
    _require(after["progress"] >= before["progress"], f"progress of {job_id} fell")
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if has_ended(old):
        # A migration may add an ended job to the indexes of ends.
        joined = "end" not in before and changed <= _ENDS | {"mark", "version"}
        told = changed <= {"version", *_TOLD}
        is_as_before = old == new and not joined and not told
        _require(not is_as_before, f"{job_id} had ended as {old}, and {sorted(changed)} changed")
        also = [] if joined else sorted(changed - {"status", "version", *_TOLD} - _ENDS)
        _require(not also, f"{job_id} went from {old} to {new}, and {also} changed")
    # A failed image is not rolled out again by a change of the config.
    may_change = {"image", "image_digest"} if _waits_with_a_config(before) else set()
    for key in set(_FIXED) - may_change:
        _require(key not in before or key not in changed, f"{key} of {job_id} changed")


def _waits_with_a_config(job: Row) -> bool:
    return job["trigger"] == "config" and "task_definition" not in job


def check(others: Collection[str] = ()) -> None:
    """Check the invariants that hold at any moment. Raises Violation.

    `others` are the ARNs of the service deployments that another party has made in ECS.
    """
    jobs, all_services = rows("jobs"), services()
    all_deployments, all_builds = deployments(jobs), builds(jobs)
    for service in all_services.values():
        _check_active(service, all_deployments)
    for job_id, job in jobs.items():
        if not has_ended(job["status"]):
            _check_open(job_id, job, all_services[job["service_id"]])
        done = job["status"] in {"success", "rolled_back"} and job["progress"] == 100
        _require(done or job["progress"] < 100, f"{job_id} is {job['status']} at 100 %")
    for service in all_services.values():
        for number in service.get("open_builds", ()):
            build = all_builds.get(number)
            is_open = build is not None and not has_ended(build["status"])
            _require(is_open, f"build {number} is in open_builds and is not open")
    _check_codebuild(jobs)
    _check_superseded(all_builds)
    _check_pull_requests(all_services, all_builds, all_deployments)
    _check_rollouts(all_deployments, others)
    _require_none(check_traffic(all_deployments, others))
    _check_dependents(all_services, all_builds, all_deployments)
    _check_digests(all_deployments, all_builds)
    _check_definitions(all_deployments)
    _check_configs(all_services, all_deployments)
    _check_commands(all_deployments)
    _check_changes_outside(all_deployments)
    _check_receipts(all_services, all_deployments)
    _check_times(all_builds, all_deployments)
    _check_roll_ups(all_builds, all_deployments)
    for service in all_services.values():
        _check_last_ended(service, all_builds, all_deployments)
    for job_id, job in jobs.items():
        _check_end(job_id, job)


def _check_active(service: Row, all_deployments: dict[int, Row]) -> None:
    row_id, number, waiting = (
        f"service-{service['id']}",
        service.get("active"),
        service.get("waiting"),
    )
    if number is not None:
        active = all_deployments.get(number)
        is_open = active is not None and active["status"] in {"queued", "deploying"}
        _require(is_open, f"the active deployment {number} of {row_id} has ended")
        _require("due" in service, f"{row_id} has an active deployment and is not due")
    if waiting is not None:
        _require(
            number is not None, f"{row_id} has the waiting deployment {waiting} and no active one"
        )
        is_queued = all_deployments[waiting]["status"] == "queued"
        _require(is_queued, f"the waiting deployment {waiting} is not queued")
    checking = service.get("checking")
    if checking is not None:
        row = all_deployments[checking]
        is_queued = row["status"] == "queued" and "checks" in row
        _require(is_queued, f"deployment {checking} of {row_id} does not wait for checks")
        _require(checking not in {number, waiting}, f"deployment {checking} is in line, too")
        _require("due" in service, f"deployment {checking} waits for checks, {row_id} is not due")
    if number is not None or checking is not None:
        # The lists of open deployments look only at services that are due soon.
        is_soon = service["due_at"] <= clock.now() + SOON
        _require(is_soon, f"{row_id} has an open deployment and is due at {service['due_at']}")
    current = service.get("current")
    if current is not None:
        has_succeeded = all_deployments[current]["status"] == "success"
        _require(has_succeeded, f"the current release {current} of {row_id} is not a success")


def _check_end(job_id: str, job: Row) -> None:
    """A job is in no index of other ends. Only rows of the version before are missing there."""
    end = unhappy_end(job["kind"], job["status"], job["progress"])
    if "end" in job:
        of = (job["end"], job["project_end"], job["service_end"])
        wanted = (end, f"{job['project_id']}#{end}", f"{job['service_id']}#{end}")
        _require(of == wanted, f"{job_id} is listed among {of} and ended as {end}")


def _check_open(job_id: str, job: Row, service: Row) -> None:
    if job["kind"] == "build":
        is_listed = job["number"] in service.get("open_builds", ())
        _require(is_listed, f"{job_id} is open and not in open_builds")
        _require("due" in job, f"{job_id} is open and not due")
    else:
        open_deployments = {service.get(name) for name in ("active", "waiting", "checking")}
        if "checks" in job:
            is_aside = job["number"] == service.get("checking")
            _require(is_aside, f"{job_id} has begun, and still waits for checks")
        is_listed = job["number"] in open_deployments
        _require(is_listed, f"{job_id} is open, and neither active nor waiting")
        settings, target = service["settings"], job.get("target")
        goes_to = target and (target["cluster"], target["service"])
        same = goes_to in {None, (settings["ecs_cluster"], settings["ecs_service"])}
        _require(same, f"{job_id} is open and goes to {goes_to}, which is not the service's target")


def _check_last_ended(
    service: Row, all_builds: dict[int, Row], all_deployments: dict[int, Row]
) -> None:
    """A service names the build and the deployment that ended last.

    A build of a pull request says nothing about the service, so it is not named.
    """
    of_service = {number: row for number, row in all_builds.items() if "pull_request" not in row}
    for name, jobs in (("last_build", of_service), ("last_deployment", all_deployments)):
        own = [job for job in jobs.values() if job["service_id"] == service["id"]]
        ends = [job["finished_at"] for job in own if has_ended(job["status"])]
        last = service.get(name)
        is_right = last is not None and jobs[last]["finished_at"] == max(ends)
        _require(is_right if ends else last is None, f"{name} of service {service['id']} is {last}")
    own = [job for job in all_deployments.values() if job["service_id"] == service["id"]]
    moves = [each["at"] for each in history() if _is_move(each)]
    known = service.get("failed_deployment")
    wrong = f"failed_deployment of service {service['id']} is {known}"
    _require(known in _failed(own, moves), wrong)
    is_waiting = known is not None or "failing_since" not in service
    _require(is_waiting, f"service {service['id']} waits for a success and has not failed")


def _failed(own: list[Row], moves: list[int]) -> set[int | None]:
    """The deployments that may be the newest failed one since the last success.

    Rows do not show the order of two ends in one second.
    """
    begin = max([*(row["finished_at"] for row in own if _has_succeeded(row)), *moves], default=0)
    failed = [row for row in own if row["status"] == "failed" and row["finished_at"] >= begin]
    newest = max((row["finished_at"] for row in failed), default=0)
    found: set[int | None] = {row["number"] for row in failed if row["finished_at"] == newest}
    return found | ({None} if newest <= begin else set())


def _check_codebuild(jobs: dict[str, Row]) -> None:
    started = Counter(job_id_of(build) for build in codebuild_builds())
    for job_id, times in started.items():
        _require(times == 1, f"{job_id} was started {times} times in CodeBuild")
        _require(job_id in jobs, f"CodeBuild runs {job_id}, which has no row")
    for job_id in started:
        superseded = jobs[job_id]["status"] == "superseded"
        _require(not superseded, f"{job_id} is superseded and was started in CodeBuild")
    for build in codebuild_builds():
        over = has_ended(jobs[job_id_of(build)]["status"])
        runs = build["buildStatus"] == "IN_PROGRESS"
        _require(not (over and runs), f"{job_id_of(build)} has ended, and CodeBuild still runs it")


def _check_pull_requests(
    all_services: dict[int, Row], all_builds: dict[int, Row], all_deployments: dict[int, Row]
) -> None:
    """A build of a pull request has no secrets, writes no cache, and is never deployed."""
    pulls = {number: row for number, row in all_builds.items() if "pull_request" in row}
    for number, build in pulls.items():
        given = [name for name in ("secrets", "also_push_to") if build["settings"].get(name)]
        _require(not given, f"build {number} of a pull request has {given}")
        _require("cache_to" not in build, f"build {number} of a pull request writes a cache")
    for number, row in all_deployments.items():
        is_pull = row.get("build_id") in pulls
        _require(not is_pull, f"deployment {number} is of a pull request")
    for service in all_services.values():
        own = {number for number, row in pulls.items() if row["service_id"] == service["id"]}
        wanted = own & set(service.get("open_builds", ()))
        known = set(service.get("open_pulls", ()))
        _require(known == wanted, f"open_pulls of service {service['id']} are {known}")


def _check_superseded(all_builds: dict[int, Row]) -> None:
    """A later push to the same branch of the same service replaced a superseded build."""
    for number, build in all_builds.items():
        if build["status"] != "superseded":
            continue
        newer = all_builds[build["superseded_by"]]
        same = all(newer[name] == build[name] for name in ("service_id", "git_ref"))
        later = _push_order(newer) > _push_order(build)
        _require(same and later, f"build {newer['number']} does not supersede build {number}")


def _push_order(build: Row) -> tuple[int, str]:
    """Each push of a story has a later commit than the push before."""
    return build["pushed_at"], build["commit_sha"]


def _check_rollouts(all_deployments: dict[int, Row], others: Collection[str]) -> None:
    """Slipway never rolls out a task definition again after its rollout failed."""
    registered = {
        row["task_definition"] for row in all_deployments.values() if "task_definition" in row
    }
    for service in ecs.engine().services():
        failed: set[str] = set()
        for record in reversed(service.records):
            definition = record.target.task_definition
            is_own = definition in registered and record.service_deployment_arn not in others
            again = definition in failed and is_own
            _require(not again, f"{definition} failed and was rolled out again")
            if record.target.rollout_state == "FAILED":
                failed.add(definition)


def _check_dependents(
    all_services: dict[int, Row], all_builds: dict[int, Row], all_deployments: dict[int, Row]
) -> None:
    """A source lists its dependents, and each successful build the effect on each of them.

    That is a deployment of the build, or a reason. A dependent has no builds of its own, and has
    the repositories of its source.
    """
    for number, service in all_services.items():
        source = None if "deleted_at" in service else service["settings"].get("image_from")
        lists = {row["id"] for row in all_services.values() if number in row.get("dependents", ())}
        expected = set() if source is None else {source}
        _require(lists == expected, f"service {number} is listed by {lists}, not by {expected}")
        builds_nothing = source is None or "open_builds" not in service
        _require(builds_nothing, f"service {number} has image_from and open builds")
        of_source = all_services[source] if source is not None else service
        for name in ("git_url", "image_repository"):
            same = service["settings"][name] == of_source["settings"][name]
            _require(same, f"service {number} has another {name} than its source {source}")
    for number, build in all_builds.items():
        effects = {build["service_id"]: build} if build["status"] == "success" else {}
        for entry in json.loads(build.get("dependents", "[]")):
            effects[entry["service_id"]] = entry
        for service_id, entry in effects.items():
            made = all_deployments.get(entry.get("deployment_id") or 0, {})
            ids = (made.get("service_id"), made.get("build_id"))
            deployed = ids == (service_id, number) and not entry.get("not_deployed")
            left = not made and bool(entry.get("not_deployed"))
            one = f"build {number} has neither a deployment nor a reason for service {service_id}"
            _require(deployed or left, one)
        for service_id, service in all_services.items():
            is_dependent = service["settings"].get("image_from") == build["service_id"]
            joined = service["updated_at"] < build.get("finished_at", 0)
            if is_dependent and joined and effects and "deleted_at" not in service:
                unnamed = f"build {number} does not name service {service_id}"
                _require(service_id in effects, unnamed)
    for number, deployment in all_deployments.items():
        if deployment["trigger"] == "push":
            build = all_builds[deployment["build_id"]]
            entries = [build, *json.loads(build.get("dependents", "[]"))]
            named = number in {entry.get("deployment_id") for entry in entries}
            _require(named, f"build {build['number']} does not name deployment {number}")


def _check_digests(all_deployments: dict[int, Row], all_builds: dict[int, Row]) -> None:
    """A deployment has the digest of a successful build of its service or of the source of its
    images, or one that is in ECR.

    A deployment that a push triggered always has a build.
    """
    for number, deployment in all_deployments.items():
        digest, build = deployment["image_digest"], all_builds.get(deployment.get("build_id", 0))
        if build is not None:
            settings = services()[deployment["service_id"]]["settings"]
            builders = {deployment["service_id"], settings.get("image_from")}
            own = build["service_id"] in builders
            known = own and build["status"] == "success" and build["image_digest"] == digest
            _require(known, f"no build of its service made the image of deployment {number}")
            for name in ("commit_sha", "commit_message", "author"):
                same = deployment.get(name) == build.get(name)
                _require(same, f"deployment {number} has another {name} than its build")
        else:
            automatic = deployment["trigger"] == "push"
            _require(not automatic, f"deployment {number} comes from a push and has no build")
            exists = digest in _digests_in_ecr(deployment["image_repository"])
            _require(exists, f"the image of deployment {number} is not in ECR")


def _digests_in_ecr(repository: str) -> set[str]:
    images = ecr_backends["123456789012"]["eu-west-1"].repositories[repository].images
    return {image.get_image_digest() for image in images}


def _check_definitions(all_deployments: dict[int, Row]) -> None:
    """The task definition of a deployment runs its image, by digest, and its content is kept.

    A rollback has the definition and the ECS service of the release that it restores.
    """
    claims = rows("claims")
    for number, deployment in all_deployments.items():
        if "task_definition" in deployment:
            containers = ecs.engine().containers(deployment["task_definition"])
            image, digest = deployment["image"], deployment["image_digest"]
            _require(image.endswith(f"@{digest}"), f"{image} does not have the digest {digest}")
            runs = image in {container["image"] for container in containers}
            _require(runs, f"the task definition of deployment {number} does not run {image}")
        if "task_definition" in deployment and "target" in deployment:
            kept = claims[f"task-definition:{deployment['task_definition']}"].get("definition")
            same = fingerprint(json.loads(kept or "{}")) == deployment["fingerprint"]
            _require(same, f"the task definition of deployment {number} is not kept as registered")
        if "task_definition" in deployment and "restores" in deployment:
            restored = all_deployments[deployment["restores"]]
            same = restored["fingerprint"] == deployment["fingerprint"]
            _require(same, f"deployment {number} does not restore the definition of its release")
            if "target" in restored:
                same = restored["target"] == deployment["target"]
                _require(same, f"deployment {number} has another target than its release")


def _check_configs(all_services: dict[int, Row], all_deployments: dict[int, Row]) -> None:
    """The definition of a deployment has exactly the config of its row, and no change is left out.

    In these stories no owner has a variable of a name that a config ever had.
    """
    claims = rows("claims")
    known = {number: _variables(service.get("config")) for number, service in all_services.items()}
    for deployment in all_deployments.values():
        known[deployment["service_id"]] |= _variables(deployment.get("config"))
    for number, deployment in all_deployments.items():
        if "task_definition" not in deployment or "target" not in deployment:
            continue
        names, config = known[deployment["service_id"]], deployment.get("config", {})
        for container in ecs.engine().containers(deployment["task_definition"]):
            if container["name"] not in deployment["target"]["containers"]:
                continue
            entries = [*container.get("environment", ()), *container.get("secrets", ())]
            found = {each["name"]: each.get("value", each.get("valueFrom")) for each in entries}
            found = {each: value for each, value in found.items() if each in names}
            same = found == _variables(config)
            _require(same, f"the definition of deployment {number} has another config than its row")
        kept = claims[f"task-definition:{deployment['task_definition']}"].get("definition")
        for size in ("cpu", "memory"):
            wanted = config.get(size)
            fits = wanted is None or json.loads(kept or "{}").get(size) == str(wanted)
            _require(fits, f"the definition of deployment {number} has another {size} than its row")
    changes = {
        entry["service_id"]: json.loads(entry["details"])["deployment_id"]
        for entry in sorted(history(), key=itemgetter("sequence"))
        if entry["action"] == "service.config_changed"
    }
    for service, brings in changes.items():
        deployment = all_deployments.get(brings, {})
        wanted = _variables(all_services[service].get("config"))
        has_it = "task_definition" not in deployment or _variables(deployment["config"]) == wanted
        _require(has_it, f"deployment {brings} has begun without the newest change of the config")


def _variables(config: Row | None) -> dict[str, str]:
    return {**(config or {}).get("environment", {}), **(config or {}).get("secrets", {})}


def _check_commands(all_deployments: dict[int, Row]) -> None:
    """A release command runs at most once for each deployment, and only those of open ones.

    ECS runs the definition of a deployment only after its command has succeeded. No two commands
    of a service run at the same time.
    """
    tasks = ecs.engine().launcher.started
    started = Counter(task.started_by for task in tasks)
    twice = sorted(name for name, times in started.items() if times > 1)
    _require(not twice, f"the release command ran twice for {twice}")
    by_definition = _by_definition(all_deployments)
    running = [each for each in tasks if each.last_status == "RUNNING"]
    rolled_out = {
        record.target.task_definition
        for service in ecs.engine().services()
        for record in service.records
    }
    for task in tasks:
        row = by_definition.get(task.task_definition_arn)
        if row is None:  # an answer was lost, or the process died
            continue
        name = f"the release command of {row['id']}"
        _require("release_command" in row and "restores" not in row, f"{name} was not asked for")
        _require(row.get("started_at") is None or _succeeded(task), f"{name} did not succeed")
    for definition in rolled_out & by_definition.keys():
        row = by_definition[definition]
        if "release_command" in row:
            done = [each for each in tasks if each.task_definition_arn == definition]
            succeeded = len(done) == 1 and _succeeded(done[0])
            _require(succeeded, f"{row['id']} was rolled out without its release command")
            code = row["release_command"]["exit_code"]
            _require(code == 0, f"{row['id']} was rolled out with exit code {code}")
    _require(len(running) <= 1, f"{len(running)} release commands run at once")


def _by_definition(all_deployments: dict[int, Row]) -> dict[str | None, Row]:
    """The deployment that registered each definition: a rollback that ECS has made has none."""
    newest_first = sorted(all_deployments.values(), key=itemgetter("number"), reverse=True)
    return {row.get("task_definition"): row for row in newest_first}


def _succeeded(task: Any) -> bool:
    codes = [each.exit_code for each in task.containers if each.name == overridden(task)]
    return codes == [0] and task.stop_code == "EssentialContainerExited"


def _check_changes_outside(all_deployments: dict[int, Row]) -> None:
    """The audit trail has one entry for each change outside, and for each rollout that it ended."""
    entries = [details["service_deployment"] for details in changes_outside()]
    twice = [arn for arn, times in Counter(entries).items() if times > 1]
    _require(not twice, f"the audit trail has {twice} twice")
    superseded = {details["superseded"] for details in changes_outside()}
    for number, deployment in all_deployments.items():
        if deployment["status"] == "superseded" and "task_definition" in deployment:
            outside = f"deployment {number} was superseded during its rollout without a change"
            _require(number in superseded, outside)


def _check_receipts(all_services: dict[int, Row], all_deployments: dict[int, Row]) -> None:
    """Each success has a receipt with its proof, and a service's receipts are one chain."""
    receipts = _release_receipts(all_deployments)
    for number, deployment in all_deployments.items():
        receipt, status = receipts.get(number), deployment["status"]
        proven = status != "success" or receipt is not None
        _require(proven, f"deployment {number} is a success without a receipt")
        if receipt is None:
            continue
        is_end = status in {"success", "rolled_back"}
        _require(is_end, f"deployment {number} is {status} and has a receipt")
        _require(hash_of(receipt) == receipt["hash"], f"the receipt of {number} was changed")
        tasks = receipt["tasks"]
        enough = len(tasks) >= receipt["desired_tasks"] or receipt["warnings"] != []
        _require(enough, f"the receipt of deployment {number} does not name all its tasks")
        for task in tasks:
            runs = task["image_digests"] == [deployment["image_digest"]]
            # ECS may report the digest of a manifest of the image index.
            manifests = ecs.engine().fleet.reports_manifests and any(task["image_digests"])
            _require(runs or manifests, f"a task of deployment {number} runs another image")
    for number, service in all_services.items():
        own = {each for each, receipt in receipts.items() if receipt["service_id"] == number}
        head, seen = json.loads(service.get("receipt") or "null"), 0
        while head is not None:
            receipt = receipts[head["deployment_id"]]
            _require(receipt["hash"] == head["hash"], f"the chain of service {number} is broken")
            head, seen = receipt["previous"], seen + 1
        _require(seen == len(own), f"the chain of service {number} has {seen} of {len(own)}")


def _release_receipts(all_deployments: dict[int, Row]) -> dict[int, Row]:
    """The receipts of deployments. Those of the version before have no hash in their key."""
    found, stored = {}, rows("receipts")
    for number, deployment in all_deployments.items():
        own = (f"release:{number}:{deployment.get('receipt')}", f"release:{number}")
        for name in own:
            if name in stored:
                found[number] = json.loads(stored[name]["outcome"])
    return found


def _check_times(all_builds: dict[int, Row], all_deployments: dict[int, Row]) -> None:
    """A success has its lead time and time to restore, by the definitions of docs/metrics.md."""
    for number, row in all_deployments.items():
        build = all_builds.get(row.get("build_id", 0), {})
        pushed = build.get("pushed_at") and min(build["pushed_at"], build["created_at"])
        _require(row.get("pushed_at") == pushed, f"deployment {number} has another push")
        if not _has_succeeded(row):
            continue
        ran = [all_deployments[each] for each in _earlier_successes(number)]
        same_or_earlier = any(_release_order(row) <= _release_order(each) for each in ran)
        lead = row["finished_at"] - pushed if pushed is not None else None
        expected = None if "restores" in row or same_or_earlier else lead
        _require(row.get("lead_seconds") == expected, f"deployment {number} has no lead {expected}")
        known, took = _restores(row, all_deployments), row.get("restore_seconds")
        _require(took in known, f"deployment {number} restored in {took}, not in one of {known}")


def _earlier_successes(number: int) -> Iterator[int]:
    """The deployments that succeeded before this one on its service, by the chain of receipts."""
    receipts = _release_receipts(deployments())
    while receipt := receipts.get(number):
        previous = receipt["previous"]
        if previous is None:
            return
        number = previous["deployment_id"]
        yield number


def _release_order(row: Row) -> tuple[int, int]:
    return row.get("pushed_at", -1), row.get("build_id", 0)


def _has_succeeded(row: Row) -> bool:
    return int(row["progress"]) == 100


def _restores(success: Row, all_deployments: dict[int, Row]) -> set[int | None]:
    """The times to restore that a success may have.

    Rows do not show the order of two ends in one second. Then several times are possible.
    """
    own = [row for row in all_deployments.values() if row["service_id"] == success["service_id"]]
    end = success["finished_at"]
    earlier = [row["finished_at"] for row in own if _has_succeeded(row) and row is not success]
    earlier += [at for at in _fresh_starts(success["service_id"]) if at < end]
    begins = {max((each for each in earlier if each <= end), default=0)}
    # What another party chose in the second of the end may be before it.
    begins |= {end} & set(_fresh_starts(success["service_id"]))
    return set().union(*(_restores_since(begin, success, own) for begin in begins))


def _fresh_starts(service_id: int) -> list[int]:
    """When a service moved to another ECS service, or another party chose what it runs."""
    return [
        entry["at"]
        for entry in history()
        if entry.get("service_id") == service_id
        and (entry["action"] == "service.changed_outside" or _is_move(entry))
    ]


def _is_move(entry: Row) -> bool:
    changed = json.loads(entry["details"]).get("before") or {}
    return entry["action"] == "service.updated" and bool(
        {"ecs_cluster", "ecs_service"} & {*changed}
    )


def _restores_since(begin: int, success: Row, own: list[Row]) -> set[int | None]:
    """The times to restore by the failures that reached ECS since `begin`, and by rollbacks."""
    end = success["finished_at"]
    failed = [
        row
        for row in own
        if row["status"] == "failed" and begin <= row["finished_at"] <= end
        if "started_at" in row or "restores" in row
    ]
    failed.sort(key=lambda row: row["finished_at"])
    certain = [row["finished_at"] for row in failed if begin < row["finished_at"] < end]
    first = [row for row in failed if not certain or row["finished_at"] <= certain[0]]
    since = {row["created_at" if "restores" in row else "finished_at"] for row in first}
    took: set[int | None] = {end - each for each in since}
    if not certain:
        took.add(end - success["created_at"] if "restores" in success else None)
    return took


def _check_roll_ups(all_builds: dict[int, Row], all_deployments: dict[int, Row]) -> None:
    """The roll-ups are exactly a recount of all ended jobs."""
    recount: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def count(row: Row, at: int, names: list[str]) -> None:
        service = row["service_id"]
        for scope in (f"service-{service}", f"project-{row['project_id']}", f"all-{service % 8}"):
            recount[scope, datetime.fromtimestamp(at, UTC).date().isoformat()].update(names)

    for row in all_builds.values():
        if has_ended(row["status"]):
            count(row, row["finished_at"], list(_names_of_build(row)))
    for row in all_deployments.values():
        if has_ended(row["status"]):
            count(row, row["finished_at"], list(_names_of_deployment(row)))
        if row["status"] == "rolled_back" and _has_succeeded(row):
            by = _left_by(row, all_deployments)
            left = ["changes_left"] if "restores" not in row else []
            count(row, by["finished_at"], ["deployments_rolled_back", *left])
    stored: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for (scope, part), counts in roll_ups().items():
        # The version before has rows of its own for the days of services and of projects.
        day, _, service = part.partition("#")
        for each in (scope, *([f"service-{service}"] if service else [])):
            stored[each, day].update(counts)
    wrong = {
        key: {"stored": stored.get(key), "counted": dict(recount.get(key, {}))}
        for key in stored.keys() | recount.keys()
        if stored.get(key) != recount.get(key)
    }
    _require(not wrong, f"roll-ups differ from a recount: {wrong}")


def _left_by(row: Row, all_deployments: dict[int, Row]) -> Row:
    """The rollback that has left a release, or the rollback by which it ran again."""

    def restored_by(each: Row) -> Row:
        while "restores" in each:
            each = all_deployments[each["restores"]]
        return each

    leaving = [
        each
        for each in all_deployments.values()
        if "restores" in each and "replaced" in each and _has_succeeded(each)
    ]
    (first, *_) = [
        each
        for each in sorted(leaving, key=lambda each: int(each["number"]))
        for left in [all_deployments[each["replaced"]]]
        if row is left or (row is restored_by(left) and restored_by(each)["number"] < row["number"])
    ]
    return first


def _names_of_build(row: Row) -> Iterator[str]:
    yield f"builds_{row['status']}"
    if "started_at" in row:
        yield from _names_of_time("queue", row["started_at"] - row["created_at"])
        if row["status"] == "success":
            yield from _names_of_time("build", row["finished_at"] - row["started_at"])


def _names_of_deployment(row: Row) -> Iterator[str]:
    is_success, is_change = _has_succeeded(row), "restores" not in row
    yield f"deployments_{'success' if is_success else row['status']}"
    if is_change and is_success:
        yield "changes_released"
    if is_change and not is_success and row["status"] in {"failed", "rolled_back"}:
        yield "changes_unfit"
    if is_success:
        yield from _names_of_time("deploy", row["finished_at"] - row["started_at"])
        for name in ("lead", "restore"):
            if f"{name}_seconds" in row:
                yield from _names_of_time(name, row[f"{name}_seconds"])


def _names_of_time(name: str, seconds: int) -> Iterator[str]:
    yield f"{name}_{bucket_of(seconds)}"
    yield from [f"{name}_seconds"] * max(0, seconds)


def changes_outside() -> list[Any]:
    """The details of the audit entries on changes outside Slipway."""
    entries = (each for each in history() if each["action"] == "service.changed_outside")
    return [json.loads(each["details"]) for each in entries]


def check_settled(accepted: set[str], others: Collection[str] = (), *, told: bool = True) -> None:
    """Check the invariants that hold once the faults have stopped and all work had time to end.

    `accepted` are the ids of the jobs that the API has accepted, and `others` the ARNs of the
    service deployments that another party has made in ECS. Raises Violation.
    """
    check(others)
    jobs = rows("jobs")
    missing = accepted - jobs.keys()
    _require(not missing, f"accepted jobs without a row: {sorted(missing)}")
    for job_id, job in jobs.items():
        has_end = has_ended(job["status"])
        _require(has_end, f"{job_id} is still {job['status']}: {job.get('error')}")
    _require_none(check_traffic_at_rest(others))
    for service in services().values():
        _check_at_rest(service)
        _require("command" not in service, f"service {service['id']} still waits for a command")
    left = [each.started_by for each in ecs.engine().launcher.active()]
    _require(not left, f"the release commands {left} still run")
    _check_deliveries()
    _check_pushes()
    if told:
        check_told()


def _check_pushes() -> None:
    """No service builds a push twice, also if GitHub names its time in two ways."""
    pushed = [row for row in builds().values() if row["trigger"] == "push"]
    first = [row for row in pushed if "retry_of" not in row]
    for one, other in combinations(first, 2):
        names = ("service_id", "git_ref", "before_sha", "commit_sha")
        same = all(one.get(name) == other.get(name) for name in names)
        near = abs(one["pushed_at"] - other["pushed_at"]) <= SAME
        twice = f"builds {one['number']} and {other['number']} are of one push"
        _require(not (same and near), twice)


def published() -> list[dict[str, Any]]:
    """What the topics of SNS were told, the earliest first: the data of each message."""
    topics = sns_backends["123456789012"]["eu-west-1"].topics.values()
    sent = [each for topic in topics for each in topic.sent_notifications]
    return [json.loads(json.loads(message)["default"])["data"] for _, message, *_ in sent]


def check_told(silent: Collection[str] = ()) -> None:
    """Every row has been told, and what receivers were told last about a job is its status.

    `silent` are jobs whose status was written by a version that tells nobody.
    That of a job which had ended before there was a channel may be missing.
    """
    for name, row in [*rows("jobs").items(), *services().items()]:
        _require("telling" not in row, f"{name} is still to be told: {row.get('told')}")
    if not rows("channels"):
        return
    last = {told["job_id"]: told["status"] for told in published() if "job_id" in told}
    for job_id, status in last.items():
        now = rows("jobs")[job_id]["status"] if job_id not in silent else status
        _require(now == status, f"{job_id} is {now}, and {status} was told last")
    wrong = receivers.current.problems()
    _require(not wrong, "; ".join(wrong))


def _check_deliveries() -> None:
    """The record of a delivery names the builds that it started, for each audience."""
    receipts = rows("receipts")
    for number, build in builds().items():
        if "delivery" in build and "retry_of" not in build:
            delivery, service, project = (
                build[name] for name in ("delivery", "service_id", "project_id")
            )
            for audience in ("all", f"service-{service}", f"project-{project}"):
                receipt = receipts.get(f"delivery:{audience}:{delivery}", {})
                named = {json.loads(verdict)["build_id"] for verdict in receipt.get("verdicts", ())}
                missing = f"{delivery} does not name build {number} for the audience {audience}"
                _require(number in named, missing)


def _check_at_rest(service: Row) -> None:
    row_id = f"service-{service['id']}"
    idle = not {"active", "waiting", "checking"} & service.keys()
    _require(idle, f"{row_id} still has an active or waiting deployment")
    if service["settings"]["ecs_service"] is None or "deleted_at" in service:
        return
    if "drift" in service:
        _check_drift(service)
        return
    wanted = _wanted(service)
    if wanted is not None:
        _require(is_watched(service), f"{row_id} is not watched")
        runs = _primary_definition(service)
        _require(wanted == runs, f"{row_id} should run {wanted} and runs {runs}")


def _check_drift(service: Row) -> None:
    """The text of the drift is true, and the service is read again later."""
    row_id, text = f"service-{service['id']}", service["drift"]
    _require(is_watched(service), f"{row_id} shows {text!r} and is not watched")
    outside = re.fullmatch(
        r"ECS runs (\S+?)(?: of deployment (\d+))?(?:, to which it went back from (\S+))?, "
        r"which was chosen outside Slipway",
        text,
    )
    if outside is not None:
        runs, number, left = outside.groups()
        _require(runs == _primary_definition(service), f"{row_id} shows {text!r} and does not")
        by_definition = {
            definition: row["number"] for definition, row in _by_definition(deployments()).items()
        }
        is_right = str(by_definition.get(runs)) == str(number)
        _require(is_right, f"{row_id} shows {text!r}, which names the wrong deployment")
        chosen = {details["task_definition"] for details in changes_outside()}
        _require((left or runs) in chosen, f"{row_id} shows {text!r} without an audit entry")
        return
    has_reason = ": " in text or text.startswith("there is no active ECS service")
    _require(has_reason, f"{row_id} shows {text!r}, which gives no reason")


def check_noted() -> None:
    """Check that rows name the hooks that wait for an approval. Raises Violation.

    Call it after two periods of the schedule without faults.
    """
    _require_none(check_hooks())


def check_replaced() -> None:
    """Check that ECS runs no definition of an ended deployment, except the release or baseline.

    Services with an active deployment or drift are left out, those whose rollout ECS takes back,
    and those whose deployment has ended just now: the next look undoes it, or shows drift. Raises
    Violation.
    """
    by_definition = defaultdict(list)
    for row in deployments().values():
        by_definition[row.get("task_definition")].append(row)
    just_ended = {
        row["service_id"] for row in deployments().values() if row.get("finished_at") == clock.now()
    }
    for service in services().values():
        if {"active", "drift", "deleted_at"} & service.keys() or service["id"] in just_ended:
            continue
        if service["settings"]["ecs_service"] is None:
            continue
        if _goes_back(service):
            continue
        # A rollback that ECS has made has the definition of the release that it restores.
        own = by_definition[_primary_definition(service)]
        current = not own or service.get("current") in {row["number"] for row in own}
        wanted = current or service.get("baseline") == _primary_definition(service)
        found = [f"{row['id']} is {row['status']}" for row in own]
        _require(wanted, f"{' and '.join(found)} and ECS still runs it")


def _primary_definition(service: Row) -> Any:
    return _on_ecs(service).deployments[0].task_definition


def _goes_back(service: Row) -> bool:
    """Whether ECS takes the newest rollout back. PRIMARY is the new revision until the end."""
    newest: Any = _on_ecs(service).records[0]
    return newest.status in {"ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"}


def _on_ecs(service: Row) -> Any:
    settings = service["settings"]
    return ecs.engine().service(settings["ecs_cluster"], settings["ecs_service"])


def is_watched(service: Row) -> bool:
    """Whether the service is only read now and then, to find changes outside Slipway.

    Then no call can be in flight, and the next look is more than two periods away.
    """
    seconds = service.get("due_at", 0) - clock.now()
    return "due" in service and "called_at" not in service and 2 * PERIOD < seconds <= WATCH


def _wanted(service: Row) -> str | None:
    """The definition that ECS should run: that of the current release, else the baseline."""
    current = service.get("current")
    if current is None:
        return service.get("baseline")
    definition: str = deployments()[current]["task_definition"]
    return definition


def open_rollouts(service: Any) -> Iterator[Any]:
    """The rollouts of an ECS service that have not ended."""
    return (record for record in service.records if record.status in OPEN)


def codebuild_builds() -> list[Any]:
    """Every build that CodeBuild ever started for Slipway."""
    started = codebuild.engine()._builds.values()
    return [build for build in started if job_id_of(build) is not None]


def job_id_of(build: Any) -> Any:
    """The id of the job that CodeBuild runs this build for; None for a build of another party."""
    variables = build["environment"]["environmentVariables"]
    return next((each["value"] for each in variables if each["name"] == "JOB_ID"), None)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise Violation(message)


def _require_none(problem: str | None) -> None:
    if problem is not None:
        raise Violation(problem)
