"""Builds: starting them in CodeBuild, following them, and ending them."""

import logging
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import codebuild, ecr, queue
from chalicelib.correlation import note
from chalicelib.domain.builds import (
    BuildReport,
    Progress,
    Start,
    decide_progress,
    decide_start,
    waited_in_vain,
    why_no_capacity,
)
from chalicelib.domain.failures import Failure, Phase, one_line
from chalicelib.domain.lag import next_look
from chalicelib.domain.line import Line
from chalicelib.domain.progress import build_progress, with_duration
from chalicelib.domain.requests import start_build_request
from chalicelib.domain.statuses import BuildStatus, has_ended, job_id
from chalicelib.domain.timing import PERIOD, WORKER_LIFE
from chalicelib.errors import Rejected, SlipwayError, Unavailable
from chalicelib.pipeline.auto_deploy import deploy_build
from chalicelib.pipeline.fetch_tokens import give_token, renew_token
from chalicelib.pipeline.line import line_with, read_line
from chalicelib.pipeline.new_deployments import ReleaseImage
from chalicelib.pipeline.reconcilers.failures import (
    find_failure,
    find_missing_repository,
    find_unreadable_credential,
)
from chalicelib.pipeline.superseding import may_be_superseded, supersede_builds
from chalicelib.settings import settings
from chalicelib.store.due import due_by, schedule_at
from chalicelib.store.jobs import find_build, finish, mark_pull_image, transition
from chalicelib.store.models import Build
from chalicelib.store.projects import get_project
from chalicelib.store.reports import facts_of
from chalicelib.store.services import close_builds, get_service, take_turn
from chalicelib.store.writes import Write, change, commit

logger = logging.getLogger("slipway")

# After the end of one build. The schedule finds more, if there is room for more.
_WAKE = 10


def reconcile_build(number: int) -> None:
    """Take the next step of a build.

    Several workers may call this at any time, any number of times. Raises Stale if another worker
    has changed the row.
    """
    build = find_build(number)
    if build is None or has_ended(build.status):
        return
    note(**facts_of(build))
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
    service = get_service(build.service_id)
    is_uncalled = may_be_superseded(build) and build.attempt_at is None
    if is_uncalled and build.number in supersede_builds(service):
        return queue.wake(*_next_in_line(build))
    line = line_with(build, service)
    deadline_at = _deadline(build, line, now)
    step = decide_start(
        now=now,
        deadline_at=deadline_at,
        attempt_at=build.attempt_at,
        has_turn=build.number in line.next,
        cancelled=build.cancelled_by is not None,
    )
    if step is Start.GIVE_UP:
        return _give_up(build)
    if step is Start.WAIT:
        at = now + line.patience(build.number)
        return commit(change(build, error=None, deadline_at=deadline_at, **schedule_at(at)))
    turn = [] if line.turn is None else [take_turn(service, line.turn)]
    if step is Start.FIND and not _is_to_start_anew(build, now, deadline_at, turn):
        return
    again = step is Start.REPEAT
    try:
        credential = build.git_credential if again else _credential_of(build)
    except (Rejected, Unavailable) as trouble:
        if now <= deadline_at:
            raise
        return _fail(build, _refused(trouble))
    _call_start_build(build, credential, now, deadline_at, again=again, turn=turn)


def _deadline(build: Build, line: Line, now: int) -> int:
    """Until when the build may wait. The time in which Slipway's own builds run does not count."""
    from_now = now + build.settings.queued_minutes * 60
    return max(build.deadline_at, from_now) if line.running else build.deadline_at


def _is_to_start_anew(build: Build, now: int, deadline_at: int, turn: Sequence[Write]) -> bool:
    """Search CodeBuild for the build, because an earlier call may have started it.

    The token has expired, or the build should end, so the call is not repeated. True if CodeBuild
    does not have the build and it should be started again.
    """
    report = _find(build)
    if report is not None:
        _adopt(build, report, turn)
        return False
    called_at = build.called_at or 0
    if now - called_at <= WORKER_LIFE:
        commit(change(build, **schedule_at(called_at + WORKER_LIFE + 1)))
        return False
    if build.cancelled_by is not None or now > deadline_at:
        _give_up(build)
        return False
    return True


