"""Jobs: one view of whatever work there is."""

from chalicelib.access import Principal, Role, load_job
from chalicelib.api import views
from chalicelib.api.routing import Routes

routes = Routes(__name__)


@routes.endpoint("GET", "/v1/cicd/jobs/{job_id}", role=Role.VIEWER, answer=views.Job)
def get_job(caller: Principal, job_id: str) -> views.Job:
    """Show the status and progress of a build or deployment by its job id."""
    return views.job(load_job(caller, job_id))
