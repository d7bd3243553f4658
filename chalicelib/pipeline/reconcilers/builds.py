"""Builds: starting them in CodeBuild, following them, and ending them."""

import logging
import random
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import codebuild, ecr, queue
from chalicelib.domain.build_failures import BuildPhase, Failure, one_line
from chalicelib.domain.builds import (
    BuildReport,
    Progress,
    Start,
    decide_progress,
    decide_start,
)
from chalicelib.domain.lag import next_look
from chalicelib.domain.progress import build_progress
from chalicelib.domain.requests import start_build_request
from chalicelib.domain.statuses import BuildStatus, has_ended
from chalicelib.domain.timing import PERIOD, WORKER_LIFE
from chalicelib.errors import Rejected, Unavailable
from chalicelib.pipeline.auto_deploy import why_not_deployed
from chalicelib.pipeline.new_deployments import ReleaseImage, enqueue, new_deployment
from chalicelib.pipeline.reconcilers.failures import find_failure, find_missing_repository
from chalicelib.settings import settings
from chalicelib.store.claims import next_number
from chalicelib.store.due import oldest_queued_build, schedule_at
from chalicelib.store.jobs import find_build, finish, transition
from chalicelib.store.models import Build
from chalicelib.store.projects import get_project
from chalicelib.store.services import close_build, get_service
from chalicelib.store.writes import change, commit

logger = logging.getLogger("slipway")


def reconcile_build(number: int) -> None:
    """Take the next step of a build.

    Several workers may call this at any time, any number of times. Raises Stale if another worker
    has changed the row.
    """
    build = find_build(number)
    if build is None or has_ended(build.status):
        return
    try:
        if build.codebuild_id is None:
            _start(build)
        else:
            _follow(build, codebuild.describe(build.codebuild_id))
    except (Rejected, Unavailable) as trouble:
        # Do not end the build, because it may be running. Show the reason.
        _wait(build, trouble.detail)


def _start(build: Build) -> None:
    now = clock.now()
    step = decide_start(
        now=now,
        deadline_at=build.deadline_at,
        attempt_at=build.attempt_at,
        cancelled=build.cancelled_by is not None,
    )
    if step is Start.GIVE_UP:
        return _give_up(build)
    if step is Start.FIND:
        return _find_or_start_anew(build, now)
    _call_start_build(build, now, again=step is Start.REPEAT)


def _find_or_start_anew(build: Build, now: int) -> None:
    """Search CodeBuild for the build: an earlier call may have started it.

    The token has expired, or the build should end, so the call is not repeated.
    """
    report = _find(build)
    if report is not None:
        return _adopt(build, report)
    called_at = build.called_at or 0
    if now - called_at <= WORKER_LIFE:
        return commit(change(build, **schedule_at(called_at + WORKER_LIFE + 1)))
    if build.cancelled_by is not None or now > build.deadline_at:
        return _give_up(build)
    _call_start_build(build, now, again=False)


def _call_start_build(build: Build, now: int, *, again: bool) -> None:
    failure = None if again else find_missing_repository(build)
    if failure is not None:
        return _fail(build, failure)
    called_before = build.called_at or 0
    attempt = {} if again else _new_attempt(build, now)
    commit(change(build, called_at=now, **attempt, **schedule_at(now + PERIOD)))
    try:
        report = codebuild.start(start_build_request(build, project=settings().codebuild_project))
    except Rejected as refusal:
        if not again:
            return _fail(build, Failure(phase=BuildPhase.START, summary=refusal.detail))
        # Only this call was refused: an earlier one may have started the build.
        found = _find(build)
        if found is None and now - called_before <= WORKER_LIFE:
            return _wait(build, refusal.detail)
        if found is None:
            return _fail(build, Failure(phase=BuildPhase.START, summary=refusal.detail))
        report = found
    _adopt(build, report)


