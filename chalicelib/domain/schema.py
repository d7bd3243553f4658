"""The schema: the number of the layout that all rows of an installation have.

A version that changes rows brings a migration (`infra.upgrade`). The version before can use the
migrated rows, and no earlier version may write to them (docs/decisions/0039).
"""

# The claim that has the schema of the rows. An installation without it has schema 0.
ROW = "schema"
# The schema after the migrations of this version. 1: all services are in the list of services.
# 2: all jobs that ended without success are in the indexes of ends.
SCHEMA = 2
ENDS = 2
# The lowest schema of rows that this version can use.
NEEDED = 0


def is_known(stored: int) -> bool:
    """Whether this version may write to rows of a schema."""
    return stored <= SCHEMA + 1
