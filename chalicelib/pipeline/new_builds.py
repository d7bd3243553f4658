"""New builds: the row, and the writes that accept it. Callers and pushes both use this."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib import clock
from chalicelib.domain.images import cache_tag, image_tag
from chalicelib.domain.progress import expected_seconds
from chalicelib.domain.pull_requests import WITHHELD, PullRequest, PullRequestOfBuild
from chalicelib.domain.pushes import Push
from chalicelib.domain.refs import Ref
from chalicelib.domain.service_settings import BuildSettings
from chalicelib.domain.statuses import BuildStatus, job_id
from chalicelib.domain.timing import PERIOD
from chalicelib.errors import Conflict
from chalicelib.settings import settings
from chalicelib.store.due import schedule_at
from chalicelib.store.history import record_request
from chalicelib.store.jobs import opened, service_key
from chalicelib.store.models import Build, Service
from chalicelib.store.services import open_build
from chalicelib.store.writes import Write, create

# Of the open builds, in an error message.
_NAMED = 10


class Source(msgspec.Struct, frozen=True):
    """The commit to build: its ref, its SHA if known, and where the request comes from.

    That is a push or a pull request with its delivery, or the build that is `retried`, or else a
    caller.
    """

    ref: Ref
    sha: str = ""
    push: Push | None = None
    pull: PullRequest | None = None
    delivery: str | None = None
    retried: Build | None = None


def new_build(
    service: Service,
    number: int,
    source: Source,
    build_settings: BuildSettings,
    *,
    actor: str,
    chosen: Collection[str] | None = None,
) -> Build:
    """The row of a queued build, with its own copy of the settings.

    `chosen` are the names of the settings that the request chose. The copy of a pull request's
    build lacks the settings in WITHHELD: whoever opened it must not read what they lead to.
    """
    now = clock.now()
    pull = _pull_request(source, build_settings)
    if pull is not None:
        build_settings = replace(build_settings, **{name: {} for name in WITHHELD})
    return Build(
        job_id("build", number),
        number=number,
        project_id=service.project_id,
        service_id=service.id,
        service_key=service_key(service.id, "build"),
        opened=opened("build", number, now),
        status=BuildStatus.QUEUED,
        requested_by=actor,
        settings=build_settings,
        git_ref=source.ref.name,
        ref_type=source.ref.type,
        image_repository=service.settings.image_repository,
        image=f"{settings().registry}/{service.settings.image_repository}",
        image_tag=image_tag(f"pr-{pull.number}" if pull else source.ref.name, source.sha, number),
        log_group=settings().log_group,
        commit_sha=source.sha or None,
        chosen=set(chosen) if chosen else None,
        pull_request=pull,
        **_cache(service, source),
        created_at=now,
        deadline_at=now + build_settings.queued_minutes * 60,
        expected_seconds=expected_seconds(service.build_seconds),
        **_origin(source),
        **schedule_at(now + PERIOD),
    )


def _origin(source: Source) -> dict[str, Any]:
    """The attributes that say what the build comes from. A retry has those of the first build."""
    push, pull, retried = source.push, source.pull, source.retried
    if retried is not None:
        names = ("trigger", "commit_message", "author", "before_sha", "delivery")
        same = {name: getattr(retried, name) for name in names}
        pushed_at = None if retried.pushed_at is None else retried.push.pushed_at
        return {**same, "pushed_at": pushed_at, "retry_of": retried.retry_of or retried.number}
    if pull is not None:
        # The event does not have the commit's message. The build reports it.
        return {
            "trigger": "pull_request",
            "author": pull.author,
            "before_sha": pull.before,
            "pushed_at": pull.at,
            "delivery": source.delivery,
        }
    if push is None:
        return {"trigger": "manual"}
    return {
        "trigger": "push",
        "commit_message": push.message,
        "author": push.author,
        "before_sha": push.before,
        "pushed_at": push.pushed_at,
        "delivery": source.delivery,
    }


def _pull_request(source: Source, build_settings: BuildSettings) -> PullRequestOfBuild | None:
    """What the build keeps of its pull request; None without one. A retry keeps what it was."""
    pull, retried = source.pull, source.retried
    if pull is not None:
        kept = PullRequestOfBuild(pull.number, pull.title)
    elif retried is not None and retried.pull_request is not None:
        kept = retried.pull_request
    else:
        return None
    return replace(kept, withheld=tuple(each for each in WITHHELD if getattr(build_settings, each)))


def has_room(service: Service) -> bool:
    """Whether the service may have one more open build."""
    return len(service.open_builds or ()) < service.settings.max_open_builds


def has_room_for_push(service: Service) -> bool:
    """The same for a push or a tag: builds of pull requests do not count, so they keep none out."""
    own = set(service.open_builds or ()) - set(service.open_pulls or ())
    return len(own) < service.settings.max_open_builds


def why_no_room(service: Service) -> str:
    """Why the service may not have one more open build, and what to do next."""
    numbers = sorted(service.open_builds or ())
    named = ", ".join(f"build-{number}" for number in numbers[:_NAMED])
    rest = " and others" if len(numbers) > _NAMED else ""
    return (
        f"service {service.id} has {len(numbers)} open builds ({named}{rest}), and its "
        f"max_open_builds is {service.settings.max_open_builds}; wait until one has ended, cancel "
        "one, or raise the setting"
    )


def require_room(service: Service) -> None:
    """Raise Conflict (too_many_builds) for a service with as many open builds as it may have."""
    if not has_room(service):
        raise Conflict(why_no_room(service), code="too_many_builds")


def _cache(service: Service, source: Source) -> dict[str, Any]:
    """The cache of the service's branch. Only builds of pushes to the branch write it.

    Steps of other builds must not reach the images of the branch through its cache.
    """
    branch = service.settings.branch
    tag = cache_tag(service.id, branch)
    pushed = source.push is not None and source.push.branch == branch
    again = source.retried is not None and source.retried.cache_to == tag
    return {"cache_from": tag, "cache_to": tag if pushed or again else None}


def accept_build(service: Service, build: Build) -> list[Write]:
    """The build's row, its entry among the service's open builds, and the audit entry.

    The caller has decided that the service, as it was read, may have one more open build.
    """
    most = max(service.settings.max_open_builds, len(service.open_builds or ()) + 1)
    return [
        create(build),
        open_build(
            service,
            build.number,
            most=most,
            pushed=build.trigger == "push",
            pull=build.pull_request is not None,
        ),
        record_request(
            build,
            "build.requested",
            git_ref=build.git_ref,
            ref_type=build.ref_type,
            commit_sha=build.commit_sha,
            trigger=build.trigger,
            **({"retry_of": build.retry_of} if build.retry_of else {}),
            **({"pull_request": build.pull_request.number} if build.pull_request else {}),
        ),
    ]