def _new_attempt(build: Build, now: int) -> dict[str, Any]:
    """The row keeps the attempt's credential, because a repeated call must be the same request."""
    credential = get_project(build.project_id).git_credential
    return {"attempt": build.attempt + 1, "attempt_at": now, "git_credential": credential}


def _find(build: Build) -> BuildReport | None:
    project, since = settings().codebuild_project, build.attempt_at or build.created_at
    return codebuild.find(project, build.job_id, since=since)


def _adopt(build: Build, report: BuildReport) -> None:
    """Record that CodeBuild has the build, with its id."""
    now = clock.now()
    log = {"log_path": report.log_path} if report.log_path else {}
    commit(
        transition(
            build,
            BuildStatus.BUILDING,
            codebuild_id=report.id,
            started_at=now,
            progress=build_progress(report.reached, build.progress),
            deadline_at=now + build.settings.build_minutes * 60 + PERIOD,
            waits=0,
            error=None,
            **log,
            **schedule_at(now if build.cancelled_by else now + PERIOD),
        )
    )
    if build.cancelled_by:
        queue.wake(build.job_id)


def _follow(build: Build, report: BuildReport | None) -> None:
    now = clock.now()
    step = decide_progress(
        report,
        now=now,
        since=build.called_at or build.created_at,
        deadline_at=build.deadline_at,
        cancelled=build.cancelled_by is not None,
    )
    if step is Progress.FORGOTTEN:
        forgotten = f"CodeBuild does not know {build.codebuild_id}"
        return _fail(build, Failure(phase=BuildPhase.BUILD, summary=forgotten))
    if step is Progress.STOP:
        codebuild.stop(build.codebuild_id or "")
        return commit(change(build, **schedule_at(now + PERIOD)))
    if step is Progress.CANCEL:
        return _finish(build, BuildStatus.CANCELLED, _why_cancelled(build))
    if report is None or step is Progress.WAIT:
        return _note_progress(build, report, now)
    if build.ended_at is not None and (build.due_at or 0) > now:
        return None  # the next look at AWS has its time
    if step is Progress.FAIL:
        return _end_failed(build, report, now)
    _succeed(build, report, now)


def _note_progress(build: Build, report: BuildReport | None, now: int) -> None:
    progress = build_progress(report.reached, build.progress) if report else build.progress
    log_path = (report.log_path if report else None) or build.log_path
    changed = progress != build.progress or log_path != build.log_path or build.error
    if not changed and (build.due_at or 0) > now:
        return
    values = {"progress": progress, "log_path": log_path, "waits": 0, "error": None}
    commit(change(build, **values, **schedule_at(now + PERIOD)))


def _end_failed(build: Build, report: BuildReport, now: int) -> None:
    failure = find_failure(build, report, now=now, ended_at=_ended_at(build, report, now))
    if failure is None:
        why = "the build has failed; CloudWatch may not show the end of its log yet"
        return _look_again(build, report, now, why)
    _fail(build, failure, **_learned(build, report))


def _ended_at(build: Build, report: BuildReport, now: int) -> int:
    """When the build ended in CodeBuild. The first answer stays, so that each wait has an end."""
    return build.ended_at or min(report.ended_at or now, now)


def _look_again(build: Build, report: BuildReport, now: int, why: str) -> None:
    """Look again soon for what AWS may not show yet, and show what the build waits for."""
    ended_at = _ended_at(build, report, now)
    at = next_look(now, ended_at) or now
    commit(change(build, ended_at=ended_at, error=why, **schedule_at(at)))
    queue.wake(build.job_id, delay=at - now)


