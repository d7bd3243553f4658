"""The receipts of releases. Each is written before the transaction of its release's success.

Its key has its hash, and the row of the deployment names the hash. So a receipt that a worker wrote
without the success, or that another worker was faster with, belongs to no release.
"""

from collections.abc import Mapping
from typing import Any

from chalicelib import clock
from chalicelib.store.models import Deployment, Receipt
from chalicelib.store.reads import find
from chalicelib.store.writes import keep


def keep_release_receipt(number: int, receipt: Mapping[str, Any]) -> None:
    """Keep a receipt of a deployment, which never expires."""
    name = _id(number, receipt["hash"])
    keep(Receipt(name, created_at=clock.now(), outcome=dict(receipt)))


def find_release_receipt(release: Deployment) -> dict[str, Any] | None:
    """The receipt of a deployment; None if it has none."""
    row = find(Receipt, _id(release.number, release.receipt))
    return row.outcome if row else None


def _id(number: int, made: str | None) -> str:
    return f"release:{number}" if made is None else f"release:{number}:{made}"
