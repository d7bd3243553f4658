"""Changes of a service's config, and the deployments that bring them."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.aws import queue
from chalicelib.domain.config import Config, merged
from chalicelib.domain.plan import Plan
from chalicelib.domain.preflight import Finding, PreflightFailed, has_errors
from chalicelib.domain.release_commands import STAYS
from chalicelib.domain.rollouts import Rollout
from chalicelib.pipeline.commands.deployments import check_release
from chalicelib.pipeline.config_releases import TRIGGER, commands_that_stay, set_config
from chalicelib.pipeline.new_deployments import (
    ReleaseImage,
    enqueue_change,
    image_of,
    new_deployment,
)
from chalicelib.pipeline.plans import Checked, plan_of_config
from chalicelib.pipeline.preflight import Look, look_at_image
from chalicelib.pipeline.retries import retry_with_fresh_service
from chalicelib.store.claims import next_number
from chalicelib.store.definitions import deployment_of
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, commit


class Kept(IntEnum):
    """Why no deployment brings a change. An Idempotency-Key keeps it like a deployment's number."""

    UNCHANGED = 0
    NOT_WANTED = -1
    NO_TARGET = -2
    NO_RELEASE = -3
    CHANGED_OUTSIDE = -4


class ShownConfig(msgspec.Struct, frozen=True):
    """A service's config. `released` is true if the current release has exactly this one.

    `deployment` is the number of the open deployment that brings it, or has it already.
    """

    config: Config
    released: bool
    deployment: int | None


class _Place(msgspec.Struct, frozen=True):
    """Where a change takes effect: the open deployment that has not begun, or the newest release.

    A rollback does not take the service's config.
    """

    open: Deployment | None
    newest: Deployment | None

    @property
    def image(self) -> ReleaseImage | None:
        """The image that a change is released with; None without a release."""
        source = self.open or self.newest
        return None if source is None else image_of(source)


def show_config(service: Service) -> ShownConfig:
    """The service's config, and where it is released."""
    rows = find_deployments(service.active, service.waiting, service.current)
    current = rows.get(service.current)
    has_it = current is not None and current.own_config == service.config
    active, waiting = rows.get(service.active), rows.get(service.waiting)
    brings = (
        each.number
        for each in (active, waiting)
        if each is not None and (_takes_config(each) or each.own_config == service.config)
    )
    return ShownConfig(service.config, has_it, next(brings, None))


def change_config(
    service: Service,
    changes: Mapping[str, Any],
    *,
    actor: str,
    deploy: bool,
    reason: str | None,
    idempotency_key: IdempotencyKey | None = None,
) -> int:
    """Merge changes into the config; return the number of the deployment that brings it, or a Kept.

    A deployment that has not begun takes the config when it begins. Otherwise a new one is made if
    `deploy` is true, with the image of the newest release. An unchanged config is deployed, too, if
    it is not released and no open deployment brings it.
    Raises the errors of `merged`, and Conflict (preflight_failed).
    """
    preflight = _Preflight()

    def accept(service: Service) -> int:
        after = merged(service.config, changes)
        if after == service.config:
            same = _outcome_if_unchanged(service, deploy=deploy)
            if same is not None:
                _commit_any(record_key(idempotency_key, same) if same > 0 else ())
                return same
        place = _place(service)
        kept, findings = _judge(service, place, after, preflight, deploy=deploy)
        writes: list[Write] = []
        if kept is not None or place.image is None:
            outcome: int = Kept.NO_RELEASE if kept is None else kept
        elif place.open is not None:
            outcome = place.open.number
            # On condition that it has not begun: its begin is no change of the service alone.
            writes = [change(place.open)]
        else:
            outcome = next_number("deployments")
            deployment = new_deployment(
                service,
                outcome,
                place.image,
                actor=actor,
                trigger=TRIGGER,
                reason=reason,
                findings=findings,
            )
            writes = enqueue_change(service, deployment)
        brings = outcome if outcome > 0 else None
        writes += set_config(service, after, actor=actor, reason=reason, deployment=brings)
        _commit_any([*writes, *record_key(idempotency_key, outcome)])
        return outcome

    outcome = retry_with_fresh_service(service, accept)
    if outcome > 0:
        queue.wake(f"service-{service.id}")
    return outcome


