"""What goes wrong on demand: failed and hanging requests, and rate limits."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from infra.local.github.refusals import DOCS, Refusal

LIMITS = f"{DOCS}/using-the-rest-api/rate-limits-for-the-rest-api"
HOUR = 3600


@dataclass
class Fault:
    """Hits the next `times` requests whose method and path match, such as `GET /app`.

    A hit request first waits `seconds`. If it `fails`, it is answered with `status`, or its
    connection is closed if that is None. `after_effect`: it is handled before it fails.
    """

    match: re.Pattern[str]
    times: int
    seconds: float = 0
    fails: bool = False
    status: int | None = None
    after_effect: bool = False


@dataclass
class Limit:
    """After `remaining` more requests, requests are refused until `reset_at`, in epoch seconds."""

    remaining: int
    reset_at: float
    secondary: bool
    retry_after: int | None
    status: int


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, request: str) -> Fault | None:
        """The first fault that the request hits."""
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and fault.match.search(request):
                    fault.times -= 1
                    return fault
        return None


class Quota:
    """GitHub's rate limits. Primary: "5,000 requests per hour", "60" without a token.

    REST API, "Rate limits for the REST API". The same page has the headers and the statuses.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.limit: Limit | None = None
        self._clock = clock
        self._used: Counter[tuple[str, int]] = Counter()

    def check(self, caller: str) -> None:
        """Raises Refusal if the caller has no requests left. `caller` is empty without a token."""
        limit = self._current_limit()
        if limit and limit.secondary and limit.remaining <= 0:
            after = limit.retry_after
            headers = {} if after is None else {"Retry-After": str(after)}
            message = "You have exceeded a secondary rate limit. Please wait a few minutes before"
            document = f"{LIMITS}#about-secondary-rate-limits"
            raise Refusal(limit.status, f"{message} you try again.", None, headers, document)
        if self._remaining(caller) <= 0:
            status = limit.status if limit else 403
            raise Refusal(status, f"API rate limit exceeded for {caller or '127.0.0.1'}.")

    def charge(self, caller: str) -> None:
        self._used[caller, self._window()] += 1
        if limit := self._current_limit():
            limit.remaining -= 1

    def headers(self, caller: str) -> dict[str, str]:
        limit = self._current_limit()
        primary = limit if limit and not limit.secondary else None
        total, remaining = self._total(caller), max(self._remaining(caller), 0)
        return {
            "X-RateLimit-Limit": str(total),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Used": str(total - remaining),
            "X-RateLimit-Reset": str(
                int(primary.reset_at) if primary else (self._window() + 1) * HOUR
            ),
            "X-RateLimit-Resource": "core",
        }

    def _current_limit(self) -> Limit | None:
        return self.limit if self.limit and self._clock() < self.limit.reset_at else None

    def _remaining(self, caller: str) -> int:
        limit = self._current_limit()
        if limit and not limit.secondary:
            return limit.remaining
        return self._total(caller) - self._used[caller, self._window()]

    def _window(self) -> int:
        return int(self._clock()) // HOUR

    @staticmethod
    def _total(caller: str) -> int:
        return 5000 if caller else 60
