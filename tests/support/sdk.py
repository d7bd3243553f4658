"""The SDK seen from below: which operations were called with what, and answers that get lost."""

from collections import Counter
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
    """The process died: nothing after this line ran, and no handler of errors did."""


@dataclass
class Calls:
    """What was asked of AWS, in order; one repeated by botocore itself counts once."""

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
    """Write down every call of any client from now on."""
    calls = Calls()
    original: Any = vars(BaseClient)["_make_api_call"]

    def make_api_call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        calls.made.append((f"{self.meta.service_model.service_name}.{operation}", parameters))
        return original(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", make_api_call)
    return calls


class Trouble:
    """Calls that fail as they do in a cloud. botocore's own second try is made as ever."""

    TRIES = 2  # of every client here

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
        """The next calls of a `service.Operation` have their effect, but the answers are lost."""
        self._plan(name, "lost", times=times)

    def refuse(self, name: str, code: str, message: str = "refused", *, times: int = TRIES) -> None:
        """The next calls of a `service.Operation` are answered with an error."""
        self._plan(name, "refused", f"{code}: {message}", times=times)

    def kill_before(self, name: str) -> None:
        """The process dies before the next call has its effect."""
        self._plan(name, "killed before")

    def kill_after(self, name: str) -> None:
        """The process dies when the next call has had its effect."""
        self._plan(name, "killed after")

    def _plan(self, name: str, kind: str, code: str = "", *, times: int = 1) -> None:
        self._plans.setdefault(name, []).extend([(kind, code)] * times)


def refusal(
    url: str, code: str, message: str, *, status: int = 400
) -> tuple[AWSResponse, dict[str, Any]]:
    """An error as botocore has parsed it."""
    metadata = {"HTTPStatusCode": status, "RetryAttempts": 0}
    body: dict[str, Any] = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": metadata,
    }
    if code == "TransactionCanceledException":  # TransactWriteItems in the API reference
        body["CancellationReasons"] = [{"Code": "TransactionConflict"}]
    return AWSResponse(url, status, HTTPHeaders(), None), body
