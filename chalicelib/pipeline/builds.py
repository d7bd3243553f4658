"""Builds: asking for one, and moving it to its end."""

import logging
import random

from chalicelib import clock
from chalicelib.aws import codebuild, ecr, queue
from chalicelib.domain.builds import (
    BuildReport,
    Progress,
    Start,
    decide_progress,
    decide_start,
)
from chalicelib.domain.images import image_tag
from chalicelib.domain.progress import build_progress
from chalicelib.domain.pushes import Push
from chalicelib.domain.requests import start_build_request
from chalicelib.domain.statuses import BuildStatus, has_ended, job_id
from chalicelib.domain.timing import PERIOD, WORKER_LIFE
from chalicelib.errors import Conflict, Rejected, Unavailable
from chalicelib.pipeline.deployments import deploy_build
from chalicelib.pipeline.once import Once, remembered
from chalicelib.settings import settings
from chalicelib.store.claims import next_number
from chalicelib.store.due import look_again, oldest_queued_build
from chalicelib.store.history import record
from chalicelib.store.jobs import become, end, find_build, get_build, opened, service_key
from chalicelib.store.models import DUE, Build, Service
from chalicelib.store.moves import Action, Move, change, commit, create
from chalicelib.store.services import close_build, get_service, open_build

logger = logging.getLogger("slipway")


def request_build(
    service: Service,
    *,
    actor: str,
    git_ref: str,
    git_sha: str = "",
    context_path: str | None = None,
    dockerfile: str | None = None,
    platforms: list[str] | None = None,
    build_args: dict[str, str] | None = None,
    once: Once | None = None,
) -> Build:
    """Accept a build of `service`; what is None is the service's own setting.

    Raises Lost when the service was deleted meanwhile.
    """
    build = new_build(service, next_number("builds"), actor=actor, git_ref=git_ref, git_sha=git_sha)
    build.context_path = context_path or build.context_path
    build.dockerfile = dockerfile or build.dockerfile
    build.platforms = platforms or build.platforms
    build.build_args = build.build_args if build_args is None else build_args
    commit(*accept(service, build), *remembered(once, build.number))
    queue.wake(build.id)
    return build


def new_build(
    service: Service,
    number: int,
    *,
    actor: str,
    git_ref: str,
    git_sha: str,
    push: Push | None = None,
    delivery: str | None = None,
) -> Build:
    """The row of a queued build: copies of what the service says now."""
    now = clock.now()
    return Build(
        job_id("build", number),
        number=number,
        project_id=service.project_id,
        service_id=service.id,
        service_key=service_key(service.id, "build"),
        opened=opened("build", number, now),
        status=BuildStatus.QUEUED,
        requested_by=actor,
        trigger="push" if push else "manual",
        git_url=service.git_url,
        git_ref=git_ref,
        context_path=service.context_path,
        dockerfile=service.dockerfile,
        platforms=service.platforms,
        build_args=service.build_args,
        image_repository=service.image_repository,
        image=f"{settings().registry}/{service.image_repository}",
        image_tag=image_tag(git_ref, git_sha, number),
        log_group=settings().log_group,
        commit_sha=git_sha or None,
        commit_message=push.message if push else None,
        author=push.author if push else None,
        pushed_at=push.pushed_at if push else None,
        delivery=delivery,
        build_minutes=service.build_minutes,
        created_at=now,
        deadline_at=now + service.queued_minutes * 60,
        due=DUE,
        due_at=now,
    )


def accept(service: Service, build: Build) -> tuple[Move, ...]:
    """The moves that accept a build: its row, its place on the service, the audit entry."""
    return (
        create(build),
        open_build(service, build.number),
        record(
            build.id,
            "build.requested",
            at=build.created_at,
            actor=build.requested_by,
            project_id=build.project_id,
            service_id=build.service_id,
            git_ref=build.git_ref,
            commit_sha=build.commit_sha,
            trigger=build.trigger,
        ),
    )


