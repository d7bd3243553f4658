"""The one connection to DynamoDB, and the base of all rows.

PynamoDB makes a connection for each model. Each would make a session and a client of its own, and a
first push would wait for five of them.
"""

from functools import cache
from typing import Any

from pynamodb.connection import Connection, TableConnection
from pynamodb.exceptions import TableError
from pynamodb.models import Model

from chalicelib import sdk

# Short time-outs and few tries: GitHub waits ten seconds for an answer.
CONNECT_TIMEOUT = 1
READ_TIMEOUT = 1
MAX_RETRIES = 1


class SharedConnection(Connection):
    """A connection that uses the session of the process."""

    @property
    def session(self) -> Any:
        return sdk.session()

    @property
    def client(self) -> Any:
        with sdk.LOCK:
            return super().client

    def connect(self) -> None:
        """Make the client now, not with the first call."""
        _ = self.client


@cache
def connection() -> SharedConnection:
    """The connection of this process. It makes its client on first use."""
    return SharedConnection(
        connect_timeout_seconds=CONNECT_TIMEOUT,
        read_timeout_seconds=READ_TIMEOUT,
        max_retry_attempts=MAX_RETRIES,
    )


class Row(Model):
    """A row of a table. All tables use the same connection."""

    @classmethod
    def _get_connection(cls) -> TableConnection:
        table = super()._get_connection()
        if table.connection is not connection():
            schema = table.get_meta_table()
            table.connection = connection()
            try:
                table.get_meta_table()
            except TableError:
                table.connection.add_meta_table(schema)
        return table
