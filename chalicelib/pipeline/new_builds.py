"""New builds: the row, and the writes that accept it. Callers and pushes both use this."""

from dataclasses import dataclass

from chalicelib import clock
from chalicelib.domain.images import image_tag
from chalicelib.domain.pushes import Push
from chalicelib.domain.refs import Ref
from chalicelib.domain.service_settings import BuildSettings
from chalicelib.domain.statuses import BuildStatus, job_id
from chalicelib.settings import settings
from chalicelib.store.due import schedule_at
from chalicelib.store.history import record
from chalicelib.store.jobs import opened, service_key
from chalicelib.store.models import Build, Service
from chalicelib.store.services import open_build
from chalicelib.store.writes import Write, create


@dataclass(frozen=True)
class Source:
    """The commit to build: its ref, its SHA if known, and the push that it comes from, if any."""

    ref: Ref
    sha: str = ""
    push: Push | None = None
    delivery: str | None = None


def new_build(
    service: Service, number: int, source: Source, build_settings: BuildSettings, *, actor: str
) -> Build:
    """The row of a queued build, with its own copy of the settings."""
    now = clock.now()
    push = source.push
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
        settings=build_settings,
        git_ref=source.ref.name,
        ref_type=source.ref.type,
        image_repository=service.settings.image_repository,
        image=f"{settings().registry}/{service.settings.image_repository}",
        image_tag=image_tag(source.ref.name, source.sha, number),
        log_group=settings().log_group,
        commit_sha=source.sha or None,
        commit_message=push.message if push else None,
        author=push.author if push else None,
        pushed_at=push.pushed_at if push else None,
        delivery=source.delivery,
        created_at=now,
        deadline_at=now + service.settings.queued_minutes * 60,
        **schedule_at(now),
    )


def accept_build(service: Service, build: Build) -> list[Write]:
    """The build's row, its entry among the service's open builds, and the audit entry."""
    return [
        create(build),
        open_build(service, build.number),
        record(
            build.job_id,
            "build.requested",
            at=build.created_at,
            actor=build.requested_by,
            project_id=build.project_id,
            service_id=build.service_id,
            git_ref=build.git_ref,
            ref_type=build.ref_type,
            commit_sha=build.commit_sha,
            trigger=build.trigger,
        ),
    ]
