"""Deployments and rollbacks: request, preview, list, show."""

from typing import Annotated, Literal, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.access import Principal, load_deployment, load_service
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import CURSOR, DEPLOYMENT_STATUS, DRY_RUN, LIMIT, RESTORED, Id
from chalicelib.domain.fields import Rule
from chalicelib.domain.images import Image, image_reference
from chalicelib.domain.plan import Plan
from chalicelib.domain.preflight import Finding, PreflightFailed, errors_as_text
from chalicelib.domain.tokens import Role
from chalicelib.errors import Conflict, NotFound
from chalicelib.pipeline.commands.approvals import approve, reject
from chalicelib.pipeline.commands.deployments import plan_deployment, request_deployment
from chalicelib.pipeline.commands.rollbacks import preview, request_rollback
from chalicelib.pipeline.progress import tasks_of, waiting_for
from chalicelib.store import models
from chalicelib.store.idempotency import IdempotencyKey
from chalicelib.store.jobs import find_jobs
from chalicelib.store.release_receipts import find_release_receipt

routes = Routes(__name__)

Reason = Annotated[
    str,
    Meta(max_length=500, description="why, for the audit trail, in at most 500 characters"),
]


class NewDeployment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An image to deploy, named by the tag of a build or by its digest. With the plan's `expected`,
    also if it is null, the request is refused (409 `plan_is_old`) if another deployment has become
    active since.
    """

    image_tag: Image
    reason: Reason | None = None
    expected: Id | UnsetType | None = UNSET


class NewRollback(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rollback. Without `deployment_id` it restores the previous release. With the plan's
    `expected`, also if it is null, it is refused (409 `plan_is_old`) if another deployment has
    become active since.
    """

    # Null would be the previous release, which is not what a script meant that finds no id.
    deployment_id: Id | UnsetType = UNSET
    reason: Reason | None = None
    expected: Id | UnsetType | None = UNSET


HookId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="the hook that is answered, as `approval.hook_id` of the deployment has it. If "
        "another one awaits an answer, the request is refused (409 `other_hook`)",
    ),
]


Steps = Annotated[
    Literal["next", "all"],
    Meta(
        description="what is approved: `next`, the traffic for which the deployment waits now, or "
        "`all`, that of its later steps, too"
    ),
    Rule(explain=lambda _: "steps must be next or all"),
]


class NewApproval(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An approval of the production traffic for which a deployment waits."""

    steps: Steps = "next"
    reason: Reason | None = None
    hook_id: HookId | UnsetType = UNSET


class NewRejection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The end of a deployment that awaits an approval."""

    reason: Reason | None = None
    hook_id: HookId | UnsetType = UNSET


class RollbackPreview(msgspec.Struct, kw_only=True):
    """The release that a rollback would restore now, with the plan. If it is not `possible`, `code`
    and `reason` are those of the answer to a rollback. There is a `target` and a `plan` then, too,
    if the code is `preflight_failed`: `findings` say what to do.
    """

    possible: bool
    target: views.Deployment | None
    code: str | None
    reason: str | None
    findings: list[Finding]
    plan: Plan | None


def _accepted(deployment: models.Deployment) -> Reply:
    return Reply(
        views.accepted_deployment(deployment),
        location=f"/v1/cicd/deployments/{deployment.number}",
    )


def _repeat(caller: Principal, number: int) -> Reply:
    return _accepted(load_deployment(caller, number))


@routes.endpoint(
    "POST",
    "/v1/cicd/services/{service_id}/deploy",
    role=Role.DEPLOYER,
    body=NewDeployment,
    query=(DRY_RUN,),
    status=202,
    answer=views.AcceptedDeployment,
    repeat=_repeat,
    documented=Documented(other_answers={200: Plan}),
)
def deploy(
    caller: Principal,
    service_id: int,
    body: NewDeployment,
    dry_run: bool,
    idempotency_key: IdempotencyKey | None,
) -> Reply:
    """Deploy an image, or show with `dry_run` what this would do."""
    service = load_service(caller, service_id)
    image = image_reference(body.image_tag)
    if dry_run:
        return Reply(views.plan(plan_deployment(service, image)), status=200)
    return _accepted(
        request_deployment(
            service,
            actor=caller.actor,
            image=image,
            reason=body.reason,
            expected=body.expected,
            idempotency_key=idempotency_key,
        )
    )


@routes.endpoint(
    "POST",
    "/v1/cicd/services/{service_id}/rollback",
    role=Role.DEPLOYER,
    body=NewRollback,
    body_is_optional=True,
    status=202,
    answer=views.AcceptedDeployment,
    repeat=_repeat,
)
def roll_back(
    caller: Principal, service_id: int, body: NewRollback, idempotency_key: IdempotencyKey | None
) -> Reply:
    """Roll back to an earlier release: its image and its configuration."""
    service = load_service(caller, service_id)
    return _accepted(
        request_rollback(
            service,
            actor=caller.actor,
            deployment_id=None if body.deployment_id is UNSET else body.deployment_id,
            reason=body.reason,
            expected=body.expected,
            idempotency_key=idempotency_key,
        )
    )


@routes.endpoint(
    "GET",
    "/v1/cicd/services/{service_id}/rollback",
    role=Role.VIEWER,
    query=(RESTORED,),
    answer=RollbackPreview,
    documented=Documented(errors=(409,)),
)
def preview_rollback(
    caller: Principal, service_id: int, deployment_id: int | None
) -> RollbackPreview:
    """Preview a rollback without starting it."""
    found = preview(load_service(caller, service_id), deployment_id)
    target, refusal = found.target, found.refusal
    plan = views.plan(found.plan) if found.plan is not None else None
    findings = list(plan.findings) if plan is not None else []
    return RollbackPreview(
        possible=refusal is None,
        target=views.deployment(target) if target is not None else None,
        code=refusal.code if refusal is not None else None,
        reason=_reason(refusal, findings) if refusal is not None else None,
        findings=findings,
        plan=plan,
    )


def _reason(refusal: Conflict, findings: list[Finding]) -> str:
    is_preflight = isinstance(refusal, PreflightFailed)
    return errors_as_text(findings) if is_preflight else refusal.detail


@routes.endpoint(
    "GET",
    "/v1/cicd/services/{service_id}/deployments",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR, DEPLOYMENT_STATUS),
    answer=views.Page[views.Deployment],
    is_tagged=True,
)
def list_deployments(
    caller: Principal, service_id: int, limit: int, cursor: int | None, status: str | None
) -> views.Page[views.Deployment]:
    """List a service's deployments, newest first."""
    service = load_service(caller, service_id, history=True)
    found = find_jobs("deploy", service, status=status, limit=limit, before=cursor)
    rows = [cast(models.Deployment, row) for row in found.rows]
    return views.page(rows, found.before, views.deployment)


