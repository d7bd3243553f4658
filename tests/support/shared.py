"""Clients and tables that tests share, because they take long to create."""

from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.table import Table

from chalicelib.aws import clients
from chalicelib.store import tables
from infra.local.speed import SERVICES

known_tables: dict[str, Table] = {}


def make_clients() -> None:
    """Create the product's clients before a fork, so that copies of this process share them."""
    for service in SERVICES[1:]:
        clients.client(service)


def create_tables(region: str = "eu-west-1", account: str = "123456789012") -> None:
    """Create the product's tables. Later calls reuse the first tables, emptied."""
    backend = dynamodb_backends[account][region]
    if not known_tables:
        tables.create_tables()
        known_tables.update(backend.tables)
    for table in known_tables.values():
        table.items.clear()
    backend.tables = dict(known_tables)
