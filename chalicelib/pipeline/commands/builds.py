"""Requests for a build, and for a retry of one."""

from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib.aws import queue
from chalicelib.domain.refs import Ref, RefType
from chalicelib.domain.statuses import BuildStatus, has_ended
from chalicelib.errors import Conflict
from chalicelib.pipeline.commands.image_sources import require_own_builds
from chalicelib.pipeline.new_builds import Source, accept_build, new_build, require_room
from chalicelib.pipeline.retries import retry_with_fresh_service
from chalicelib.store.claims import next_number
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.models import Build, Service
from chalicelib.store.writes import commit


def request_build(
    service: Service,
    *,
    actor: str,
    ref: Ref,
    options: Mapping[str, Any],
    idempotency_key: IdempotencyKey | None = None,
) -> Build:
    """Accept a build of a branch, a tag or a commit.

    `options` are `BuildOptions` by name that replace the service's. Raises Conflict
    (no_own_builds, too_many_builds), and NotFound if the service has been deleted.
    """
    source = Source(ref, ref.name if ref.type is RefType.COMMIT else "")
    return _accept(service, source, options, actor=actor, idempotency_key=idempotency_key)


def retry_build(
    service: Service, build: Build, *, actor: str, idempotency_key: IdempotencyKey | None = None
) -> Build:
    """Accept a new build of the same commit, with the trigger and the order of the first one.

    It has the service's present settings, except those that the first request chose. Without a
    known commit it builds the same ref. Raises Conflict (build_open, build_succeeded,
    no_own_builds, too_many_builds), and NotFound if the service has been deleted.
    """
    _require_failed(build)
    ref = Ref(build.git_ref, RefType(build.ref_type) if build.ref_type else None)
    source = Source(ref, build.commit_sha or "", retried=build)
    options = {name: getattr(build.settings, name) for name in build.chosen or ()}
    return _accept(service, source, options, actor=actor, idempotency_key=idempotency_key)


def _accept(
    service: Service,
    source: Source,
    options: Mapping[str, Any],
    *,
    actor: str,
    idempotency_key: IdempotencyKey | None,
) -> Build:
    _require_possible(service)
    number = next_number("builds")

    def accept(service: Service) -> Build:
        _require_possible(service)
        build = new_build(
            service,
            number,
            source,
            msgspec.structs.replace(service.settings.build, **options),
            actor=actor,
            chosen=options,
        )
        commit(
            *accept_build(service, build),
            *record_key(idempotency_key, number),
        )
        return build

    build = retry_with_fresh_service(service, accept)
    queue.wake(build.job_id)
    return build


def _require_possible(service: Service) -> None:
    require_own_builds(service)
    require_room(service)


def _require_failed(build: Build) -> None:
    if not has_ended(build.status):
        raise Conflict(
            f"build {build.number} has not ended: it is {build.status}; wait for its end or "
            "cancel it",
            code="build_open",
        )
    if build.status == BuildStatus.SUCCESS:
        raise Conflict(
            f"build {build.number} succeeded; deploy its image instead of building it again",
            code="build_succeeded",
        )
