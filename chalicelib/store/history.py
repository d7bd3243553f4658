"""The audit trail: a row for each change, written in the transaction of the change."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from operator import attrgetter
from typing import Any

import msgspec
from pynamodb.indexes import Index

from chalicelib import clock
from chalicelib.domain.approvals import Answer
from chalicelib.store.jobs import list_all_jobs
from chalicelib.store.models import LISTED, Deployment, History, Job
from chalicelib.store.reads import Page, batches, page
from chalicelib.store.writes import Write, create


class Origin(msgspec.Struct, frozen=True):
    """The origin of a request: the number of its token, and the sender's IP address."""

    token_id: int | None = None
    address: str | None = None


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - it is frozen


@contextmanager
def asked_from(origin: Origin) -> Iterator[None]:
    """Set the origin of the audit entries that the block makes."""
    before = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(before)


def record(
    subject: str,
    action: str,
    *,
    at: int,
    actor: str,
    project_id: int | None = None,
    service_id: int | None = None,
    **details: Any,
) -> Write:
    """An audit entry on `subject` ("service-7", "build-12"). `details` must not contain secrets."""
    sequence = clock.microseconds()
    entry = History(
        subject,
        f"{sequence:017d}#{secrets.token_hex(4)}",
        listed=LISTED,
        sequence=sequence,
        project_id=project_id,
        service_id=service_id,
    )
    return _create(entry, action, at=at, actor=actor, details=details)


def record_request(job: Job, action: str, **details: Any) -> Write:
    """The audit entry of a new build or deployment. `details` must not contain secrets.

    It is in no index: the lists of jobs lead to it, and its key comes from the job.
    """
    entry = History(*_key(job), sequence=job.opened)
    return _create(entry, action, at=job.created_at, actor=job.requested_by, details=details)


def record_answer(deployment: Deployment, action: str, answer: Answer, **details: Any) -> Write:
    """The audit entry of an answer to a deployment that awaited approval."""
    return record(
        deployment.job_id,
        action,
        at=answer.at,
        actor=answer.by,
        project_id=deployment.project_id,
        service_id=deployment.service_id,
        hook_id=answer.hook_id,
        number=answer.number,
        image_digest=deployment.image_digest,
        task_definition=deployment.task_definition,
        **details,
    )


def list_history(
    *,
    project_id: int | None,
    service_id: int | None,
    limit: int,
    before: int | None,
) -> Page[History]:
    """A page of the audit trail of a service, of a project with its services, or of all.

    Entries of jobs are in order by their second, and then by the jobs' numbers. A page has fewer
    entries than `limit` where jobs are so old that their entries are in the indexes.
    """
    jobs = list_all_jobs(project_id=project_id, service_id=service_id, limit=limit, before=before)
    index: Index[History] = History.all_index
    key: int | str = LISTED
    if service_id is not None:
        index, key = History.service_index, service_id
    elif project_id is not None:
        index, key = History.project_index, project_id
    others = page(index, key, History.sequence, limit=limit, before=before)
    numbers = [*(job.opened for job in jobs.rows), *(entry.sequence for entry in others.rows)]
    numbers.sort(reverse=True)
    # An entry with the number of the last one is on its page: the next page begins below it.
    last = numbers[:limit][-1] if numbers else 0
    entries = [
        *_requests(job for job in jobs.rows if job.opened >= last),
        *(entry for entry in others.rows if entry.sequence >= last),
    ]
    entries.sort(key=attrgetter("sequence"), reverse=True)
    is_last = numbers[-1:] in ([], [last]) and jobs.before is None and others.before is None
    return Page(entries, None if is_last else last)


def _requests(jobs: Iterable[Job]) -> Iterator[History]:
    """The entries of the requests of jobs, without those that are in the indexes."""
    found = {_key(job): job for job in jobs}
    for entry in batches(History, found):
        job = found[entry.subject, entry.key]
        entry.project_id, entry.service_id = job.project_id, job.service_id
        yield entry


def _key(job: Job) -> tuple[str, str]:
    return job.job_id, f"{job.opened:017d}#{job.job_id}"


def _create(entry: History, action: str, *, at: int, actor: str, details: dict[str, Any]) -> Write:
    origin = _origin.get()
    entry.at, entry.actor, entry.action, entry.details = at, actor, action, details
    entry.token_id, entry.address = origin.token_id, origin.address
    return create(entry)
