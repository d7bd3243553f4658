"""Plans: what a request for a deployment or a rollback would do."""

from typing import Any

import msgspec

from chalicelib.domain.config import Config, Overlay
from chalicelib.domain.definitions import missing_containers, next_task_definition
from chalicelib.domain.plan import (
    AutoDeploy,
    ConfigChanges,
    Ending,
    Plan,
    PlannedApproval,
    PlannedImage,
    changes,
    commits_between,
    config_changes,
    image_in,
)
from chalicelib.domain.preflight import Finding, Refusal, Unknown, has_errors
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.strategies import ROLLING, at_once, merged, strategy_of, waits_of, weights_of
from chalicelib.pipeline.new_deployments import ReleaseImage, image_of
from chalicelib.store.jobs import find_deployments
from chalicelib.store.models import Deployment, Service

Definition = dict[str, Any]


class Checked(msgspec.Struct, frozen=True):
    """A release after its preflight: `service` is what ECS runs. `content` is the definition to
    register, still with the image and, under an `overlay`, the config that it has now. The first
    of `containers` is the main one.
    """

    image: ReleaseImage
    containers: tuple[str, ...]
    findings: tuple[Finding, ...]
    service: Rollout | Refusal | Unknown
    content: Definition | Unknown
    overlay: Overlay | None = None


def plan_of_deployment(service: Service, checked: Checked) -> Plan:
    """The plan of a deployment, which starts from what ECS runs: `checked.content`."""
    resumes = service.settings.auto_deploy and service.auto_deploy_paused is not None
    return _plan(
        service,
        checked,
        running=checked.content,
        then=_with_release(checked),
        wanted=_planned(checked.image),
        ends=_superseded(service),
        starts_after=service.active,
        auto_deploy="resumed" if resumes else "unchanged",
        release_command=service.settings.release_command,
    )


def plan_of_config(
    service: Service,
    checked: Checked,
    after: Config,
    *,
    starts_after: int | None,
    release_command: tuple[str, ...] | None,
) -> Plan:
    """The plan of the deployment that brings the config `after`."""
    return _plan(
        service,
        checked,
        running=checked.content,
        then=_with_release(checked),
        wanted=_planned(checked.image),
        ends=[],
        starts_after=starts_after,
        auto_deploy="unchanged",
        release_command=release_command,
        config=config_changes(service.config, after),
    )


def plan_of_rollback(
    service: Service,
    checked: Checked,
    target: Deployment,
    running: Definition | Unknown,
    after: Config,
) -> Plan:
    """The plan of a rollback to `target`; `running` is the definition that ECS runs, and `after`
    the config that the service has then.
    """
    ends: list[Ending] = []
    if service.active is not None:
        ends.append(Ending(deployment_id=service.active, status="rolled_back"))
    ends += _superseded(service)
    pauses = service.settings.auto_deploy and service.auto_deploy_paused is None
    return _plan(
        service,
        checked,
        running=running,
        then=checked.content,
        wanted=_released(target),
        ends=ends,
        starts_after=None,
        auto_deploy="paused" if pauses else "unchanged",
        config=config_changes(service.config, after),
    )


def _superseded(service: Service) -> list[Ending]:
    """The deployments that have not begun: a new one of a person supersedes them."""
    numbers = (service.waiting, service.checking)
    return [Ending(deployment_id=each, status="superseded") for each in numbers if each is not None]


def _with_release(checked: Checked) -> Definition | Unknown:
    """What ECS runs, with the image and the config of a deployment."""
    content, containers, overlay = checked.content, checked.containers, checked.overlay
    if isinstance(content, Unknown) or missing_containers(content, containers):
        return content
    configured = content if overlay is None else overlay.over(content)
    return next_task_definition(configured, containers=containers, image=checked.image.full_name)


def _plan(
    service: Service,
    checked: Checked,
    *,
    running: Definition | Unknown,
    then: Definition | Unknown,
    wanted: PlannedImage,
    ends: list[Ending],
    starts_after: int | None,
    auto_deploy: AutoDeploy,
    release_command: tuple[str, ...] | None = None,
    config: ConfigChanges | None = None,
) -> Plan:
    now = _image_now(service, checked, running)
    known = not isinstance(running, Unknown) and not isinstance(then, Unknown)
    return Plan(
        possible=not has_errors(checked.findings),
        image_now=now,
        image_then=wanted,
        commits=commits_between(
            now.commit_sha if now else None,
            wanted.commit_sha,
            git_url=service.settings.git_url,
            back=wanted.deployment_id is not None,
        ),
        changes=changes(running, then) if known else None,  # type: ignore[arg-type]
        findings=checked.findings,
        ends=tuple(ends),
        starts_after=starts_after,
        expected=service.active or service.current,
        auto_deploy=auto_deploy,
        release_command=release_command,
        **_strategy(service, checked, back_to=wanted.deployment_id),
        desired_count=None if checked.overlay is None else checked.overlay.config.desired_count,
        config=config,
    )


def _strategy(service: Service, checked: Checked, *, back_to: int | None) -> dict[str, Any]:
    """How ECS would move to the release, and the approvals that it needs.

    ECS does not wait if it only takes a rollout back.
    """
    runs = checked.service
    if not isinstance(runs, Rollout):
        return {}
    active = find_deployments(service.active).get(service.active)
    moves = active.shift if active is not None else None
    if moves is not None and back_to == service.current:
        return {"strategy": moves.strategy, "waits_minutes": 0}
    setting = None if runs.is_express else service.settings.strategy
    setting = setting if back_to is None else at_once(runs.configuration, setting)
    configuration = merged(runs.configuration, setting)
    return {
        "strategy": strategy_of(configuration),
        "waits_minutes": waits_of(configuration),
        "approval": None if runs.is_express else _approval(service, configuration, back_to),
    }


def _approval(
    service: Service, configuration: dict[str, Any], back_to: int | None
) -> PlannedApproval | None:
    """The approvals that it needs. In a rolling update there is nothing to approve."""
    minutes = service.settings.approval_for(is_rollback=back_to is not None)
    if minutes is None or strategy_of(configuration) == ROLLING:
        return None
    return PlannedApproval(minutes=minutes, traffic=weights_of(configuration))


def _image_now(
    service: Service, checked: Checked, running: Definition | Unknown
) -> PlannedImage | None:
    """The image that ECS runs, with its release if that is one of the service."""
    if isinstance(checked.service, Rollout):
        rows = find_deployments(service.active, service.current).values()
        for row in rows:
            if row.task_definition == checked.service.task_definition:
                return _released(row)
    image = None if isinstance(running, Unknown) else image_in(running, checked.containers[0])
    if image is None:
        return None
    return PlannedImage(image=image, image_digest=image.partition("@")[2] or None)


def _released(release: Deployment) -> PlannedImage:
    return _planned(image_of(release), deployment_id=release.number)


def _planned(image: ReleaseImage, *, deployment_id: int | None = None) -> PlannedImage:
    return PlannedImage(
        image=image.name,
        image_digest=image.digest or None,
        image_tag=image.tag or None,
        commit_sha=image.commit_sha,
        build_id=image.build_id,
        deployment_id=deployment_id,
    )
