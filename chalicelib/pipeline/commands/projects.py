"""Creating and changing projects. Names are claims, so two projects never have the same name."""

from collections.abc import Mapping
from typing import Any

from chalicelib import clock
from chalicelib.domain.credentials import git_path, require_below
from chalicelib.errors import Conflict
from chalicelib.pipeline.retries import retry_on_conflict
from chalicelib.settings import settings
from chalicelib.store.claims import claim, next_number, replace_claims
from chalicelib.store.history import record
from chalicelib.store.idempotency import IdempotencyKey, record_key
from chalicelib.store.models import Claim, Project
from chalicelib.store.projects import get_project
from chalicelib.store.writes import ConditionFailed, Write, change, commit, create


def create_project(
    name: str,
    *,
    actor: str,
    idempotency_key: IdempotencyKey | None = None,
) -> Project:
    """Create a project; raises Conflict (name_taken). Names are compared without case."""
    project = Project(
        next_number("projects"),
        name=name,
        created_at=clock.now(),
    )

    def write() -> None:
        _commit(
            create(project),
            claim(_claim_name(name), _subject(project)),
            _audit(project, "project.created", actor, {"name": name}),
            *record_key(idempotency_key, project.id),
        )

    retry_on_conflict(write)
    return project


def update_project(project: Project, changes: Mapping[str, Any], *, actor: str) -> Project:
    """Change attributes of a project, and return its new row.

    Builds that CodeBuild has already keep their git credential. Raises Forbidden
    (secret_not_allowed) for another project's secret, and Conflict (name_taken).
    """
    credential = changes.get("git_credential")
    if credential is not None:
        path = git_path(settings().table_prefix, project.id)
        require_below(path, credential, field="git_credential")

    def write() -> Project:
        fresh = get_project(project.id)
        before = {name: getattr(fresh, name) for name in changes}
        after = {name: value for name, value in changes.items() if before[name] != value}
        if not after:
            return fresh
        details = {"before": {name: before[name] for name in after}, "after": after}
        _commit(
            change(fresh, **after),
            *replace_claims(
                _subject(fresh),
                {_claim_name(fresh.name)},
                {_claim_name(after.get("name", fresh.name))},
            ),
            _audit(fresh, "project.updated", actor, details),
        )
        return fresh

    return retry_on_conflict(write)


def _commit(*writes: Write) -> None:
    try:
        commit(*writes)
    except ConditionFailed as failed:
        if any(isinstance(row, Claim) for row in failed.existing):
            raise Conflict("this name is taken", code="name_taken", field="name") from failed
        raise


def _claim_name(name: str) -> str:
    return f"project:{name.lower()}"


def _subject(project: Project) -> str:
    return f"project-{project.id}"


def _audit(project: Project, action: str, actor: str, details: dict[str, Any]) -> Write:
    subject = _subject(project)
    return record(subject, action, at=clock.now(), actor=actor, project_id=project.id, **details)
