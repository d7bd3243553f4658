"""boto3 clients, made when first needed, and SDK errors in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import budget
from chalicelib.errors import Rejected, SlipwayError, Unavailable

# Codes that say "not now" with a status of 400; everything of 500 and above says so too.
_WAIT = frozenset(
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
    """The boto3 client of `service`; one that gives up sooner where somebody waits for it."""
    return _client(service, 1 if budget.is_limited() else 5)


@cache
def _client(service: str, read_timeout: int) -> Any:
    retries: Any = {"total_max_attempts": 2, "mode": "standard"}
    return boto3.client(
        service,  # type: ignore[call-overload]
        config=Config(connect_timeout=1, read_timeout=read_timeout, retries=retries),
    )


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn the SDK's failures in the block into Rejected (for good) or Unavailable (not now)."""
    budget.check()
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _ours(what, error) from error


def _ours(what: str, error: BotoCoreError | ClientError) -> SlipwayError:
    if not isinstance(error, ClientError):
        return Unavailable(f"{what}: {error}")
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    # What refuses botocore's second try says nothing of the first, which may have had its effect.
    unclear = metadata.get("RetryAttempts", 0) > 0
    wait = unclear or code in _WAIT or status >= 500 or status == 429
    kind = Unavailable if wait else Rejected
    return kind(f"{what}: {message or code}", code=code)
