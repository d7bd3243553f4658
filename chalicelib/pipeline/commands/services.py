"""Creating, changing and deleting services, each in one transaction.

Names and ECS services are claims, so two services never have the same one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from chalicelib import clock
from chalicelib.aws import ecr, secrets
from chalicelib.domain.credentials import build_path, require_below
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.images import create_repository, no_repository
from chalicelib.domain.preflight import Refusal
from chalicelib.domain.service_settings import TARGET_FIELDS, ServiceSettings
from chalicelib.domain.timing import SILENCE
from chalicelib.domain.webhook_secrets import TOO_SHORT, is_short
from chalicelib.errors import Conflict, InvalidInput, Rejected, Unavailable
from chalicelib.outbound.github import github_host
from chalicelib.pipeline.commands.followers import follow
from chalicelib.pipeline.commands.image_sources import (
    carry_over,
    join_source,
    require_no_dependents,
    with_image_from,
)
from chalicelib.pipeline.github_access import channel_for, github_name
from chalicelib.pipeline.preflight import Look, look_at_service
from chalicelib.pipeline.retries import existing_service, retry_on_conflict
from chalicelib.settings import settings as installation
from chalicelib.store.channels import forget_channels
from chalicelib.store.claims import next_number, owner_of, replace_claims
from chalicelib.store.history import record
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.models import LISTED, Claim, Project, Service
from chalicelib.store.services import find_service
from chalicelib.store.writes import ConditionFailed, Write, change, commit, create

# What a service knows of its ECS service, and forgets when it moves to another one.
_OF_TARGET = (
    "current",
    "baseline",
    "drift",
    "health",
    "tasks",
    "approval_hooks",
    "chosen",
    "failed_deployment",
    "failing_since",
    "rollback_trouble",
    "rollback_checked",
)
_NOT_WHILE_BUSY = frozenset({*TARGET_FIELDS, "image_repository", "image_from"})


def create_service(
    project: Project,
    given: Mapping[str, Any],
    *,
    actor: str,
    idempotency_key: IdempotencyKey | None = None,
) -> Service:
    """Create a service with the `given` settings, by name.

    Raises InvalidInput (incomplete_ecs_target, auto_deploy_without_target,
    image_repository_not_found, ecs_service_not_found, ecs_controller_unsupported,
    webhook_secret_too_short), Forbidden (secret_not_allowed), Conflict (name_taken,
    ecs_service_taken, too_many_services, too_many_webhook_secrets, repository_not_on_github,
    no_github_channel), and the errors of `with_image_from` and `join_source`.
    """

    def write() -> Service:
        settings = ServiceSettings(**with_image_from(None, project.id, given))
        _require_complete(project, settings)
        now = clock.now()
        service = Service(
            next_number("services"),
            project_id=project.id,
            listed=LISTED,
            listed_in=project.id,
            settings=settings,
            created_at=now,
            updated_at=now,
        )
        _commit(
            create(service),
            *_own(service, None, settings),
            *follow(service, None, settings),
            *join_source(service, None, settings),
            _audit(
                service,
                "service.created",
                actor,
                _audited(settings, settings.__struct_fields__),
            ),
            *record_key(idempotency_key, service.id),
        )
        return service

    return retry_on_conflict(write)


def update_service(service: Service, changes: Mapping[str, Any], *, actor: str) -> Service:
    """Change settings of a service, and return its new row.

    Switching auto-deploy on also ends its pause. After a move to another ECS service there is no
    current release, because the earlier one does not run there. Raises the errors of
    `create_service`, and Conflict (service_busy, incomplete_ecs_target,
    auto_deploy_without_target).
    """
    _require_whole_removal(changes)
    _require_own_secrets(service.project_id, changes)
    if changes.get("auto_deploy") and any(changes.get(name, "") is None for name in TARGET_FIELDS):
        raise _auto_deploy_without_target(InvalidInput)

    def write() -> Service:
        fresh = existing_service(service.id)
        before = fresh.settings
        wanted = with_image_from(fresh, fresh.project_id, changes)
        names = [name for name, value in wanted.items() if getattr(before, name) != value]
        resumes = changes.get("auto_deploy") is True and fresh.auto_deploy_paused is not None
        if not names and not resumes:
            return fresh
        after = msgspec.structs.replace(before, **{name: wanted[name] for name in names})
        _require_rest_of_target(fresh, after)
        if {"auto_deploy", *TARGET_FIELDS} & set(names):
            _require_target_of_auto_deploy(after)
        if _NOT_WHILE_BUSY & set(names):
            _require_idle(fresh)
        if "image_repository" in names:
            require_no_dependents(fresh, field="image_repository")
        _require_reachable(fresh, after, names)
        carried = carry_over(fresh, after)
        resumed = {"resumed": fresh.auto_deploy_paused} if resumes else {}
        _commit(
            change(
                fresh,
                settings=after,
                updated_at=clock.now(),
                **_state(fresh, names, resumes),
            ),
            *_own(fresh, before, after),
            *follow(fresh, before, after),
            *join_source(fresh, before, after),
            _audit_change(fresh, actor, before, after, names, **resumed),
            *(
                write
                for each, own in carried
                for write in (
                    change(each, settings=own, updated_at=clock.now()),
                    _audit_change(each, actor, each.settings, own, ["git_url"]),
                )
            ),
        )
        return fresh

    return retry_on_conflict(write)


def delete_service(service: Service, *, actor: str) -> None:
    """Delete a service and release its claims; its row and history stay.

    Raises Conflict (service_busy, has_dependents).
    """

    def write() -> None:
        fresh = existing_service(service.id)
        require_no_dependents(fresh)
        _require_idle(fresh)
        _commit(
            change(fresh, deleted_at=clock.now(), listed=None, listed_in=None),
            *_own(fresh, fresh.settings, None),
            *follow(fresh, fresh.settings, None),
            *join_source(fresh, fresh.settings, None),
            _audit(fresh, "service.deleted", actor, {"name": fresh.settings.name}),
        )

    retry_on_conflict(write)


def _require_complete(project: Project, settings: ServiceSettings) -> None:
    """Refuse settings of a new service that contradict each other, or name what is not there."""
    missing = _missing_of_target(settings)
    if missing:
        raise _incomplete_target(missing)
    _require_own_secrets(project.id, msgspec.structs.asdict(settings))
    if settings.auto_deploy and settings.ecs_target is None:
        raise _auto_deploy_without_target(InvalidInput)
    # It has no channel of its own yet.
    _require_access_to_checks(Service(0, project_id=project.id), settings)
    if settings.image_from is None:
        _require_image_repository(settings.image_repository)
    _require_ecs_service(settings.ecs_target)
    _require_long_webhook_secret(settings.webhook_secret)


def _require_reachable(service: Service, settings: ServiceSettings, names: list[str]) -> None:
    """Refuse new values of the settings `names` that name what is not there."""
    if {"require_checks", "git_url"} & set(names):
        _require_access_to_checks(service, settings)
    if "image_repository" in names and settings.image_from is None:
        _require_image_repository(settings.image_repository)
    if {"ecs_cluster", "ecs_service"} & set(names):
        _require_ecs_service(settings.ecs_target)
    if "webhook_secret" in names:
        _require_long_webhook_secret(settings.webhook_secret)


def _require_own_secrets(project_id: int, values: Mapping[str, Any]) -> None:
    """A build can read only its own project's secrets."""
    path = build_path(installation().table_prefix, project_id)
    for field in ("secrets", "also_push_to"):
        for reference in values.get(field, {}).values():
            require_below(path, reference, field=field)


