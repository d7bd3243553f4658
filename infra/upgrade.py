"""The migrations of rows. `make deploy` runs them after it has replaced the functions.

A migration changes one row at a time, on condition of the version that it has read. It may be
repeated and interrupted, and two may run at once. The application works meanwhile. Once it has gone
over all rows, the schema is raised (docs/decisions/0039).
"""

import os
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from chalicelib.domain.schema import NEEDED, ROW, SCHEMA, is_known
from chalicelib.domain.timing import WORKER_LIFE

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_PAGE = 100


def read_schema(dynamodb: "DynamoDBClient", prefix: str) -> int:
    """The schema of a stage's rows. Raises botocore's errors."""
    try:
        found = dynamodb.get_item(
            TableName=f"{prefix}-claims", Key={"id": {"S": ROW}}, ConsistentRead=True
        )
    except dynamodb.exceptions.ResourceNotFoundException:
        return 0
    return int(found.get("Item", {}).get("value", {}).get("N", 0))


def why_not(stored: int) -> str | None:
    """Why this version cannot use rows of a schema, and what to do; None if it can."""
    rows = f"The rows of this stage have schema {stored}"
    if not is_known(stored):
        return f"{rows}, and this version knows {SCHEMA}.\nCheck out a newer version."
    if stored < NEEDED:
        return (
            f"{rows}, and this version needs {NEEDED}.\n"
            f"Deploy an earlier version first: one that raises the schema to {NEEDED}."
        )
    return None


def upgrade(environment: Mapping[str, str], *, replaced: bool = False) -> int:
    """Run the migrations that the rows lack, and raise the schema; return how many rows changed.

    `environment` is that of the application. With `replaced` functions it waits first: what they
    had begun may write rows of the old layout until a worker's life is over.

    Raises Unavailable, and PynamoDBException without the permission.
    """
    os.environ.update(environment)
    # Import late: the models read their tables' names at import.
    from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, unhappy_end
    from chalicelib.pipeline.retries import retry_on_conflict
    from chalicelib.store.jobs import ends_of
    from chalicelib.store.models import LISTED, Claim, Job, Service
    from chalicelib.store.reads import find, reading
    from chalicelib.store.schema import stored_schema
    from chalicelib.store.services import find_service
    from chalicelib.store.writes import change, commit, create

    def join_list(number: int) -> bool:
        """Add a service that is older than the list of all services to it."""
        row = find_service(number)
        if row is None or row.listed is not None or row.deleted_at is not None:
            return False
        commit(change(row, listed=LISTED))
        return True

    def join_ends(job_id: str) -> bool:
        """Add a job that ended without success before there were indexes of ends."""
        row = find(Job, job_id)
        if row is None or row.end is not None:
            return False
        commit(change(row, **ends_of(row, row.status, {})))
        return True

    # Also the releases that a rollback left: their status is the one of an interrupted rollout.
    unhappy = [
        status
        for kind, statuses in (("build", BuildStatus), ("deploy", DeploymentStatus))
        for status in statuses
        if unhappy_end(kind, status, 0) is not None
    ]

    def migrate() -> int:
        marker, stored = stored_schema()
        if stored >= SCHEMA:
            return 0
        # Of the tables themselves: an index may lag, and leaves rows out.
        with reading():
            services = [
                row.id
                for row in Service.scan(consistent_read=True, page_size=_PAGE)
                if row.listed is None and row.deleted_at is None
            ]
        changed = sum(retry_on_conflict(partial(join_list, number)) for number in services)
        with reading():
            is_old = Job.end.does_not_exist() & Job.status.is_in(*unhappy)
            jobs = Job.scan(is_old, consistent_read=True, attributes_to_get=["id", "kind"])
            found = [row.job_id for row in jobs]
        changed += sum(retry_on_conflict(partial(join_ends, job_id)) for job_id in found)
        # If the version before has lowered the schema meanwhile, this fails, and all is repeated.
        commit(change(marker, value=SCHEMA) if marker else create(Claim(ROW, value=SCHEMA)))
        return changed

    if replaced and stored_schema()[1] < SCHEMA:
        time.sleep(WORKER_LIFE)
    return retry_on_conflict(migrate)
