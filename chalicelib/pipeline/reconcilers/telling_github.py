"""Telling GitHub: a build is the status of its commit, and a deployment is a deployment."""

from chalicelib.aws.secrets import read_credential
from chalicelib.domain.failures import one_line
from chalicelib.domain.github_messages import commit_status, deployment, deployment_status
from chalicelib.domain.log_text import clean_text
from chalicelib.domain.repositories import repository_key
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus
from chalicelib.domain.telling import REPLACED, Told
from chalicelib.errors import Unavailable
from chalicelib.known_secrets import known_secrets
from chalicelib.outbound.github import GitHub, github_host
from chalicelib.pipeline.line import place_of
from chalicelib.settings import settings
from chalicelib.store.jobs import find_build, list_jobs
from chalicelib.store.models import Build, Channel, Deployment, Job, Service
from chalicelib.store.projects import get_project
from chalicelib.store.services import list_services

# Of builds of one commit, the newest is told. It is searched among so many builds.
_NEWEST = 50


def tell_github(
    channel: Channel, job: Job, service: Service, state: str, known: Told
) -> int | None:
    """Tell GitHub the state of a job; return GitHub's number of a deployment.

    A job without a commit, and one of another host, is not told. Raises Later, Rejected and
    Unavailable.
    """
    repository = _repository_of(job)
    if repository is None or job.commit_sha is None:
        return None
    github = GitHub(read_credential(channel.secret), repository)
    environment = service.settings.environment_name or _name_of(service)
    if isinstance(job, Build):
        _set_status(github, job, service, state)
        return None
    if not isinstance(job, Deployment):
        raise TypeError(f"{job.job_id} is neither a build nor a deployment")
    number = known.id or _deployment_of(github, job, environment)
    description = _describe_deployment(job, state)
    body = deployment_status(
        state,
        environment=environment,
        description=description,
        log_url=_link(f"deployments/{job.number}"),
        url=service.settings.environment_url,
    )
    github.set_deployment_status(number, body)
    return number


def test_github(channel: Channel) -> None:
    """Read a repository of the channel with its token. Raises Rejected and Unavailable.

    Whether the token may also write is seen at the first telling.
    """
    services = list_services(channel.project_id, limit=_NEWEST, before=None).rows
    keys = [repository_key(row.settings.git_url).partition("/") for row in services]
    names = sorted({name for host, _, name in keys if host == github_host()})
    if not names:
        raise Unavailable(f"no service of this channel has a repository on {github_host()}")
    token = read_credential(channel.secret)
    for name in names:
        GitHub(token, name).look()


def _repository_of(job: Job) -> str | None:
    """The `owner/name` of the job's commit on GitHub; None if it is on another host."""
    build: Job | None = job
    if isinstance(job, Deployment):
        build = find_build(job.build_id) if job.build_id is not None else None
    if not isinstance(build, Build):
        return None
    host, _, name = repository_key(build.settings.git_url).partition("/")
    return name if host == github_host() else None


def _set_status(github: GitHub, build: Build, service: Service, state: str) -> None:
    """Set the status of the build's commit, unless a newer build of the commit has set it.

    The messages about one service are told one after another, so that no newer build is told
    meanwhile.
    """
    newest = list_jobs("build", service.id, limit=_NEWEST, before=None).rows
    if any(each.number > build.number and each.commit_sha == build.commit_sha for each in newest):
        return
    body = commit_status(
        state,
        context=f"slipway/{_name_of(service)}",
        description=_describe_build(build, state),
        url=_link(f"builds/{build.number}"),
    )
    github.set_status(str(build.commit_sha), body)


def _deployment_of(github: GitHub, row: Deployment, environment: str) -> int:
    """GitHub's number of a deployment. One that was created, and whose number was lost, is found
    by its mark.
    """
    sha = str(row.commit_sha)
    mark = {"installation": settings().table_prefix, "job_id": row.job_id}
    found = github.find_deployment(sha, environment, mark)
    if found is not None:
        return found
    title = clean_text(row.commit_message or row.reason or "", known_secrets())
    return github.create_deployment(
        deployment(sha=sha, environment=environment, description=title, mark=mark)
    )


def _name_of(service: Service) -> str:
    return f"{get_project(service.project_id).name}/{service.settings.name}"


def _link(place: str) -> str | None:
    return f"{settings().public_url}/#/{place}" if settings().public_url else None


def _describe_build(build: Build, state: str) -> str:
    match BuildStatus(state):
        case BuildStatus.QUEUED:
            why = place_of(build).waiting_for
            return f"Waits for {why}" if why else "Is queued"
        case BuildStatus.BUILDING:
            return "Is being built"
        case BuildStatus.SUCCESS:
            return f"Built in {_duration(build)}"
        case BuildStatus.FAILED:
            return _cause(build)
        case BuildStatus.CANCELLED:
            return one_line(build.error or "Cancelled")
        case BuildStatus.SUPERSEDED:
            return f"Not built: build {build.superseded_by} of a later push replaces it"


def _describe_deployment(row: Deployment, state: str) -> str:
    if state == REPLACED:
        return "Another release runs now"
    match DeploymentStatus(state):
        case DeploymentStatus.QUEUED:
            return "Waits for its turn"
        case DeploymentStatus.DEPLOYING:
            return "Is being rolled out"
        case DeploymentStatus.SUCCESS:
            return f"Rolled out in {_duration(row)}"
        case DeploymentStatus.FAILED:
            return _cause(row)
        case DeploymentStatus.ROLLED_BACK:
            return "Rolled back"
        case DeploymentStatus.CANCELLED | DeploymentStatus.SUPERSEDED:
            return one_line(row.error or state)


def _cause(job: Job) -> str:
    summary = job.failure.summary if job.failure is not None else job.error or "Failed"
    return one_line(clean_text(summary, known_secrets()))


def _duration(job: Job) -> str:
    seconds = (job.finished_at or 0) - (job.started_at or job.finished_at or 0)
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
