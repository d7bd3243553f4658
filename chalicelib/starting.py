"""What a Lambda function does at the end of its start, after all imports."""

import gc

from chalicelib.settings import on_lambda
from chalicelib.store.connection import connection


def ready() -> None:
    """Make ready for the first event, if this process is a Lambda function.

    A function has a whole processor while it starts, and less than a third of one later. So it
    makes the client of DynamoDB now, which every event needs.
    """
    if on_lambda():
        connection().connect()
        gc.freeze()
        gc.enable()
