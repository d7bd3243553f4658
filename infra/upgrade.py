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
    from chalicelib.pipeline.retries import retry_on_conflict
    from chalicelib.store.models import LISTED, Claim, Service
    from chalicelib.store.reads import reading
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

    def migrate() -> int:
        marker, stored = stored_schema()
        if stored >= SCHEMA:
            return 0
        with reading():
            # Of the table itself: an index may lag, and leaves rows out.
            old = [
                row.id
                for row in Service.scan(consistent_read=True, page_size=_PAGE)
                if row.listed is None and row.deleted_at is None
            ]
        changed = sum(retry_on_conflict(partial(join_list, number)) for number in old)
        # If the version before has lowered the schema meanwhile, this fails, and all is repeated.
        commit(change(marker, value=SCHEMA) if marker else create(Claim(ROW, value=SCHEMA)))
        return changed

    if replaced and stored_schema()[1] < SCHEMA:
        time.sleep(WORKER_LIFE)
    return retry_on_conflict(migrate)
