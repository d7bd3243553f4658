"""Creating the tables without CloudFormation, for tests and the embedded cloud."""

from chalicelib.store.models import MODELS


def create_tables() -> None:
    """Create every table, with its indexes and time-to-live."""
    for model in MODELS:
        model.create_table(wait=True)
