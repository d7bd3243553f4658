"""Clients of AWS, created on first use, and SDK errors as Slipway's errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import budget, sdk
from chalicelib.domain.identities import without_identities
from chalicelib.errors import Rejected, SlipwayError, Unavailable

logger = logging.getLogger("slipway")

# Codes of temporary failures with status 400. Statuses from 500 on are temporary, too.
_TEMPORARY = frozenset(
    {
        "AccountLimitExceededException",
        "LimitExceededException",
        "OperationAbortedException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "ServerException",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "UpdateInProgressException",
    }
)


def client(service: str) -> Any:
    """The client of `service`, with the time-out and the tries that the budget allows."""
    return _client(service, read_timeout(), budget.tries())


def read_timeout() -> int:
    """The seconds that AWS has to answer a call: fewer within a budget."""
    return 1 if budget.is_limited() else 5


@cache
def _client(service: str, timeout: int, tries: int) -> Any:
    retries: Any = {"total_max_attempts": tries, "mode": "standard"}
    config = Config(connect_timeout=1, read_timeout=timeout, retries=retries)
    with sdk.LOCK:
        return sdk.session().create_client(service, config=config)


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Turn SDK errors in the block into Rejected (permanent) or Unavailable (temporary)."""
    budget.check()
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _slipway_error(operation, error) from error


def _slipway_error(operation: str, error: BotoCoreError | ClientError) -> SlipwayError:
    """The error for a failed call. It has AWS's code only if the call had no effect for sure.

    Callers read its text, so it names no role. The log has AWS's whole message.
    """
    if not isinstance(error, ClientError):
        return Unavailable(f"{operation}: {error}")
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    # If botocore's second try is refused, the first may have had an effect: not a definite no.
    unclear = metadata.get("RetryAttempts", 0) > 0
    temporary = unclear or code in _TEMPORARY or status >= 500 or status == 429
    kind = Unavailable if temporary else Rejected
    if "not authorized" in message:
        logger.warning("%s: %s", operation, message)
    shown = without_identities(message) or code
    return kind(f"{operation}: {shown}", code="" if unclear else code)
