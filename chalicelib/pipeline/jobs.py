"""The types of jobs there are: how each is moved on, and how it is cancelled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chalicelib.pipeline.builds import cancel_build, reconcile_build
from chalicelib.pipeline.deployments import cancel_deployment
from chalicelib.pipeline.retries import again_if_lost
from chalicelib.pipeline.rollouts import reconcile_deployment
from chalicelib.store.models import Job


class Cancel(Protocol):
    """Ends the job of this number, now or soon; raises Conflict (job_ended) and Lost."""

    def __call__(self, number: int, *, actor: str) -> Job: ...


@dataclass(frozen=True)
class JobType:
    """What the pipeline does with jobs of one type; both functions may be called at any time."""

    reconcile: Callable[[int], None]
    cancel: Cancel


JOB_TYPES: Mapping[str, JobType] = {
    "build": JobType(reconcile_build, cancel_build),
    "deploy": JobType(reconcile_deployment, cancel_deployment),
}


def cancel_job(job: Job, *, actor: str) -> Job:
    """Have a job end `cancelled`, and answer with it as it is then.

    Cancelling again changes nothing. Raises Conflict (job_ended) for what has ended otherwise, and
    Unavailable when others keep changing it.
    """
    kind = JOB_TYPES[job.id.partition("-")[0]]
    return again_if_lost(lambda: kind.cancel(job.number, actor=actor))
