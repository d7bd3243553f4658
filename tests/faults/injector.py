"""Faults at any call of the SDK, below botocore's own retries, which stay as they are."""

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

from chalicelib.store.models import CONNECT_TIMEOUT
from tests.support.sdk import Killed, refusal

DIED_BEFORE = "the process died before it"
DIED_AFTER = "the process died after it"
LOST_BEFORE = "time-out before it had an effect"
LOST_AFTER = "time-out after it had its effect"
THROTTLED = "throttled"
FAILED = "a 500 before it had an effect"
DENIED = "access denied"
DENIED_AGAIN = "time-out after it had its effect, and access denied to the second try"
KINDS = (DIED_BEFORE, DIED_AFTER, LOST_BEFORE, LOST_AFTER, THROTTLED, FAILED, DENIED, DENIED_AGAIN)

_REFUSALS = {
    THROTTLED: (400, "ThrottlingException"),
    FAILED: (500, "InternalServerError"),
    DENIED: (400, "AccessDeniedException"),
}


class Hook(Protocol):
    """Called before and after a call of the SDK, with its number and its name."""

    def __call__(self, number: int, name: str) -> None: ...


# What may change a row: others are not worth a look.
_WRITES = {"TransactWriteItems", "UpdateItem", "PutItem", "DeleteItem", "BatchWriteItem"}


class Injector:
    """Counts the calls of the SDK, and lets a planned one fail; both tries of it, if there are two.

    `before` and `after` run around each call that reaches AWS: another process's doings, for
    instance. What runs inside them is not counted and meets no fault.
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
        """Count from nought, with nothing planned."""
        self.names.clear()
        self._plan.clear()
        self._tries.clear()
        self.before = self.after = None

    def fail(self, number: int, kind: str) -> None:
        """Let the call of this number, from nought, fail."""
        self._plan[number] = kind

    @property
    def count(self) -> int:
        """How many calls were made."""
        return len(self.names)

    def aside(self, run: Callable[[], object]) -> None:
        """Run something as if in another process, in the middle of this one."""
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

        def counted(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
            config: Any = client.meta.config
            if config.connect_timeout != CONNECT_TIMEOUT:
                with self._pausing():  # the pump's or a test's own client, not the product's
                    return make_api_call(client, operation, parameters)
            if not self._paused:
                self.names.append(f"{client.meta.service_model.service_name}.{operation}")
            return make_api_call(client, operation, parameters)

        def answered(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
            def call() -> Any:
                answer = get_response(endpoint, request, model, context)
                if self.observe is not None and model.name in _WRITES:
                    self.observe()
                return answer

            return call() if self._paused else self._answer(request.url, call)

        monkeypatch.setattr(BaseClient, "_make_api_call", counted)
        monkeypatch.setattr(Endpoint, "_get_response", answered)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))

    def _answer(self, url: str, call: Callable[[], Any]) -> Any:
        number = self.count - 1
        name = self.names[number]
        kind = self._plan.get(number)
        if kind == DENIED_AGAIN:
            self._tries[number] += 1
            kind = LOST_AFTER if self._tries[number] == 1 else DENIED
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
            self.aside(lambda: hook(number, name))
