"""New deployments: the row, and the writes that make it active or waiting.

Callers request deployments, and so does the success of a build.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from chalicelib import clock
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.preflight import Finding
from chalicelib.domain.progress import expected_seconds
from chalicelib.domain.statuses import DeploymentStatus, job_id
from chalicelib.domain.timing import PERIOD
from chalicelib.errors import Conflict
from chalicelib.settings import settings
from chalicelib.store.due import due_by
from chalicelib.store.history import record_request
from chalicelib.store.jobs import (
    find_deployments,
    finish,
    opened,
    service_key,
    stored_findings,
)
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import Write, change, create


class ReleaseImage(msgspec.Struct, frozen=True):
    """The exact image of a release, and its build, commit and the time of its push if known.

    The message and the author are those that the build knows of its commit.
    """

    repository: str
    digest: str
    tag: str
    build_id: int | None = None
    commit_sha: str | None = None
    pushed_at: int | None = None
    commit_message: str | None = None
    author: str | None = None

    @property
    def name(self) -> str:
        """The image as a request may name it: by its tag, or by its digest if it has none."""
        mark = f":{self.tag}" if self.tag else f"@{self.digest}"
        return f"{self.repository}{mark}"

    @property
    def full_name(self) -> str:
        """The image as a task definition names it: with the registry and the digest."""
        return f"{self.registry}/{self.repository}@{self.digest}"

    @property
    def registry(self) -> str:
        """The host of the installation's registry."""
        return settings().registry


def image_of(release: Deployment) -> ReleaseImage:
    """The image of a deployment."""
    return ReleaseImage(
        release.image_repository,
        release.image_digest or "",
        release.image_tag,
        build_id=release.build_id,
        commit_sha=release.commit_sha,
        pushed_at=release.pushed_at,
        commit_message=release.commit_message,
        author=release.author,
    )


def new_deployment(
    service: Service,
    number: int,
    image: ReleaseImage,
    *,
    actor: str,
    trigger: str,
    reason: str | None,
    target: EcsTarget | None = None,
    findings: Iterable[Finding] = (),
    **more: Any,
) -> Deployment:
    """The row of a queued deployment; `more` are further attributes of the row.

    Without a `target` it is the service's. `findings` are those of its preflight, if it was made.
    """
    now = clock.now()
    return Deployment(
        job_id("deploy", number),
        number=number,
        project_id=service.project_id,
        service_id=service.id,
        service_key=service_key(service.id, "deploy"),
        opened=opened("deploy", number, now),
        status=DeploymentStatus.QUEUED,
        requested_by=actor,
        trigger=trigger,
        target=target or service.settings.ecs_target,
        image_repository=image.repository,
        image_tag=image.tag,
        image_digest=image.digest,
        image=image.full_name,
        reason=reason,
        build_id=image.build_id,
        commit_sha=image.commit_sha,
        pushed_at=image.pushed_at,
        commit_message=image.commit_message,
        author=image.author,
        created_at=now,
        deadline_at=now + service.settings.deploy_minutes * 60,
        expected_seconds=expected_seconds(service.deploy_seconds),
        findings=stored_findings(findings),
        **more,
    )


def require_expected(service: Service, expected: int | UnsetType | None) -> None:
    """Check that the plan that a caller saw still holds; UNSET if the caller confirms no plan.

    Raises Conflict (plan_is_old).
    """
    newest = service.active or service.current
    if expected is not UNSET and expected != newest:
        made = "when there was no deployment" if expected is None else f"for deployment {expected}"
        raise Conflict(
            f"the plan was made {made}, and now there is "
            f"{'none' if newest is None else f'deployment {newest}'}: read the new plan, and send "
            "its `expected`",
            code="plan_is_old",
            field="expected",
        )


def enqueue(service: Service, deployment: Deployment) -> list[Write]:
    """Make a deployment active, or waiting while another one is active.

    One that must wait for the checks of its commit waits beside them. A deployment that is waiting
    ends as `superseded`, and so does one that waits for checks.
    """
    place = _put_aside if deployment.checks is not None else _put_in_line
    ended = service.checking if service.waiting is None or place is _put_aside else None
    return [
        create(deployment),
        *place(service, deployment),
        *supersede_checking(service, deployment),
        *([] if ended is None else [change(service, last_deployment=ended)]),
        audit_request(deployment),
    ]


def enqueue_change(service: Service, deployment: Deployment) -> list[Write]:
    """Like `enqueue`, for a deployment that has the image of the newest release, not a new one.

    A deployment that waits for checks goes on waiting. No other one is waiting: it would bring the
    change itself.
    """
    return [create(deployment), _in_line(service, deployment), audit_request(deployment)]


def begin_checked(service: Service, deployment: Deployment) -> list[Write]:
    """Make the deployment that has waited for checks active, or waiting.

    Its deadline counts from now, without the time that it has waited.
    """
    deadline_at = clock.now() + service.settings.deploy_minutes * 60
    return [
        change(service, checking=None),
        *_put_in_line(service, deployment),
        change(deployment, checks=None, deadline_at=deadline_at),
    ]


def _put_in_line(service: Service, deployment: Deployment) -> list[Write]:
    ended = {} if service.waiting is None else {"last_deployment": service.waiting}
    return [
        _in_line(service, deployment),
        change(service, **ended),
        *supersede_waiting(service, deployment),
    ]


def _in_line(service: Service, deployment: Deployment) -> Write:
    position = "active" if service.active is None else "waiting"
    due = due_by(service, clock.now() + PERIOD)
    return change(service, **{position: deployment.number}, **due)


def _put_aside(service: Service, deployment: Deployment) -> list[Write]:
    due = due_by(service, clock.now() + PERIOD)
    return [change(service, checking=deployment.number, **due)]


def supersede_waiting(service: Service, newer: Deployment) -> list[Write]:
    """End the waiting deployment, if there is one, in favour of a newer request."""
    return [] if service.waiting is None else [_superseded(service.waiting, newer)]


def supersede_checking(service: Service, newer: Deployment) -> list[Write]:
    """End the deployment that waits for checks, if there is one, in favour of a newer request."""
    if service.checking is None:
        return []
    ended = _superseded(service.checking, newer)
    # One that waits for checks itself has taken the place.
    return [ended] if newer.checks is not None else [change(service, checking=None), ended]


def _superseded(number: int, newer: Deployment) -> Write:
    error = f"superseded by deployment {newer.number}"
    row = find_deployments(number)[number]
    return finish(row, DeploymentStatus.SUPERSEDED, at=clock.now(), error=error)


def audit_request(deployment: Deployment) -> Write:
    """The audit entry of an accepted deployment."""
    return record_request(
        deployment,
        "deployment.requested",
        image_digest=deployment.image_digest,
        trigger=deployment.trigger,
        reason=deployment.reason,
    )
