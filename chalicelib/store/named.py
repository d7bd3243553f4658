"""The rows that services name by number, for lists of services."""

from collections.abc import Iterator, Sequence

import msgspec

from chalicelib.domain.statuses import job_id
from chalicelib.store.models import Build, Deployment, Job, Project, Service
from chalicelib.store.reads import find_all

# The attributes of a deployment or a build that a list of services shows, and those that make it a
# row. The others are the larger part of a row, and a page would read more than a hundred of them.
_OF_JOBS = [
    *("id", "kind", "number", "status", "progress", "trigger", "requested_by", "reason", "git_ref"),
    *("commit_sha", "commit_message", "author", "image_repository", "image_tag", "image_digest"),
    *("build_id", "checks", "shift", "awaiting", "approvals", "error"),
    *("created_at", "started_at", "finished_at"),
]


_DEPLOYMENTS_OF_SERVICES = (
    "current",
    "active",
    "waiting",
    "checking",
    "last_deployment",
    "failed_deployment",
)


class Named(msgspec.Struct, frozen=True):
    """Projects, deployments and builds, by number. The latter two have only some attributes."""

    projects: dict[int, Project]
    deployments: dict[int, Deployment]
    builds: dict[int, Build]


def find_named(services: Sequence[Service]) -> Named:
    """The rows that `services` name, in consistent reads of up to a hundred rows.

    The number of reads depends on that of the services only, and not on their history.
    """
    job_ids = [each for service in services for each in _job_ids(service)]
    jobs = find_all(Job, job_ids, _OF_JOBS).values()
    projects = find_all(Project, [service.project_id for service in services]).values()
    return Named(
        projects={row.id: row for row in projects},
        deployments={row.number: row for row in jobs if isinstance(row, Deployment)},
        builds={row.number: row for row in jobs if isinstance(row, Build)},
    )


def _job_ids(service: Service) -> Iterator[str]:
    # PynamoDB's attributes need ten times as long.
    stored = service.attribute_values.get
    for name in _DEPLOYMENTS_OF_SERVICES:
        if (number := stored(name)) is not None:
            yield job_id("deploy", number)
    if (number := stored("last_build")) is not None:
        yield job_id("build", number)