def plan_config(service: Service, changes: Mapping[str, Any], *, deploy: bool) -> Plan | int:
    """What a change would do: the plan of the deployment that brings it. Nothing is written.

    If no deployment would begin for it, the outcome of `change_config`. Raises the errors of
    `merged`.
    """
    after = merged(service.config, changes)
    place = _place(service)
    begins = place.open.number if place.open is not None else None
    if after == service.config:
        same = _outcome_if_unchanged(service, deploy=deploy)
        if same is not None and same != begins:
            return same
    kept = _why_kept(service, place, deploy=deploy)
    if kept is not None or place.image is None:
        return Kept.NO_RELEASE if kept is None else kept
    checked = _checked(service, place.image, after)
    if _is_chosen_outside(service, place, checked):
        return Kept.CHANGED_OUTSIDE
    is_next = begins is not None and begins == service.active
    goes_back = any(each.code == STAYS for each in checked.findings)
    return plan_of_config(
        service,
        checked,
        after,
        starts_after=None if is_next else service.active,
        release_command=None if goes_back else service.settings.release_command,
    )


def _outcome_if_unchanged(service: Service, *, deploy: bool) -> int | None:
    """The open deployment that brings the config or has it, or Kept.UNCHANGED.

    None if the config is not released and is to be deployed.
    """
    shown = show_config(service)
    if shown.deployment is not None:
        return shown.deployment
    return Kept.UNCHANGED if shown.released or not deploy else None


def _commit_any(writes: Sequence[Write]) -> None:
    if writes:
        commit(*writes)


def _place(service: Service) -> _Place:
    rows = find_deployments(service.active, service.waiting, service.current)
    active, waiting = rows.get(service.active), rows.get(service.waiting)
    to_begin = active if active is not None and _takes_config(active) else waiting
    return _Place(to_begin, active or rows.get(service.current))


def _takes_config(deployment: Deployment) -> bool:
    """Whether an open deployment takes the service's config: when it begins, unless it is a
    rollback.
    """
    return deployment.task_definition is None and deployment.restores is None


class _Preflight:
    """Preflight takes time. It is not repeated if another request changes the service meanwhile."""

    def __init__(self) -> None:
        self._known: tuple[ReleaseImage, Config, Checked] | None = None

    def __call__(self, service: Service, image: ReleaseImage, after: Config) -> Checked:
        if self._known is None or self._known[:2] != (image, after):
            self._known = (image, after, _checked(service, image, after))
        return self._known[2]


def _judge(
    service: Service, place: _Place, after: Config, preflight: _Preflight, *, deploy: bool
) -> tuple[Kept | None, tuple[Finding, ...]]:
    """Why no deployment brings a change, or None with the findings of its preflight.

    Raises Conflict (preflight_failed).
    """
    kept = _why_kept(service, place, deploy=deploy)
    if kept is not None or place.image is None or not deploy:
        return kept, ()
    checked = preflight(service, place.image, after)
    if _is_chosen_outside(service, place, checked):
        return Kept.CHANGED_OUTSIDE, ()
    if has_errors(checked.findings):
        raise PreflightFailed(checked.findings)
    return None, checked.findings


def _why_kept(service: Service, place: _Place, *, deploy: bool) -> Kept | None:
    if place.open is not None:
        return None
    if not deploy:
        return Kept.NOT_WANTED
    if service.settings.ecs_target is None:
        return Kept.NO_TARGET
    return Kept.NO_RELEASE if place.newest is None else None


def _is_chosen_outside(service: Service, place: _Place, checked: Checked) -> bool:
    """Whether ECS runs what another party chose instead of the current release.

    Without an active deployment that is each definition that Slipway has not registered for the
    service. The baseline was chosen, too. An earlier release may be undone right now: if it was
    chosen, the deployment's end says so.
    """
    if service.active is not None or place.newest is None:
        return False
    if not isinstance(checked.service, Rollout):
        return service.baseline is not None
    runs = checked.service.task_definition
    if runs == place.newest.task_definition:
        return False
    return runs == service.baseline or deployment_of(service.id, runs) is None


def _checked(service: Service, image: ReleaseImage, config: Config) -> Checked:
    look = Look()
    status = look_at_image(look, image.repository, image.digest)
    checked = check_release(service, image, status, config, look)
    if service.active is not None or not service.commands:
        return checked
    current = find_deployments(service.current).get(service.current)
    stays = commands_that_stay(service, image.digest, current)
    return replace(checked, findings=(*checked.findings, *stays))
