"""The work of a deployed stage that has not ended."""

import os
from collections.abc import Mapping


def under_way(environment: Mapping[str, str]) -> list[str]:
    """The ids of the open builds, of many only the first thousand, and of the open deployments.

    `environment` is that of the application. Raises Unavailable, and PynamoDBException without the
    permission.
    """
    os.environ.update(environment)
    # Import late: the models read their tables' names at import.
    from chalicelib.domain.statuses import job_id
    from chalicelib.store.due import open_builds
    from chalicelib.store.reads import MOST_KEYS
    from chalicelib.store.services import list_services

    services, before = [], None
    while True:
        found = list_services(None, limit=MOST_KEYS, before=before)
        services += found.rows
        before = found.before
        if before is None:
            break
    builds = [job_id("build", build.number) for build in open_builds()]
    deployments = [
        job_id("deploy", number)
        for service in services
        for number in (service.active, service.waiting, service.checking)
        if number is not None
    ]
    return builds + deployments