def _state(service: Service, names: list[str], resumes: bool) -> dict[str, Any]:
    """The attributes, besides the settings, that change with these settings."""
    state: dict[str, Any] = {"auto_deploy_paused": None} if resumes else {}
    if {"ecs_cluster", "ecs_service"} & set(names):
        moved_from = service.current or service.moved_from
        state |= {**dict.fromkeys(_OF_TARGET), "moved_from": moved_from}
    return state


def _commit(*writes: Write) -> None:
    """Commit. If another service owns a claim, raise Conflict: a retry cannot help."""
    try:
        commit(*writes)
    except ConditionFailed as failed:
        names = {row.id for row in failed.existing if isinstance(row, Claim)}
        if target := next((name for name in names if name.startswith("ecs:")), None):
            raise Conflict(
                f"this ECS service belongs to {_owner(target)} already",
                code="ecs_service_taken",
                field="ecs_service",
            ) from failed
        if any(name.startswith("service:") for name in names):
            raise Conflict("this name is taken", code="name_taken", field="name") from failed
        raise


def _owner(target: str) -> str:
    """The service that owns an ECS service. Only unrestricted tokens, which see it, get here."""
    owner = owner_of(target)
    service = find_service(int(owner.removeprefix("service-"))) if owner else None
    return f"service {service.id} ({service.settings.name})" if service else "another service"


def _own(
    service: Service, before: ServiceSettings | None, after: ServiceSettings | None
) -> list[Write]:
    old, new = _claim_names(service, before), _claim_names(service, after)
    return replace_claims(_subject(service), old, new)


def _claim_names(service: Service, settings: ServiceSettings | None) -> set[str]:
    if settings is None:
        return set()
    names = {f"service:{service.project_id}/{settings.name}"}
    if settings.ecs_service is not None:
        names.add(f"ecs:{settings.ecs_cluster}/{settings.ecs_service}")
    return names


def _require_whole_removal(changes: Mapping[str, Any]) -> None:
    removed = [name for name in TARGET_FIELDS if name in changes and changes[name] is None]
    if removed and len(removed) < len(TARGET_FIELDS):
        raise _incomplete_target(removed)


def _require_rest_of_target(service: Service, settings: ServiceSettings) -> None:
    """A change may set parts of the target only if the service has the other parts already."""
    missing = _missing_of_target(settings)
    if missing:
        raise Conflict(
            f"service {service.id} has no ECS target yet: give {', '.join(TARGET_FIELDS)} together",
            code="incomplete_ecs_target",
            field=missing[0],
        )


