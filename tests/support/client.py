"""A client of the API for tests."""

import json
from dataclasses import dataclass
from typing import Any

from chalice.test import Client


@dataclass(frozen=True)
class Answer:
    """An HTTP response; `body` is its parsed JSON."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Api:
    """Calls the app with one token."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self.token = token

    def as_holder_of(self, token: str) -> "Api":
        """The same API with another token."""
        return Api(self._client, token)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> Answer:
        """Send `body` as JSON, or `raw` unchanged. A header with the value None is not sent."""
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        answer = self._client.http.request(
            method,
            path,
            headers={name: value for name, value in sent.items() if value is not None},
            body=data,
        )
        return Answer(
            int(answer.status_code),
            {name.lower(): value for name, value in answer.headers.items()},
            answer.body.decode(),
        )

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.request("POST", path, body=body, **more)

    def patch(self, path: str, body: Any, **more: Any) -> Answer:
        return self.request("PATCH", path, body=body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.request("DELETE", path, **more)