def _call_start_build(
    build: Build,
    credential: str | None,
    now: int,
    deadline_at: int,
    *,
    again: bool,
    turn: Sequence[Write],
) -> None:
    # A late build does not wait for ECR either: CodeBuild's answer decides its end.
    failure = None if again or now > deadline_at else find_missing_repository(build)
    if failure is not None:
        return _fail(build, failure)
    called_before = build.called_at or 0
    attempt = {} if again else _new_attempt(build, credential, now)
    failure = find_unreadable_credential(build, credential)
    if failure is not None:
        return _fail(build, failure)
    due = due_by(build, now + PERIOD)
    commit(change(build, called_at=now, deadline_at=deadline_at, **attempt, **due))
    try:
        report = codebuild.start(start_build_request(build, project=settings().codebuild_project))
    except Rejected as refusal:
        if not again:
            return _fail(build, _refused(refusal))
        # Only this call was refused: an earlier one may have started the build.
        found = _find(build)
        if found is None and now - called_before <= WORKER_LIFE:
            return _wait(build, refusal.detail)
        if found is None:
            return _fail(build, _refused(refusal))
        report = found
    except Unavailable as trouble:
        if again or trouble.code != codebuild.AT_LIMIT:
            raise
        return _back_in_line(build, trouble.detail)
    _adopt(build, report, turn)


def _back_in_line(build: Build, refusal: str) -> None:
    """CodeBuild is at its limit and has started nothing: the row is as before the call."""
    if clock.now() <= build.deadline_at:
        return _wait(build, refusal, attempt_at=None)
    try:
        own, others = codebuild.in_progress(settings().codebuild_project)
    except SlipwayError as trouble:
        own, others = False, [f"unknown builds ({trouble.detail})"]
    if own:
        # The line has moved since it was read: builds of Slipway have the capacity.
        deadline_at = clock.now() + build.settings.queued_minutes * 60
        return _wait(build, refusal, attempt_at=None, deadline_at=deadline_at)
    why = why_no_capacity(refusal, others, build.settings)
    _fail(build, Failure(phase=Phase.QUEUE, summary=why))


def _refused(refusal: Rejected | Unavailable) -> Failure:
    step = "Correct the cause, then retry the build."
    return Failure(phase=Phase.START, summary=refusal.detail, next_step=step)


def _credential_of(build: Build) -> str | None:
    """The project's git credential, or that of the GitHub App. Raises Rejected and Unavailable."""
    return get_project(build.project_id).git_credential or give_token(build)


def _new_attempt(build: Build, credential: str | None, now: int) -> dict[str, Any]:
    """The row keeps the attempt's credential, because a repeated call must be the same request."""
    return {"attempt": build.attempt + 1, "attempt_at": now, "git_credential": credential}


def _find(build: Build) -> BuildReport | None:
    project, since = settings().codebuild_project, build.attempt_at or build.created_at
    return codebuild.find(project, build.job_id, since=since)


def _adopt(build: Build, report: BuildReport, turn: Sequence[Write]) -> None:
    """Record that CodeBuild has the build, with its id, and that its service has had its turn."""
    now = clock.now()
    seconds = build.settings.codebuild_queued_minutes * 60
    values = {"codebuild_id": report.id, "deadline_at": now + seconds + PERIOD, "waits": 0}
    due = due_by(build, now + PERIOD)
    commit(_noted(build, report, error=None, **values, **due), *turn)
    if build.cancelled_by:
        queue.wake(build.job_id)


def _noted(build: Build, report: BuildReport, **values: Any) -> Write:
    """The write of CodeBuild's progress, and of the build's start once it has left the queue."""
    values["progress"] = build_progress(report.reached, build.progress)
    values |= {"log_path": report.log_path} if report.log_path else {}
    if build.status != BuildStatus.QUEUED or report.left_queue_at is None:
        return change(build, **values)
    started_at = report.left_queue_at
    values["deadline_at"] = started_at + build.settings.build_minutes * 60 + PERIOD
    return transition(build, BuildStatus.BUILDING, started_at=started_at, **values)


