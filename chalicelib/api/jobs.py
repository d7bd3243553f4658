"""Jobs: builds and deployments in one list; show and cancel them."""

from chalicelib.access import Principal, find_jobs, load_job
from chalicelib.api import views
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Routes
from chalicelib.api.http.parameters import CURSOR, JOB_STATUS, JOB_TYPE, LIMIT
from chalicelib.domain.tokens import Role
from chalicelib.pipeline.commands.jobs import cancel_job
from chalicelib.pipeline.line import open_builds_of
from chalicelib.pipeline.progress import note_steps
from chalicelib.store import models
from chalicelib.store.reads import MOST_KEYS

routes = Routes(__name__)


@routes.endpoint(
    "GET",
    "/v1/cicd/jobs",
    role=Role.VIEWER,
    query=(LIMIT, CURSOR, JOB_TYPE, JOB_STATUS),
    answer=views.Page[views.Job],
    is_tagged=True,
)
def list_all_jobs(
    caller: Principal,
    limit: int,
    cursor: int | None,
    type: str | None,  # noqa: A002 - the query parameter has this name
    status: str | None,
) -> views.Page[views.Job]:
    """List the builds and deployments of all services, newest first."""
    found = find_jobs(caller, kind=type, status=status, limit=limit, before=cursor)
    return views.page(found.rows, found.before, views.job)


@routes.endpoint("GET", "/v1/cicd/queue", role=Role.VIEWER, answer=views.OpenBuilds, is_tagged=True)
def list_queue(caller: Principal) -> views.OpenBuilds:
    """List the builds that run, and those that wait, in the order of their start."""
    listed, total = open_builds_of(
        project_id=caller.project_id, service_id=caller.service_id, limit=MOST_KEYS
    )
    return views.OpenBuilds(items=[views.open_build(*each) for each in listed], total=total)


@routes.endpoint(
    "GET", "/v1/cicd/jobs/{job_id}", role=Role.VIEWER, answer=views.Job, is_tagged=True
)
def get_job(caller: Principal, job_id: str) -> views.Job:
    """Show the status and progress of a build or a deployment."""
    job = load_job(caller, job_id)
    if isinstance(job, models.Build):
        note_steps(job)
    return views.job(job)


@routes.endpoint(
    "POST", "/v1/cicd/jobs/{job_id}/cancel", role=Role.DEPLOYER, status=202, answer=views.Job
)
def cancel(caller: Principal, job_id: str) -> Reply:
    """Cancel a build or a deployment that has not ended.

    A queued build and a deployment end at once; a running build ends when CodeBuild has stopped it.
    """
    job = cancel_job(load_job(caller, job_id), actor=caller.actor)
    return Reply(views.job(job), location=f"/v1/cicd/jobs/{job.job_id}")
