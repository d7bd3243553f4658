"""The rows that services name by number, for lists of services."""

from collections.abc import Iterator, Sequence

import msgspec

from chalicelib.domain.statuses import job_id
from chalicelib.store.models import Build, Deployment, Job, Project, Service
from chalicelib.store.reads import find_all


class Named(msgspec.Struct, frozen=True):
    """Projects, deployments and builds, by number."""

    projects: dict[int, Project]
    deployments: dict[int, Deployment]
    builds: dict[int, Build]


def find_named(services: Sequence[Service]) -> Named:
    """The rows that `services` name, in consistent reads of up to a hundred rows.

    The number of reads depends on that of the services only, and not on their history.
    """
    job_ids = [each for service in services for each in _job_ids(service)]
    jobs = find_all(Job, job_ids).values()
    projects = find_all(Project, [service.project_id for service in services]).values()
    return Named(
        projects={row.id: row for row in projects},
        deployments={row.number: row for row in jobs if isinstance(row, Deployment)},
        builds={row.number: row for row in jobs if isinstance(row, Build)},
    )


def _job_ids(service: Service) -> Iterator[str]:
    deployments = (
        service.current,
        service.active,
        service.waiting,
        service.last_deployment,
        service.failed_deployment,
    )
    yield from (job_id("deploy", number) for number in deployments if number is not None)
    if service.last_build is not None:
        yield job_id("build", service.last_build)
