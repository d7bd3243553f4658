"""The receipts of releases, each written in the transaction of its release's success."""

from collections.abc import Mapping
from typing import Any

from chalicelib import clock
from chalicelib.store.models import Receipt
from chalicelib.store.reads import find
from chalicelib.store.writes import Write, create


def keep_release_receipt(number: int, receipt: Mapping[str, Any]) -> Write:
    """Keep the receipt of a deployment. It is never changed and never expires."""
    return create(Receipt(_id(number), created_at=clock.now(), outcome=dict(receipt)))


def find_release_receipt(number: int) -> dict[str, Any] | None:
    """The receipt of a deployment; None if it has none."""
    row = find(Receipt, _id(number))
    return row.outcome if row else None


def _id(number: int) -> str:
    return f"release:{number}"