def _missing_of_target(settings: ServiceSettings) -> list[str]:
    missing = [name for name in TARGET_FIELDS if getattr(settings, name) is None]
    return missing if len(missing) < len(TARGET_FIELDS) else []


def _incomplete_target(missing: list[str]) -> InvalidInput:
    return InvalidInput(
        f"{', '.join(TARGET_FIELDS)} must be given together",
        code="incomplete_ecs_target",
        field=missing[0],
    )


def _require_target_of_auto_deploy(settings: ServiceSettings) -> None:
    """A change of one of the two may contradict the other one, which the service has already."""
    if settings.auto_deploy and settings.ecs_target is None:
        raise _auto_deploy_without_target(Conflict)


def _auto_deploy_without_target(kind: type[InvalidInput | Conflict]) -> InvalidInput | Conflict:
    return kind(
        "auto_deploy needs an ECS target to deploy to: set "
        f"{', '.join(TARGET_FIELDS)}, or set auto_deploy to false",
        code="auto_deploy_without_target",
        field="auto_deploy",
    )


def _require_image_repository(name: str) -> None:
    """Refuse an image repository that ECR does not have, unless ECR does not say."""
    try:
        exists = ecr.has_repository(name)
    except (Rejected, Unavailable):
        return
    if not exists:
        raise InvalidInput(
            f"{no_repository(name)}. {create_repository(name, installation().registry)}",
            code="image_repository_not_found",
            field="image_repository",
        )


def _require_ecs_service(target: EcsTarget | None) -> None:
    """Refuse an ECS service that is missing or that Slipway cannot deploy, unless ECS does not say.

    Without this the first push would be built before anybody sees that it cannot be deployed.
    """
    found = look_at_service(Look(), target) if target is not None else None
    if isinstance(found, Refusal):
        unsupported = found.code == "ecs_controller_unsupported"
        raise InvalidInput(
            found.advice,
            code=found.code if unsupported else "ecs_service_not_found",
            field="ecs_service",
        )


def _require_access_to_checks(service: Service, settings: ServiceSettings) -> None:
    """Refuse to wait for checks that Slipway cannot read."""
    if settings.require_checks is None:
        return
    if github_name(settings.repository) is None:
        raise Conflict(
            f"{settings.repository} is not on {github_host()}, whose checks Slipway reads: set "
            "require_checks to null",
            code="repository_not_on_github",
            field="require_checks",
        )
    forget_channels()
    if channel_for(service) is None:
        raise Conflict(
            "require_checks needs a channel of kind github that is on, for this service, its "
            "project or all projects: create one first (POST /v1/channels), or test the one that "
            "is off",
            code="no_github_channel",
            field="require_checks",
        )


def _require_long_webhook_secret(reference: str | None) -> None:
    """Refuse a new webhook secret that can be guessed, unless it cannot be read yet."""
    if reference is None:
        return
    try:
        found = secrets.read(reference, max_age=0)
    except Unavailable:
        return
    if is_short(found):
        raise InvalidInput(
            f"the secret behind {reference} {TOO_SHORT}: store a longer one",
            code="webhook_secret_too_short",
            field="webhook_secret",
        )


def _require_idle(service: Service) -> None:
    deployments = (service.active, service.waiting, service.checking)
    if any(each is not None for each in deployments) or service.open_builds:
        raise Conflict(
            f"service {service.id} has builds or deployments under way; wait until they have ended",
            code="service_busy",
        )
    released = service.current is not None or service.baseline is not None
    if released and _may_be_rolling(service):
        raise Conflict(
            f"a rollout of service {service.id} may still be under way in ECS; try again in a "
            "minute or two",
            code="service_busy",
        )


def _may_be_rolling(service: Service) -> bool:
    """Whether an earlier UpdateService call may still have an effect.

    While access to ECS is denied, this is assumed only for a time.
    """
    called_at = service.called_at
    shown = service.drift is not None
    return called_at is not None and not (shown and clock.now() - called_at > SILENCE)


def _audited(settings: ServiceSettings, names: Iterable[str]) -> dict[str, Any]:
    """Settings for the audit trail. Of build arguments only the names: values may be secret."""
    shown = {name: msgspec.to_builtins(getattr(settings, name)) for name in names}
    if "build_args" in shown:
        shown["build_args"] = sorted(shown["build_args"])
    return shown


def _audit_change(
    service: Service,
    actor: str,
    before: ServiceSettings,
    after: ServiceSettings,
    names: Iterable[str],
    **more: Any,
) -> Write:
    names = list(names)
    changed = {"before": _audited(before, names), "after": _audited(after, names)}
    return _audit(service, "service.updated", actor, changed | more)


def _subject(service: Service) -> str:
    return f"service-{service.id}"


def _audit(service: Service, action: str, actor: str, details: dict[str, Any]) -> Write:
    return record(
        _subject(service),
        action,
        at=clock.now(),
        actor=actor,
        project_id=service.project_id,
        service_id=service.id,
        **details,
    )
