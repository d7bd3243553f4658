"""What is reported of jobs after a commit: a log line, and CloudWatch metrics of their ends.

The report is no part of the transaction: if the process dies in between, or the answer of DynamoDB
is lost, it is missing. The roll-ups are exact.
"""

import logging
from collections.abc import Mapping
from typing import Any

from chalicelib import cloudwatch
from chalicelib.domain.metrics import Timing, timings_of_build, timings_of_deployment
from chalicelib.domain.statuses import has_ended
from chalicelib.settings import settings
from chalicelib.store.models import Build, Deployment, Job

logger = logging.getLogger("slipway")


def report(job: Job, *, is_new: bool) -> None:
    """Report a job that is new, or has a new status. Raises nothing: the work is done."""
    facts = facts_of(job)
    verb = "was accepted" if is_new else f"is {job.status}"
    logger.info("%s %s", job.job_id, verb, extra={**facts, "status": str(job.status)})
    if has_ended(job.status):
        name = "Builds" if isinstance(job, Build) else "Deployments"
        durations = {
            f"{timing.capitalize()}Seconds": took for timing, took in timings_of(job).items()
        }
        cloudwatch.put(
            {"Installation": settings().table_prefix, "Status": str(job.status)},
            counts={name: 1},
            seconds=durations,
            facts=facts,
        )


def facts_of(job: Job) -> dict[str, Any]:
    """The fields by which log lines of a job are found."""
    facts: dict[str, Any] = {
        "job_id": job.job_id,
        "service_id": job.service_id,
        "project_id": job.project_id,
        "commit_sha": job.commit_sha,
    }
    if isinstance(job, Deployment):
        facts["build_id"] = job.build_id
    if isinstance(job, Build):
        facts["delivery"] = job.delivery
    return {name: value for name, value in facts.items() if value is not None}


def timings_of(job: Job, end: Mapping[str, Any] | None = None) -> Mapping[Timing, int]:
    """The durations of an ended job. `end` are values that its row does not have yet."""

    def value(name: str) -> Any:
        return (end or {}).get(name, getattr(job, name))

    status, started_at, finished_at = value("status"), value("started_at"), value("finished_at")
    if isinstance(job, Deployment):
        return timings_of_deployment(
            status,
            started_at=started_at,
            finished_at=finished_at,
            lead_seconds=value("lead_seconds"),
            restore_seconds=value("restore_seconds"),
        )
    return timings_of_build(
        status, created_at=job.created_at, started_at=started_at, finished_at=finished_at
    )
