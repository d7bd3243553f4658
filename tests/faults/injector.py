"""Faults at any call of the SDK, below botocore's own retries, and at any request to a receiver."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.endpoint
import pytest
import urllib3
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError

from chalicelib.store.connection import CONNECT_TIMEOUT
from tests.faults.receivers import answer_of
from tests.support.sdk import Killed, refusal

DIED_BEFORE = "the process died before the call"
DIED_AFTER = "the process died after the call"
LOST_BEFORE = "time-out before the effect"
LOST_AFTER = "time-out after the effect"
THROTTLED = "throttled"
FAILED = "a 500 before the effect"
DENIED = "access denied"
RETRY_DENIED = "time-out after the effect, then access denied to the second try"
RETRY_ANSWERED = "time-out after the effect, then an answer to the second try"
KINDS = (
    DIED_BEFORE,
    DIED_AFTER,
    LOST_BEFORE,
    LOST_AFTER,
    THROTTLED,
    FAILED,
    DENIED,
    RETRY_DENIED,
    RETRY_ANSWERED,
)
_SECOND_TRIES = {RETRY_DENIED: DENIED, RETRY_ANSWERED: None}
# A request to a receiver has one try. The receiver hangs until a time-out, before the effect or
# after it. If it throttles, it says when to come again.
REQUEST = "http."
KINDS_OF_REQUESTS = (DIED_BEFORE, DIED_AFTER, LOST_BEFORE, LOST_AFTER, THROTTLED, FAILED, DENIED)
_ANSWERS = {
    THROTTLED: (HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "90"}),
    FAILED: (HTTPStatus.INTERNAL_SERVER_ERROR, {}),
    DENIED: (HTTPStatus.FORBIDDEN, {}),
}

_REFUSALS = {
    THROTTLED: (400, "ThrottlingException"),
    FAILED: (500, "InternalServerError"),
    DENIED: (400, "AccessDeniedException"),
}


class Hook(Protocol):
    """A function that the injector runs with the number and the name of a call of the SDK."""

    def __call__(self, number: int, name: str) -> None: ...


# The operations that may change a row. `observe` runs after these only: it reads a whole table.
_WRITES = {"TransactWriteItems", "UpdateItem", "PutItem", "DeleteItem", "BatchWriteItem"}


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds of faults that the call with this name can have."""
    return KINDS_OF_REQUESTS if name.startswith(REQUEST) else KINDS


class Injector:
    """Counts the calls of the SDK, and makes planned calls fail, in both tries that botocore makes.

    A request to a receiver is a call, too, with one try.

    `before` and `after` run around each try of a call, for example to act as another process.
    Calls that they make are not counted and do not fail.

    `names` lists the calls so far, as `service.Operation`; those of requests are as
    `http.POST statuses`, with the last word of the path. `fired` lists the faults so far, each
    with its call. `observe` runs after each write to DynamoDB.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.fired: list[tuple[str, str]] = []
        self.before: Hook | None = None
        self.after: Hook | None = None
        self.observe: Callable[[], None] | None = None
        self.watch: Callable[[], None] | None = None
        self._plan: dict[int, str] = {}
        self._tries: Counter[int] = Counter()
        self._paused = 0
        self._patch(monkeypatch)

    def reset(self) -> None:
        """Forget the calls, the planned faults and the hooks. Count from 0 again."""
        self.names.clear()
        self._plan.clear()
        self._tries.clear()
        self.before = self.after = None

    def fail(self, number: int, kind: str) -> None:
        """Plan a fault for the call of this number. Calls count from 0."""
        self._plan[number] = kind

    @property
    def count(self) -> int:
        """The number of calls so far."""
        return len(self.names)

    def _run_as_another_process(self, run: Callable[[], object]) -> None:
        """Run a function in a fresh context, without counting its calls."""
        with self._pausing():
            Context().run(run)

    @contextmanager
    def _pausing(self) -> Iterator[None]:
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make_api_call: Any = vars(BaseClient)["_make_api_call"]
        get_response: Any = vars(Endpoint)["_get_response"]
        open_url: Any = vars(urllib3.HTTPConnectionPool)["urlopen"]

        def count_call(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
            config: Any = client.meta.config
            if config.connect_timeout != CONNECT_TIMEOUT:
                with self._pausing():  # a client of the pump or of a test
                    return make_api_call(client, operation, parameters)
            if not self._paused:
                self.names.append(f"{client.meta.service_model.service_name}.{operation}")
            return make_api_call(client, operation, parameters)

        def get_response_or_fault(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
            def call() -> Any:
                answer = get_response(endpoint, request, model, context)
                if self.observe is not None and model.name in _WRITES:
                    self.observe()
                is_ecs = model.service_model.service_name == "ecs"
                if self.watch is not None and is_ecs and not self._paused:
                    self.watch()
                return answer

            return self._call_with_fault(call, partial(_aws_failure, request.url))

        def urlopen(pool: Any, method: str, url: str, *words: Any, **options: Any) -> Any:
            if not self._paused:
                self.names.append(f"{REQUEST}{method} {_last_word(url)}")
            call = partial(open_url, pool, method, url, *words, **options)
            return self._call_with_fault(call, partial(_receivers_failure, pool, url))

        monkeypatch.setattr(BaseClient, "_make_api_call", count_call)
        monkeypatch.setattr(Endpoint, "_get_response", get_response_or_fault)
        monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", urlopen)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))

    def _call_with_fault(self, call: Callable[[], Any], fail: Callable[[str], Any]) -> Any:
        """The answer of a call, or that of `fail` for the planned kind."""
        if self._paused:
            return call()
        number = self.count - 1
        name = self.names[number]
        kind = self._plan.get(number)
        if kind in _SECOND_TRIES:
            self._tries[number] += 1
            kind = LOST_AFTER if self._tries[number] == 1 else _SECOND_TRIES[kind]
        if kind is not None:
            self.fired.append((name, kind))
        self._run(self.before, number, name)
        if kind in _REFUSALS or kind == LOST_BEFORE:
            return fail(kind)
        if kind == DIED_BEFORE:
            raise Killed
        answer = call()
        if kind == DIED_AFTER:
            raise Killed
        self._run(self.after, number, name)
        return fail(kind) if kind == LOST_AFTER else answer

    def _run(self, hook: Hook | None, number: int, name: str) -> None:
        if hook is not None:
            self._run_as_another_process(lambda: hook(number, name))


def _aws_failure(url: str, kind: str) -> Any:
    if kind in _REFUSALS:
        status, code = _REFUSALS[kind]
        return refusal(url, code, "injected", status=status), None
    return None, ReadTimeoutError(endpoint_url=url)


def _receivers_failure(pool: Any, url: str, kind: str) -> Any:
    if kind not in _ANSWERS:
        raise urllib3.exceptions.ReadTimeoutError(pool, url, "injected")
    status, headers = _ANSWERS[kind]
    return answer_of(status, headers)


def _last_word(url: str) -> str:
    """The last part of a path that is no number and no commit."""
    words = [each for each in urlsplit(url).path.split("/") if each.isalpha()]
    return words[-1] if words else "/"