def cancel_build(number: int, *, actor: str) -> Build:
    """Have a build end `cancelled`: at once, or as soon as CodeBuild has stopped it.

    One that is being cancelled already stays so. Raises Conflict (job_ended), Lost.
    """
    build = get_build(number)
    if build.cancelled_by is not None or build.status == BuildStatus.CANCELLED:
        return build
    if has_ended(build.status):
        raise Conflict(f"{build.id} has ended: it is {build.status}", code="job_ended")
    now = clock.now()
    asked = Build.cancelled_by.set(actor)
    if build.attempt_at is None:
        service = get_service(build.service_id)
        why = f"cancelled by {actor}"
        last = end(build, BuildStatus.CANCELLED, asked, at=now, error=why)
        commit(last, close_build(service, build), _cancellation(build, actor))
        # What was written is known: reading it again could only fail what is done.
        build.status, build.finished_at, build.error = BuildStatus.CANCELLED, now, why
    else:
        commit(change(build, asked, *look_again(now)), _cancellation(build, actor))
        queue.wake(build.id)
    build.cancelled_by = actor
    return build


def _cancellation(build: Build, actor: str) -> Move:
    return record(
        build.id,
        "build.cancelled",
        at=clock.now(),
        actor=actor,
        project_id=build.project_id,
        service_id=build.service_id,
    )


