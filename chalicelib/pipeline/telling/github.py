"""Telling GitHub: a build is the status of its commit, and a deployment is a deployment."""

import time

from chalicelib.domain.github_app import CONTENTS
from chalicelib.domain.github_messages import commit_status, deployment, deployment_status
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus
from chalicelib.domain.telling import AWAITING, REPLACED, Event, Told, told_of
from chalicelib.errors import Unavailable
from chalicelib.outbound.github import GitHub, OneRepository, github_host
from chalicelib.outbound.http import Refused
from chalicelib.pipeline.github_access import access_by, check_access, github_name
from chalicelib.pipeline.line import place_of
from chalicelib.pipeline.telling.rows import (
    Row,
    build_of,
    cause_of,
    cleaned,
    duration_of,
    link_to,
    name_of,
    row_id,
)
from chalicelib.settings import settings
from chalicelib.store.channels import state_of_job
from chalicelib.store.jobs import find_deployments, list_jobs
from chalicelib.store.models import Build, Channel, Deployment, Job, Service
from chalicelib.store.services import get_service, list_services

# The states of a release that has replaced an earlier one, if there was one.
_AFTER_SUCCESS = {DeploymentStatus.SUCCESS, DeploymentStatus.ROLLED_BACK, REPLACED}
# The function lives for 30 seconds, and the last request may take six.
_TEST_SECONDS = 20.0
# Of builds of one commit, the newest is told. It is searched among so many builds.
_NEWEST = 50


def wanted(channel: Channel, row: Row, service: Service) -> str | None:
    """The state that GitHub is to know: that of a job with a commit on GitHub.

    A release that another one has replaced is not active any more, although it succeeded. That
    holds also if the other one has no commit on GitHub, and is not shown there itself.
    """
    if isinstance(row, Service):
        return None
    if _repository_of(row) is None:
        state = str(row.status)
        return state if replaced_by(channel, row, state) is not None else None
    event, _, number = state_of_job(row).rpartition(".")
    if event == Event.DEPLOYMENT_AWAITING:
        return f"{AWAITING}.{number}"
    is_release = isinstance(row, Deployment) and row.status == DeploymentStatus.SUCCESS
    return REPLACED if is_release and service.current != row.number else str(row.status)


def replaced_by(channel: Channel, row: Row, state: str) -> str | None:
    """The job id of the release that another one has replaced, if GitHub shows it as running.

    The other one may itself be replaced by now, and GitHub may never have shown it.
    """
    number = row.replaced if isinstance(row, Deployment) else None
    if state not in _AFTER_SUCCESS or number is None:
        return None
    earlier = find_deployments(number).get(number)
    shown = earlier is not None and told_of(earlier.told, channel.id).state
    return earlier.job_id if earlier is not None and shown == DeploymentStatus.SUCCESS else None


def tell(channel: Channel, row: Row, service: Service, state: str, known: Told) -> int | None:
    """Tell GitHub the state of a job; return GitHub's number of a deployment.

    Raises Later, Rejected and Unavailable.
    """
    if not isinstance(row, Build | Deployment):
        raise TypeError(f"{row_id(row)} is neither a build nor a deployment")
    name = _repository_of(row)
    if name is None:
        return None
    api = access_by(channel, name)
    if isinstance(row, Build):
        _set_status(api, row, service, state)
        return None
    environment = service.settings.environment_name or name_of(service)
    number = known.id or _deployment_of(api, row, environment)
    body = deployment_status(
        state,
        environment=environment,
        description=_describe_deployment(row, state),
        log_url=link_to(row),
        url=service.settings.environment_url,
    )
    api.set_deployment_status(number, body)
    return number


