"""The deployment of a service that waits for the checks of its commit, one step at a time.

It waits beside the line of the service, so that any other deployment passes it. `pipeline.checks`
asks GitHub. This part only reads what the row says.
"""

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.checks import ChecksStep, decide_checks, why_ended
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.pipeline.auto_deploy import why_no_longer_deployed
from chalicelib.pipeline.new_deployments import begin_checked
from chalicelib.store.jobs import finish
from chalicelib.store.models import Deployment, Service
from chalicelib.store.writes import change, commit


def follow_checks(service: Service, deployment: Deployment) -> bool:
    """Begin or end a deployment that waits for checks, or have GitHub asked.

    True if the rows have changed; then the service has been woken.
    """
    checks, now = deployment.checks, clock.now()
    step = decide_checks(checks, now=now)
    if step is ChecksStep.ASK:
        queue.ask_checks(deployment.job_id, at=now)
    if step in {ChecksStep.ASK, ChecksStep.WAIT}:
        return False
    number = deployment.number
    if step is ChecksStep.BEGIN:
        changed = why_no_longer_deployed(service, deployment)
        if changed is None:
            commit(*begin_checked(service, deployment))
        else:
            error = f"not deployed: {changed}"
            commit(
                finish(deployment, DeploymentStatus.SUPERSEDED, at=now, error=error),
                change(service, checking=None, last_deployment=number),
            )
    else:
        failure = why_ended(checks)
        ended = {"checking": None, "last_deployment": number, "failed_deployment": number}
        commit(
            finish(
                deployment,
                DeploymentStatus.FAILED,
                at=now,
                error=failure.summary,
                failure=failure,
            ),
            change(service, **ended),
        )
    queue.wake(f"service-{service.id}")
    return True