def _succeed(build: Build, report: BuildReport, now: int) -> None:
    try:
        digest = ecr.digest_of(build.image_repository, build.image_tag)
    except Rejected as refusal:
        return _fail_push(build, report, f"the build succeeded, but: {refusal.detail}")
    if digest is None:
        image = f"{build.image_repository}:{build.image_tag}"
        missing = f"the build succeeded, but ECR holds no {image}"
        if next_look(now, _ended_at(build, report, now)) is not None:
            return _look_again(build, report, now, f"{missing} yet")
        return _fail_push(build, report, missing)
    service = get_service(build.service_id)
    learned = {"image_digest": digest, **_learned(build, report)}
    not_deployed = why_not_deployed(service, build)
    if not_deployed:
        commit(
            finish(
                build, BuildStatus.SUCCESS, at=clock.now(), not_deployed=not_deployed, **learned
            ),
            close_build(service, build),
        )
        return queue.wake(*_next_queued())
    number = next_number("deployments")
    deployment = new_deployment(
        service,
        number,
        ReleaseImage(
            build.image_repository,
            digest,
            build.image_tag,
            build_id=build.number,
            commit_sha=learned.get("commit_sha"),
        ),
        actor=build.requested_by,
        trigger="push",
        reason=build.commit_message,
    )
    commit(
        finish(build, BuildStatus.SUCCESS, at=clock.now(), deployment_id=number, **learned),
        close_build(service, build),
        *enqueue(service, deployment),
        change(service, last_pushed_at=build.pushed_at or 0, last_pushed_build=build.number),
    )
    queue.wake(f"service-{service.id}", *_next_queued())


def _fail_push(build: Build, report: BuildReport, why: str) -> None:
    _fail(build, Failure(phase=BuildPhase.PUSH, summary=why), **_learned(build, report))


def _learned(build: Build, report: BuildReport) -> dict[str, Any]:
    """The log and the commit of the build. The message and the author of a push stay."""
    exported = report.exported
    learned = {
        "commit_sha": exported.get("COMMIT_SHA") or build.commit_sha,
        "commit_message": build.commit_message or exported.get("COMMIT_MESSAGE", "")[:200],
        "author": build.author or exported.get("COMMIT_AUTHOR", "")[:200],
        "log_path": report.log_path or build.log_path,
    }
    return {name: value for name, value in learned.items() if value}


def _fail(build: Build, failure: Failure, **values: Any) -> None:
    failure = msgspec.structs.replace(failure, summary=one_line(failure.summary))
    _finish(build, BuildStatus.FAILED, failure.summary, failure=failure, **values)


def _finish(build: Build, status: BuildStatus, error: str, **values: Any) -> None:
    service = get_service(build.service_id)
    commit(
        finish(build, status, at=clock.now(), error=error, **values), close_build(service, build)
    )
    queue.wake(*_next_queued())


def _next_queued() -> list[str]:
    """The job id of the oldest queued build: CodeBuild has capacity for it now.

    A failure is only logged, because the end of the other build is committed already. The schedule
    finds the queued build.
    """
    try:
        oldest = oldest_queued_build()
    except Unavailable as trouble:
        logger.warning("no queued build was woken; the schedule does it: %s", trouble.detail)
        return []
    return [oldest] if oldest else []


def _wait(build: Build, reason: str) -> None:
    """Try again later, with a growing delay, and show the reason."""
    now = clock.now()
    delay = min(PERIOD, 10 * 2 ** min(build.waits, 5)) * random.uniform(0.8, 1.2)
    at = now + round(delay)
    if now <= build.deadline_at:
        at = min(at, build.deadline_at + 1)  # take a step right after the deadline
    commit(change(build, waits=build.waits + 1, error=reason[:1000], **schedule_at(at)))


def _give_up(build: Build) -> None:
    """End a build that CodeBuild has never started and cannot start any more."""
    if build.cancelled_by is not None:
        return _finish(build, BuildStatus.CANCELLED, _why_cancelled(build))
    minutes = (build.deadline_at - build.created_at) // 60
    waited = f"waited {minutes} minutes for CodeBuild to take it: {build.error or 'no answer'}"
    _fail(build, Failure(phase=BuildPhase.QUEUE, summary=waited))


def _why_cancelled(build: Build) -> str:
    return f"cancelled by {build.cancelled_by}" if build.cancelled_by else "stopped in CodeBuild"