def test(channel: Channel) -> None:
    """Check the access to the repositories of the channel, as many as the time allows.

    Whether a token of a person may also write is seen at the first telling. Raises Rejected and
    Unavailable, and OneRepository if others can be read.
    """
    ends_at = time.monotonic() + _TEST_SECONDS
    if channel.service_id is not None:
        services = [get_service(channel.service_id)]
    else:
        services = list_services(channel.project_id, limit=_NEWEST, before=None).rows
    branches = {github_name(row.settings.repository): row.settings.branch for row in services}
    names = sorted(filter(None, branches))
    if not names:
        raise Unavailable(f"no service of this channel has a repository on {github_host()}")
    troubles = []
    for read, name in enumerate(names):
        if time.monotonic() > ends_at:
            names = names[:read]
            break
        try:
            check_access(channel, name)
            _look_for_pushes(access_by(channel, name, CONTENTS), branches[name])
        except OneRepository as trouble:
            troubles.append(trouble)
    if troubles:
        raise troubles[0] if len(troubles) < len(names) else Unavailable(troubles[0].detail)


def _look_for_pushes(api: GitHub, branch: str) -> None:
    try:
        api.last_activity(branch)
    except Refused as refusal:
        raise Unavailable(
            f"{refusal.detail}. Pushes that GitHub does not deliver are not found: may the token "
            "read Contents?"
        ) from refusal


def _repository_of(job: Job) -> str | None:
    """The `owner/name` of the job's commit on GitHub; None if it has none there."""
    build = build_of(job) if job.commit_sha is not None else None
    return github_name(build.settings.repository) if build is not None else None


def _set_status(api: GitHub, build: Build, service: Service, state: str) -> None:
    """Set the status of the build's commit, unless a newer build of the commit has set it.

    Pull requests have a context of their own: such a build has other settings, so its result says
    nothing about the branch, and the other way round.

    The messages about one service are told one after another, so that no newer build is told
    meanwhile.
    """
    newest = list_jobs("build", service.id, limit=_NEWEST, before=None).rows
    if any(isinstance(each, Build) and _replaces(each, build) for each in newest):
        return
    body = commit_status(
        state,
        context=f"slipway/{name_of(service)}{'/pr' if build.pull_request else ''}",
        description=_describe_build(build, state),
        url=link_to(build),
    )
    api.set_status(str(build.commit_sha), body)


def _replaces(newer: Build, build: Build) -> bool:
    """Whether a build of the same commit counts instead of another one."""
    same_kind = (newer.pull_request is None) == (build.pull_request is None)
    return newer.number > build.number and newer.commit_sha == build.commit_sha and same_kind


def _deployment_of(api: GitHub, row: Deployment, environment: str) -> int:
    """GitHub's number of a deployment. One that was created, and whose number was lost, is found
    by its mark.
    """
    sha = str(row.commit_sha)
    mark = {"installation": settings().table_prefix, "job_id": row.job_id}
    found = api.find_deployment(sha, environment, mark)
    if found is not None:
        return found
    title = cleaned(row.commit_message or row.reason or "")
    return api.create_deployment(
        deployment(sha=sha, environment=environment, description=title, mark=mark)
    )


def _describe_build(build: Build, state: str) -> str:
    match BuildStatus(state):
        case BuildStatus.QUEUED:
            why = place_of(build).waiting_for
            return f"Waits for {why}" if why else "Is queued"
        case BuildStatus.BUILDING:
            return "Is being built"
        case BuildStatus.SUCCESS:
            return f"Built in {duration_of(build)}"
        case BuildStatus.FAILED:
            return cause_of(build)
        case BuildStatus.CANCELLED:
            return cleaned(build.error or "Cancelled")
        case BuildStatus.SUPERSEDED:
            return f"Not built: build {build.superseded_by} of a later push replaces it"


def _describe_deployment(row: Deployment, state: str) -> str:
    if state == REPLACED:
        return "Another release runs now"
    if state.startswith(AWAITING):
        return "Awaits approval"
    match DeploymentStatus(state):
        case DeploymentStatus.QUEUED:
            return "Waits for its turn" if row.checks is None else "Waits for the checks"
        case DeploymentStatus.DEPLOYING:
            return "Is being rolled out"
        case DeploymentStatus.SUCCESS:
            return f"Rolled out in {duration_of(row)}"
        case DeploymentStatus.FAILED:
            return cause_of(row)
        case DeploymentStatus.ROLLED_BACK:
            return "Rolled back"
        case DeploymentStatus.CANCELLED | DeploymentStatus.SUPERSEDED:
            return cleaned(row.error or state)