def _follow(build: Build, report: BuildReport | None) -> None:
    now = clock.now()
    left_queue = report is not None and report.left_queue_at is not None
    if report is not None and not left_queue:
        renew_token(build)
    if report is not None and left_queue and build.status == BuildStatus.QUEUED:
        commit(_noted(build, report, **due_by(build, now + PERIOD)))
    step = decide_progress(
        report,
        now=now,
        since=build.called_at or build.created_at,
        deadline_at=build.deadline_at,
        cancelled=build.cancelled_by is not None,
    )
    if step is Progress.FORGOTTEN:
        forgotten = f"CodeBuild does not know {build.codebuild_id}"
        failure = Failure(phase=Phase.BUILD, summary=forgotten, next_step="Retry the build.")
        return _fail(build, failure)
    if step is Progress.STOP:
        codebuild.stop(build.codebuild_id or "")
        return commit(change(build, **schedule_at(now + PERIOD)))
    if step is Progress.CANCEL:
        learned = _learned(build, report) if report else {}
        return _finish(build, BuildStatus.CANCELLED, _why_cancelled(build), **learned)
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
    commit(change(build, **values, **due_by(build, now + PERIOD)))


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
        name = f"{build.image_repository}:{build.image_tag}"
        missing = f"the build succeeded, but ECR holds no {name}"
        if next_look(now, _ended_at(build, report, now)) is not None:
            return _look_again(build, report, now, f"{missing} yet")
        return _fail_push(build, report, missing)
    pushed = report.exported.get("IMAGE_DIGEST")
    if not pushed:
        return _fail_push(build, report, "the build reported no digest of its image: build again")
    if digest != pushed:
        why = (
            f"the build pushed {pushed}, but ECR holds {digest} as {build.image_tag}: check what "
            "else pushes to this repository, make its tags immutable, and build again"
        )
        return _fail_push(build, report, why)
    service = get_service(build.service_id)
    learned = {"image_digest": digest, **_learned(build, report)}
    image = ReleaseImage(
        build.image_repository,
        digest,
        build.image_tag,
        build_id=build.number,
        commit_sha=learned.get("commit_sha"),
        pushed_at=build.push.pushed_at or None,
        commit_message=learned.get("commit_message"),
        author=learned.get("author"),
    )
    deployed = deploy_build(service, build, image)
    now = clock.now()
    took = with_duration(service.build_seconds, now - (build.started_at or now))
    commit(
        finish(build, BuildStatus.SUCCESS, at=now, **learned, **deployed.values),
        close_builds(service, build.number),
        change(service, build_seconds=took),
        *([mark_pull_image(build, digest)] if build.pull_request is not None else []),
        *deployed.writes,
    )
    queue.wake(*(f"service-{each}" for each in deployed.services), *_next_in_line(build))


def _fail_push(build: Build, report: BuildReport, why: str) -> None:
    _fail(build, Failure(phase=Phase.PUSH, summary=why), **_learned(build, report))


def _learned(build: Build, report: BuildReport) -> dict[str, Any]:
    """The log and the commit of the build. The message and the author of a push stay."""
    exported = report.exported
    learned = {
        "commit_sha": exported.get("COMMIT_SHA") or build.commit_sha,
        "commit_message": build.commit_message or exported.get("COMMIT_MESSAGE", "")[:200],
        "author": build.author or exported.get("COMMIT_AUTHOR", "")[:200],
        "warnings": exported.get("WARNINGS", "")[:2000],
        "log_path": report.log_path or build.log_path,
    }
    return {name: value for name, value in learned.items() if value}


def _fail(build: Build, failure: Failure, **values: Any) -> None:
    failure = msgspec.structs.replace(failure, summary=one_line(failure.summary))
    _finish(build, BuildStatus.FAILED, failure.summary, failure=failure, **values)


def _finish(build: Build, status: BuildStatus, error: str, **values: Any) -> None:
    service = get_service(build.service_id)
    end = finish(build, status, at=clock.now(), error=error, **values)
    commit(end, close_builds(service, build.number))
    queue.wake(*_next_in_line(build))


def _next_in_line(ended: Build) -> list[str]:
    """The job ids of the builds that should start now: CodeBuild has capacity for them.

    A failure is only logged, because the end of the other build is committed already. The schedule
    finds the queued builds.
    """
    try:
        line = read_line(ended=ended)
    except Unavailable as trouble:
        logger.warning("no queued build was woken; the schedule does it: %s", trouble.detail)
        return []
    return [job_id("build", number) for number in line.next[:_WAKE]]


def _wait(build: Build, reason: str, **values: Any) -> None:
    """Try again later, with a growing delay, and show the reason."""
    now = clock.now()
    delay = min(PERIOD, 10 * 2 ** min(build.waits, 5)) * random.uniform(0.8, 1.2)
    at = now + round(delay)
    if now <= build.deadline_at:
        at = min(at, build.deadline_at + 1)  # take a step right after the deadline
    values |= {"waits": build.waits + 1, "error": reason[:1000]}
    commit(change(build, **values, **schedule_at(at)))


def _give_up(build: Build) -> None:
    """End a build that CodeBuild has never started and cannot start any more."""
    if build.cancelled_by is not None:
        return _finish(build, BuildStatus.CANCELLED, _why_cancelled(build))
    waited = f"{waited_in_vain(build.settings)}: {build.error or 'no answer'}"
    step = "Retry the build. If CodeBuild does not take it again, check its quotas and its status."
    _fail(build, Failure(phase=Phase.QUEUE, summary=waited, next_step=step))


def _why_cancelled(build: Build) -> str:
    return f"cancelled by {build.cancelled_by}" if build.cancelled_by else "stopped in CodeBuild"