@routes.endpoint(
    "GET",
    "/v1/cicd/deployments/{deployment_id}",
    role=Role.VIEWER,
    answer=views.Deployment,
    is_tagged=True,
)
def get_deployment(caller: Principal, deployment_id: int) -> views.Deployment:
    """Show a deployment."""
    row = load_deployment(caller, deployment_id)
    return views.deployment(row, waiting_for=waiting_for(row), tasks=tasks_of(row))


def _answered(deployment: models.Deployment) -> Reply:
    return Reply(views.deployment(deployment), location=f"/v1/cicd/deployments/{deployment.number}")


def _repeat_answer(caller: Principal, number: int) -> Reply:
    return _answered(load_deployment(caller, number))


@routes.endpoint(
    "POST",
    "/v1/cicd/deployments/{deployment_id}/approve",
    role=Role.DEPLOYER,
    body=NewApproval,
    body_is_optional=True,
    status=202,
    answer=views.Deployment,
    repeat=_repeat_answer,
)
def approve_deployment(
    caller: Principal, deployment_id: int, body: NewApproval, idempotency_key: IdempotencyKey | None
) -> Reply:
    """Approve the production traffic for which a deployment waits."""
    deployment = load_deployment(caller, deployment_id)
    return _answered(
        approve(
            deployment.number,
            actor=caller.actor,
            steps=body.steps,
            hook_id=None if body.hook_id is UNSET else body.hook_id,
            reason=body.reason,
            idempotency_key=idempotency_key,
        )
    )


@routes.endpoint(
    "POST",
    "/v1/cicd/deployments/{deployment_id}/reject",
    role=Role.DEPLOYER,
    body=NewRejection,
    body_is_optional=True,
    status=202,
    answer=views.Deployment,
    repeat=_repeat_answer,
)
def reject_deployment(
    caller: Principal,
    deployment_id: int,
    body: NewRejection,
    idempotency_key: IdempotencyKey | None,
) -> Reply:
    """End a deployment that awaits an approval. The release before it stays."""
    deployment = load_deployment(caller, deployment_id)
    return _answered(
        reject(
            deployment.number,
            actor=caller.actor,
            hook_id=None if body.hook_id is UNSET else body.hook_id,
            reason=body.reason,
            idempotency_key=idempotency_key,
        )
    )


@routes.endpoint(
    "GET",
    "/v1/cicd/deployments/{deployment_id}/receipt",
    role=Role.VIEWER,
    answer=views.ReleaseReceipt,
)
def get_receipt(caller: Principal, deployment_id: int) -> views.ReleaseReceipt:
    """Show the evidence that ECS ran a release. Only a deployment that succeeded has it."""
    row = load_deployment(caller, deployment_id)
    receipt = find_release_receipt(row)
    if receipt is None:
        succeeded = row.progress == 100  # a rolled back release succeeded, too
        why = "Slipway has kept none for it" if succeeded else f"it is {row.status}"
        raise NotFound(f"deployment {row.number} has no receipt: {why}", code="no_receipt")
    return views.release_receipt(receipt)
