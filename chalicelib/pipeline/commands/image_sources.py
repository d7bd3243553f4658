"""Services without builds of their own: they deploy the images that another service builds.

The other service is the source, named by the setting `image_from`, and it lists its dependents. The
list changes in the transaction that changes a dependent. So the end of a build finds all of them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from chalicelib.domain.service_settings import BUILDING_DEFAULTS, OF_SOURCE, ServiceSettings
from chalicelib.errors import Conflict, InvalidInput, NotFound, Stale
from chalicelib.store.models import Service
from chalicelib.store.services import find_service, find_services, get_service
from chalicelib.store.writes import Write, add, change, discard

# Of one source: the transaction that ends a build places the deployments of all of them.
MAX_DEPENDENTS = 10


def with_image_from(
    service: Service | None, project_id: int, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings to change, with those that follow from `image_from`.

    A dependent has the source's git_url and image_repository, and the defaults of all settings that
    only builds use. `service` is None for a new one. Raises InvalidInput or
    Conflict (missing_field, not_with_image_from), NotFound, and Conflict (image_from_itself,
    image_from_chain, has_dependents).
    """
    before = service.settings if service is not None else None
    had = before.image_from if before is not None else None
    number = changes.get("image_from", had)
    if number is None:
        if before is None or had is not None:
            _require_given(changes, kind=InvalidInput if before is None else Conflict)
        return dict(changes)
    is_new = number != had
    _require_not_given(
        (
            name
            for name, value in changes.items()
            if before is None or "image_from" in changes or getattr(before, name) != value
        ),
        number,
        kind=InvalidInput if "image_from" in changes else Conflict,
    )
    if not is_new:
        return dict(changes)
    source = _source(service, project_id, number)
    return {**BUILDING_DEFAULTS, **changes, **_from(source)}


def join_source(
    service: Service, before: ServiceSettings | None, after: ServiceSettings | None
) -> list[Write]:
    """Leave the source of `before` and join that of `after`; None means that there is no service.

    `after` has the settings of `with_image_from`. Raises its errors, Conflict
    (too_many_dependents), and Stale if the source has changed since then.
    """
    old = before.image_from if before is not None else None
    new = after.image_from if after is not None else None
    if old == new:
        return []
    writes = []
    if old is not None:
        writes.append(change(get_service(old), dependents=discard(service.id)))
    if after is not None and new is not None:
        source = _source(service, service.project_id, new)
        if _from(source) != {name: getattr(after, name) for name in OF_SOURCE}:
            raise Stale(f"service {new} has other repositories now; try again")
        if len(source.dependents or ()) >= MAX_DEPENDENTS:
            raise Conflict(
                f"{MAX_DEPENDENTS} services deploy the images of service {new} already",
                code="too_many_dependents",
                field="image_from",
            )
        writes.append(change(source, dependents=add(service.id)))
    return writes


def carry_over(service: Service, after: ServiceSettings) -> list[tuple[Service, ServiceSettings]]:
    """The dependents whose git_url changes with that of their source, with their new settings."""
    if after.git_url == service.settings.git_url:
        return []
    return [
        (each, msgspec.structs.replace(each.settings, git_url=after.git_url))
        for each in find_services(service.dependents or ())
    ]


def require_no_dependents(service: Service, *, field: str = "") -> None:
    """Raise Conflict (has_dependents) for a service whose images others deploy."""
    if service.dependents:
        numbers = ", ".join(map(str, sorted(service.dependents)))
        raise Conflict(
            f"the images of service {service.id} are deployed by other services ({numbers}): "
            "change their image_from, or delete them",
            code="has_dependents",
            field=field,
        )


def require_own_builds(service: Service) -> None:
    """Raise Conflict (no_own_builds) for a service that deploys the images of another one."""
    source = service.settings.image_from
    if source is not None:
        raise Conflict(
            f"service {service.id} has no builds of its own: it deploys the images of service "
            f"{source} (image_from); build service {source}",
            code="no_own_builds",
        )


def _from(source: Service) -> dict[str, Any]:
    return {name: getattr(source.settings, name) for name in OF_SOURCE}


def _source(service: Service | None, project_id: int, number: int) -> Service:
    """The service with this number, if it may be the source of `service`."""
    if service is not None and service.id == number:
        raise Conflict(
            "image_from must be another service: without it a service deploys its own builds",
            code="image_from_itself",
            field="image_from",
        )
    source = find_service(number)
    if source is None or source.deleted_at is not None or source.project_id != project_id:
        raise NotFound(f"there is no service {number} in this project", field="image_from")
    if source.settings.image_from is not None:
        raise Conflict(
            f"service {number} deploys the images of service {source.settings.image_from} itself: "
            f"set image_from to {source.settings.image_from}",
            code="image_from_chain",
            field="image_from",
        )
    if service is not None:
        require_no_dependents(service, field="image_from")
    return source


def _require_given(changes: Mapping[str, Any], *, kind: type[InvalidInput | Conflict]) -> None:
    missing = [name for name in OF_SOURCE if name not in changes]
    if missing:
        raise kind(
            "this field is required without image_from", code="missing_field", field=missing[0]
        )


def _require_not_given(
    names: Iterable[str], source: int, *, kind: type[InvalidInput | Conflict]
) -> None:
    wrong = [name for name in names if name in BUILDING_DEFAULTS or name in OF_SOURCE]
    if wrong:
        raise kind(
            f"{wrong[0]} cannot be set with image_from: service {source} builds the images; change "
            "it there",
            code="not_with_image_from",
            field=wrong[0],
        )