def reconcile_build(number: int) -> None:
    """Take the next step of a build, whatever happened before.

    Safe at any time, any number of times, by several workers at once. Raises Lost when
    somebody else moved the row meanwhile.
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
        # Where CodeBuild lets nobody look, a build may be running: it is not ended, and says why.
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
    """The token is dead, or time is up; an earlier call may have had its effect, or still may."""
    report = _find(build)
    if report is not None:
        return _adopt(build, report)
    last_call = build.claimed_at or 0
    if now - last_call <= WORKER_LIFE:
        return commit(change(build, *look_again(last_call + WORKER_LIFE + 1)))
    if build.cancelled_by is not None or now > build.deadline_at:
        return _give_up(build)
    _call_start_build(build, now, again=False)


def _call_start_build(build: Build, now: int, *, again: bool) -> None:
    attempt = build.attempt if again else build.attempt + 1
    claim = [Build.claimed_at.set(now), *look_again(now + PERIOD)]
    if not again:
        claim += [Build.attempt.set(attempt), Build.attempt_at.set(now)]
    commit(change(build, *claim))
    try:
        report = codebuild.start(_request(build, attempt))
    except Rejected as refusal:
        if not again:
            return _end(build, BuildStatus.FAILED, refusal.detail)
        # The refusal speaks for this call alone: one before it may have started the build.
        found = _find(build)
        if found is None and now - (build.claimed_at or 0) <= WORKER_LIFE:
            return _wait(build, refusal.detail)
        if found is None:
            return _end(build, BuildStatus.FAILED, refusal.detail)
        report = found
    _adopt(build, report)


def _request(build: Build, attempt: int) -> dict[str, object]:
    """Every part of it stands on the row, so that a repeated call is the same call."""
    return start_build_request(
        project=settings().codebuild_project,
        token=f"{build.id}-{attempt}",
        job_id=build.id,
        git_url=build.git_url,
        git_ref=build.git_ref,
        git_sha=build.commit_sha or "",
        context_path=build.context_path,
        dockerfile=build.dockerfile,
        platforms=build.platforms,
        build_args=build.build_args,
        image=build.image,
        image_tag=build.image_tag,
        log_group=build.log_group,
        timeout_minutes=build.build_minutes,
    )


def _find(build: Build) -> BuildReport | None:
    return codebuild.find(
        settings().codebuild_project, build.id, since=build.attempt_at or build.created_at
    )


def _adopt(build: Build, report: BuildReport) -> None:
    """CodeBuild has it: remember under which id."""
    now = clock.now()
    actions = [
        Build.codebuild_id.set(report.id),
        Build.started_at.set(now),
        Build.progress.set(build_progress(report.phase, build.progress)),
        Build.deadline_at.set(now + build.build_minutes * 60 + PERIOD),
        Build.waits.set(0),
        Build.error.remove(),
        *look_again(now if build.cancelled_by else now + PERIOD),
    ]
    if report.log_path:
        actions.append(Build.log_path.set(report.log_path))
    commit(become(build, BuildStatus.BUILDING, *actions))
    if build.cancelled_by:
        queue.wake(build.id)


def _follow(build: Build, report: BuildReport | None) -> None:
    now = clock.now()
    step = decide_progress(
        report,
        now=now,
        since=build.claimed_at or build.created_at,
        deadline_at=build.deadline_at,
        cancelled=build.cancelled_by is not None,
    )
    if step is Progress.LOSE:
        return _end(build, BuildStatus.FAILED, f"CodeBuild does not know {build.codebuild_id}")
    if step is Progress.STOP:
        codebuild.stop(build.codebuild_id or "")
        return commit(change(build, *look_again(now + PERIOD)))
    if step is Progress.CANCEL:
        return _end(build, BuildStatus.CANCELLED, _why_cancelled(build))
    if report is None or step is Progress.WAIT:
        return _note_progress(build, report, now)
    if step is Progress.FAIL:
        return _end(build, BuildStatus.FAILED, _why_failed(build, report))
    _succeed(build, report)


def _note_progress(build: Build, report: BuildReport | None, now: int) -> None:
    progress = build_progress(report.phase, build.progress) if report else build.progress
    log_path = report.log_path if report else None
    news = progress != build.progress or log_path not in {None, build.log_path} or build.error
    if not news and (build.due_at or 0) > now:
        return
    actions = [
        Build.progress.set(progress),
        Build.waits.set(0),
        Build.error.remove(),
        *look_again(now + PERIOD),
    ]
    if log_path:
        actions.append(Build.log_path.set(log_path))
    commit(change(build, *actions))


def _succeed(build: Build, report: BuildReport) -> None:
    try:
        digest = ecr.digest_of(build.image_repository, build.image_tag)
    except Rejected as refusal:
        return _end(build, BuildStatus.FAILED, f"the build succeeded, but: {refusal.detail}")
    if digest is None:
        image = f"{build.image_repository}:{build.image_tag}"
        return _end(build, BuildStatus.FAILED, f"the build succeeded, but ECR holds no {image}")
    service = get_service(build.service_id)
    build.image_digest = digest
    build.commit_sha = report.exported.get("COMMIT_SHA") or build.commit_sha
    placed = deploy_build(service, build)
    commit(
        end(build, BuildStatus.SUCCESS, *_learned(build, report), *placed.noted, at=clock.now()),
        close_build(service, build),
        *placed.moves,
    )
    queue.wake(*placed.wake, *_next_in_line())


def _learned(build: Build, report: BuildReport) -> list[Action]:
    """What only the build itself could tell; what a push has told already stays."""
    actions: list[Action] = [Build.image_digest.set(build.image_digest), Build.error.remove()]
    if build.commit_sha:
        actions.append(Build.commit_sha.set(build.commit_sha))
    if not build.commit_message and report.exported.get("COMMIT_MESSAGE"):
        actions.append(Build.commit_message.set(report.exported["COMMIT_MESSAGE"][:200]))
    if not build.author and report.exported.get("COMMIT_AUTHOR"):
        actions.append(Build.author.set(report.exported["COMMIT_AUTHOR"][:200]))
    return actions


def _end(build: Build, status: BuildStatus, error: str) -> None:
    service = get_service(build.service_id)
    commit(end(build, status, at=clock.now(), error=error), close_build(service, build))
    queue.wake(*_next_in_line())


def _next_in_line() -> list[str]:
    """CodeBuild has room again: the build that waited longest may try at once.

    What made room has been written by then, so nothing here may fail it: the schedule will find
    whoever waits.
    """
    try:
        oldest = oldest_queued_build()
    except Unavailable as trouble:
        logger.warning("nobody is woken, the schedule will do it: %s", trouble.detail)
        return []
    return [oldest] if oldest else []


def _wait(build: Build, reason: str) -> None:
    """AWS said "not now": try again later, each time a little later, and say why."""
    now = clock.now()
    delay = min(PERIOD, 10 * 2 ** min(build.waits, 5)) * random.uniform(0.8, 1.2)
    at = now + round(delay)
    if now <= build.deadline_at:
        at = min(at, build.deadline_at + 1)  # its time must not be up long before anybody looks
    commit(
        change(
            build,
            Build.waits.set(build.waits + 1),
            Build.error.set(reason[:1000]),
            *look_again(at),
        )
    )


def _why_failed(build: Build, report: BuildReport) -> str:
    if report.status == "STOPPED":
        return f"not done after {build.build_minutes} minutes, and stopped"
    return report.reason or f"CodeBuild: {report.status}"


def _give_up(build: Build) -> None:
    """Nothing of it runs in CodeBuild, and nothing ever will."""
    if build.cancelled_by is not None:
        return _end(build, BuildStatus.CANCELLED, _why_cancelled(build))
    minutes = (build.deadline_at - build.created_at) // 60
    waited = f"waited {minutes} minutes for CodeBuild to take it: {build.error or 'no answer'}"
    _end(build, BuildStatus.FAILED, waited)


def _why_cancelled(build: Build) -> str:
    return f"cancelled by {build.cancelled_by}" if build.cancelled_by else "stopped in CodeBuild"
