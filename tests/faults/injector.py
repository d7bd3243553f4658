"""Faults at any call of the SDK, injected below botocore's own retries."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from types import SimpleNamespace
from typing import Any, Protocol

import botocore.endpoint
import pytest
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError

from chalicelib.store.connection import CONNECT_TIMEOUT
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


class Injector:
    """Counts the calls of the SDK, and makes planned calls fail, in both tries that botocore makes.

    `before` and `after` run around each try of a call, for example to act as another process.
    Calls that they make are not counted and do not fail.

    `names` lists the calls so far, as `service.Operation`. `fired` lists the faults so far, each
    with its call. `observe` runs after each write to DynamoDB.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.fired: list[tuple[str, str]] = []
        self.before: Hook | None = None
        self.after: Hook | None = None
        self.observe: Callable[[], None] | None = None
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
                return answer

            return call() if self._paused else self._call_with_fault(request.url, call)

        monkeypatch.setattr(BaseClient, "_make_api_call", count_call)
        monkeypatch.setattr(Endpoint, "_get_response", get_response_or_fault)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))

    def _call_with_fault(self, url: str, call: Callable[[], Any]) -> Any:
        number = self.count - 1
        name = self.names[number]
        kind = self._plan.get(number)
        if kind in _SECOND_TRIES:
            self._tries[number] += 1
            kind = LOST_AFTER if self._tries[number] == 1 else _SECOND_TRIES[kind]
        if kind is not None:
            self.fired.append((name, kind))
        self._run(self.before, number, name)
        if kind in _REFUSALS:
            status, code = _REFUSALS[kind]
            return refusal(url, code, "injected", status=status), None
        if kind == DIED_BEFORE:
            raise Killed
        if kind == LOST_BEFORE:
            return None, ReadTimeoutError(endpoint_url=url)
        answer = call()
        if kind == DIED_AFTER:
            raise Killed
        self._run(self.after, number, name)
        return (None, ReadTimeoutError(endpoint_url=url)) if kind == LOST_AFTER else answer

    def _run(self, hook: Hook | None, number: int, name: str) -> None:
        if hook is not None:
            self._run_as_another_process(lambda: hook(number, name))
