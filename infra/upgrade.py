"""Changes that rows of an earlier version need. `make deploy` makes them after the functions.

Each may be repeated, and the application works before, between and after them.
"""

import os
from collections.abc import Mapping
from functools import partial


def upgrade(environment: Mapping[str, str]) -> int:
    """Add services that are older than the list of all services to it; return how many.

    `environment` is that of the application. Raises Unavailable, and PynamoDBException without the
    permission.
    """
    os.environ.update(environment)
    # Import late: the models read their tables' names at import.
    from chalicelib.pipeline.retries import retry_on_conflict
    from chalicelib.store.models import LISTED, Project, Service
    from chalicelib.store.services import find_service
    from chalicelib.store.writes import change, commit

    def join(number: int) -> bool:
        row = find_service(number)
        if row is None or row.listed is not None or row.deleted_at is not None:
            return False
        commit(change(row, listed=LISTED))
        return True

    numbers = [
        service.id
        for project in Project.all_index.query(LISTED)
        for service in Service.project_index.query(project.id)
    ]
    return sum(retry_on_conflict(partial(join, number)) for number in numbers)
