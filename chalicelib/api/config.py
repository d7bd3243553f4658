"""The config of a service: show, change, preview a change."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.access import (
    Principal,
    load_deployment,
    load_service,
    require,
    require_whole_project,
)
from chalicelib.api import views
from chalicelib.api.deployments import Reason
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import DRY_RUN
from chalicelib.domain.config import (
    Cpu,
    DesiredCount,
    EnvironmentChanges,
    Memory,
    SecretChanges,
    require_own_references,
    task_path,
)
from chalicelib.domain.fields import given
from chalicelib.domain.plan import Plan
from chalicelib.domain.tokens import Role
from chalicelib.pipeline.commands.config import Kept, change_config, plan_config, show_config
from chalicelib.settings import settings
from chalicelib.store import models
from chalicelib.store.idempotency import IdempotencyKey

routes = Routes(__name__)


class ConfigChanges(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Changes of a service's config (RFC 7396). Omitted fields and names keep their values."""

    environment: EnvironmentChanges | UnsetType = UNSET
    secrets: SecretChanges | UnsetType = UNSET
    cpu: Cpu | UnsetType | None = UNSET
    memory: Memory | UnsetType | None = UNSET
    desired_count: DesiredCount | UnsetType | None = UNSET
    deploy: Annotated[
        bool,
        Meta(description="whether to deploy the change now; false leaves it to the next release"),
    ] = True
    reason: Reason | None = None


_NOT_DEPLOYED: Mapping[int, views.AcceptedConfig] = {
    Kept.UNCHANGED: views.AcceptedConfig(
        not_deployed="the config is the same as before, and it is released or deploy is false",
        code="unchanged",
    ),
    Kept.NOT_WANTED: views.AcceptedConfig(
        not_deployed="deploy is false; the next release takes the config", code="not_wanted"
    ),
    Kept.NO_TARGET: views.AcceptedConfig(
        not_deployed="the service has no ECS target; the first release takes the config",
        code="no_target",
    ),
    Kept.NO_RELEASE: views.AcceptedConfig(
        not_deployed="the service has no release yet; the first one takes the config",
        code="no_release",
    ),
    Kept.CHANGED_OUTSIDE: views.AcceptedConfig(
        not_deployed=(
            "the ECS service was changed outside Slipway: deploy an image, which takes the config"
        ),
        code="changed_outside",
    ),
}


def _answer(outcome: int) -> Reply:
    """The answer for the number of the deployment that brings a change, or for a Kept."""
    if outcome <= 0:
        return Reply(_NOT_DEPLOYED[outcome], status=200)
    return Reply(views.accepted_config(outcome), location=f"/v1/cicd/deployments/{outcome}")


def _shown_plan(planned: Plan | int) -> Any:
    """The plan of a deployment, or the body of the answer if none would begin."""
    return _answer(planned).body if isinstance(planned, int) else views.plan(planned)


def _repeat(caller: Principal, outcome: int) -> Reply:
    if outcome > 0:
        load_deployment(caller, outcome)
    return _answer(outcome)


@routes.endpoint("GET", "/v1/services/{service_id}/config", role=Role.DEPLOYER, answer=views.Config)
def get_config(caller: Principal, service_id: int) -> views.Config:
    """Show a service's config, with the values of its variables."""
    shown = show_config(load_service(caller, service_id))
    return views.Config(
        **msgspec.structs.asdict(shown.config),
        released=shown.released,
        deployment_id=shown.deployment,
    )


@routes.endpoint(
    "PATCH",
    "/v1/services/{service_id}/config",
    role=Role.DEPLOYER,
    body=ConfigChanges,
    query=(DRY_RUN,),
    status=202,
    answer=views.AcceptedConfig,
    repeat=_repeat,
    documented=Documented(
        other_answers={200: (views.AcceptedConfig, Plan)}, headers=("Idempotency-Replayed",)
    ),
)
def update_config(
    caller: Principal,
    service_id: int,
    body: ConfigChanges,
    dry_run: bool,
    idempotency_key: IdempotencyKey | None,
) -> Reply:
    """Change a service's config and deploy it, or show with `dry_run` what this would do."""
    service = load_service(caller, service_id)
    changes = given(body)
    deploy, reason = changes.pop("deploy"), changes.pop("reason")
    _require_secrets(caller, service, changes)
    if dry_run:
        planned = plan_config(service, changes, deploy=deploy)
        return Reply(_shown_plan(planned), status=200)
    return _answer(
        change_config(
            service,
            changes,
            actor=caller.actor,
            deploy=deploy,
            reason=reason,
            idempotency_key=idempotency_key,
        )
    )


def _require_secrets(
    caller: Principal, service: models.Service, changes: Mapping[str, Any]
) -> None:
    """Only an admin of the whole project changes secrets, as those of builds.

    A task's execution role may read secrets of other projects: a restricted token names only those
    of its project.
    """
    if "secrets" not in changes:
        return
    require(caller, Role.ADMIN)
    require_whole_project(caller)
    if caller.is_restricted:
        path = task_path(settings().table_prefix, service.project_id)
        references = changes["secrets"].values()
        require_own_references(references, path=path, installation=settings())
