"""Hooks below boto3: record the calls to AWS, and make them fail."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError


class Killed(BaseException):
    """The process dies here: neither later code nor an error handler runs."""


@dataclass
class Calls:
    """The calls to AWS, in order. A call that botocore repeats counts once."""

    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def clear(self) -> None:
        self.made.clear()

    @property
    def counted(self) -> dict[str, int]:
        """How often each `service.Operation` was called."""
        return dict(Counter(name for name, _ in self.made))

    def to(self, name: str) -> list[dict[str, Any]]:
        """The parameters of each call of one `service.Operation`."""
        return [parameters for made, parameters in self.made if made == name]


def record_calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record every call of every client from now on."""
    calls = Calls()
    original: Any = vars(BaseClient)["_make_api_call"]

    def make_api_call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        calls.made.append((f"{self.meta.service_model.service_name}.{operation}", parameters))
        return original(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", make_api_call)
    return calls


def change_answers(
    monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """Every answer of a `service.Operation` from now on is changed before Slipway gets it."""
    original: Any = vars(BaseClient)["_make_api_call"]

    def make_api_call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        answer = original(self, operation, parameters)
        if name == f"{self.meta.service_model.service_name}.{operation}":
            change(answer)
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", make_api_call)


class Trouble:
    """Makes calls fail. botocore still makes its own second try."""

    TRIES = 2  # Slipway's clients try a call twice, and a look of preflight once

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._plans: dict[str, list[tuple[str, str]]] = {}
        original: Any = vars(Endpoint)["_get_response"]

        def get_response(endpoint: Any, request: Any, model: Any, context: Any) -> Any:
            plans = self._plans.get(f"{model.service_model.service_name}.{model.name}")
            kind, code = plans.pop(0) if plans else ("", "")
            if kind == "refused":
                return refusal(request.url, *code.split(": ", 1)), None
            if kind == "killed before":
                raise Killed
            answer = original(endpoint, request, model, context)
            if kind == "killed after":
                raise Killed
            return (None, ReadTimeoutError(endpoint_url=request.url)) if kind == "lost" else answer

        monkeypatch.setattr(Endpoint, "_get_response", get_response)
        monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))

    def lose_answers(self, name: str, *, times: int = TRIES) -> None:
        """The next calls of a `service.Operation` take effect, but their responses are lost."""
        self._plan(name, "lost", times=times)

    def refuse(self, name: str, code: str, message: str = "refused", *, times: int = TRIES) -> None:
        """The next calls of a `service.Operation` get an error response."""
        self._plan(name, "refused", f"{code}: {message}", times=times)

    def kill_before(self, name: str) -> None:
        """The process dies before the next call takes effect."""
        self._plan(name, "killed before")

    def kill_after(self, name: str) -> None:
        """The process dies after the next call takes effect."""
        self._plan(name, "killed after")

    def end(self) -> None:
        """All calls succeed again."""
        self._plans.clear()

    def _plan(self, name: str, kind: str, code: str = "", *, times: int = 1) -> None:
        self._plans.setdefault(name, []).extend([(kind, code)] * times)


def refusal(
    url: str, code: str, message: str, *, status: int = 400
) -> tuple[AWSResponse, dict[str, Any]]:
    """An error response in the form that botocore parses it to."""
    metadata = {"HTTPStatusCode": status, "RetryAttempts": 0}
    body: dict[str, Any] = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": metadata,
    }
    if code == "TransactionCanceledException":  # DynamoDB API Reference, TransactWriteItems
        body["CancellationReasons"] = [{"Code": "TransactionConflict"}]
    return AWSResponse(url, status, HTTPHeaders(), None), body
