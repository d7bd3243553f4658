"""The schema of the rows, which each process compares with its own before its first write."""

from pynamodb.exceptions import UpdateError

from chalicelib import budget
from chalicelib.domain.schema import ENDS, ROW, SCHEMA, is_known
from chalicelib.errors import Unavailable
from chalicelib.store.models import Claim
from chalicelib.store.reads import code_of, failure, find

_is_checked = False
# Whether this process has seen that the indexes of ends are complete.
_has_ends = False


def stored_schema() -> tuple[Claim | None, int]:
    """The row of the schema, None if it is missing, and the schema, by a consistent read."""
    row = find(Claim, ROW)
    return row, int(row.value or 0) if row else 0


def check_schema() -> None:
    """Refuse to write to rows of a schema that is too new; look once in each process.

    The newest version may have gone back to this one. What this version writes is not migrated, so
    it lowers the schema to its own, and the next update migrates the rows again.

    Raises Unavailable.
    """
    global _is_checked
    if _is_checked:
        return
    row, stored = stored_schema()
    if not is_known(stored):
        raise Unavailable(
            f"the rows have schema {stored}, and this version of Slipway knows {SCHEMA}. It "
            "changes nothing: deploy a newer version"
        )
    if row is not None and stored > SCHEMA and not _lower(row):
        return check_schema()
    _is_checked = True


def has_ends() -> bool:
    """Whether all jobs that ended without success are in the indexes of ends."""
    global _has_ends
    if not _has_ends:
        _has_ends = stored_schema()[1] >= ENDS
    return _has_ends


def _lower(row: Claim) -> bool:
    """Lower the schema to the own one; False if another process has changed it."""
    budget.check()
    try:
        row.update(actions=[Claim.value.set(SCHEMA)])
    except UpdateError as error:
        if code_of(error) == "ConditionalCheckFailedException":
            return False
        raise failure(error) from error
    return True
