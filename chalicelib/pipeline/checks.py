"""Asking GitHub for the checks of the commits that deployments wait for.

The function that tells channels asks, so that a slow GitHub delays no step of a service. The answer
is kept in the deployment's row. A delivery of a webhook only has the question asked earlier.
"""

import logging

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.correlation import working_on
from chalicelib.domain.checks import AwaitedChecks, answered, judge, may_ask, unanswered
from chalicelib.domain.github_app import CHECKS
from chalicelib.domain.log_text import clean_text
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.errors import Rejected, Stale, Unavailable
from chalicelib.known_secrets import known_secrets
from chalicelib.outbound.github import github_host
from chalicelib.outbound.http import Later
from chalicelib.pipeline.github_access import access_for, github_name
from chalicelib.store.jobs import find_deployments, find_job
from chalicelib.store.models import Deployment, Service
from chalicelib.store.services import find_services, get_service
from chalicelib.store.writes import change, commit

logger = logging.getLogger("slipway")

_TRIES = 5


def ask_checks(name: str, *, wanted_at: int) -> None:
    """Ask GitHub for the checks that a deployment, such as "deploy-12", waits for.

    A question that began after `wanted_at` has answered this one, too. Raises Unavailable if
    DynamoDB does not answer. If GitHub does not answer, the row says so.
    """
    after: AwaitedChecks | None = None
    with working_on(row_id=name):
        for _ in range(_TRIES):
            row = find_job(name)
            if not isinstance(row, Deployment) or row.checks is None:
                return
            is_open = row.status == DeploymentStatus.QUEUED
            if not is_open or not may_ask(row.checks, wanted_at=wanted_at, now=clock.now()):
                return
            if after is None:
                after = _ask(row, row.checks)
            try:
                commit(change(row, checks=after))
            except Stale:
                continue
            if after.passed or after.failed is not None:
                queue.wake(f"service-{row.service_id}")
            return
        logger.info("other workers keep changing %s; the next minute asks again", name)


def waiting_for(sha: str, services: list[Service]) -> list[Deployment]:
    """The deployments of services, and of those that deploy their images, that wait for the checks
    of a commit.
    """
    dependents = {number for each in services for number in each.dependents or ()}
    everyone = [*services, *find_services(dependents)]
    found = find_deployments(*(each.checking for each in everyone)).values()
    return [each for each in found if each.commit_sha == sha and each.checks is not None]


def _ask(row: Deployment, checks: AwaitedChecks) -> AwaitedChecks:
    """What the row says after the question."""
    now = clock.now()
    try:
        service = get_service(row.service_id)
        api = access_for(service, CHECKS)
        if api is None:
            return unanswered(checks, _why_no_access(service), asked_at=now)
        found = api.checks(row.commit_sha or "", with_suites=checks.names is None)
    except Later as wait:
        return unanswered(checks, _cleaned(wait.detail), asked_at=now, busy_for=wait.seconds)
    except (Rejected, Unavailable) as trouble:
        return unanswered(checks, _cleaned(trouble.detail), asked_at=now)
    return answered(checks, judge(checks, found, now=now), asked_at=now)


def _why_no_access(service: Service) -> str:
    repository = service.settings.repository
    if github_name(repository) is None:
        return f"{repository} is not on {github_host()}"
    return "the service has no channel of kind github that is on"


def _cleaned(text: str) -> str:
    return clean_text(text, known_secrets())
