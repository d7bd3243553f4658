"""Requests for a build."""

from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib.aws import queue
from chalicelib.domain.refs import Ref, RefType
from chalicelib.pipeline.new_builds import Source, accept_build, new_build
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

    `options` are `BuildOptions` by name that replace the service's. Raises Stale if the service has
    been deleted.
    """
    build = new_build(
        service,
        next_number("builds"),
        Source(ref, ref.name if ref.type is RefType.COMMIT else ""),
        msgspec.structs.replace(service.settings.build, **options),
        actor=actor,
    )
    commit(*accept_build(service, build), *record_key(idempotency_key, build.number))
    queue.wake(build.job_id)
    return build
