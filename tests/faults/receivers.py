"""Receivers of channels in the process of the test: no call leaves it."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chalicelib.errors import Unavailable
from chalicelib.outbound import hooks, http
from chalicelib.outbound.guard import Place
from chalicelib.outbound.http import Answer
from tests.support.embedded import Cloud, keep_secret


class Receivers:
    """GitHub with its deployments, and a webhook. `failures` requests fail first."""

    def __init__(self) -> None:
        self.deployments: list[dict[str, Any]] = []
        # The statuses of each commit, and of each deployment, the earliest first.
        self.statuses: dict[str, list[str]] = {}
        self.failures = 0

    def exchange(
        self, receiver: str, _pool: Any, method: str, url: str, *, content: Any, **_: Any
    ) -> Answer:
        """Takes the place of `outbound.http.exchange`."""
        if self.failures:
            self.failures -= 1
            raise Unavailable(f"{receiver} answered 500")
        body: dict[str, Any] = json.loads(content) if content else {}
        path = urlsplit(url).path
        if method == "GET":
            (wanted,) = parse_qs(urlsplit(url).query).get("sha", [""])
            return Answer(200, [each for each in self.deployments if each["ref"] == wanted])
        if path.endswith("/deployments"):
            self.deployments.append({**body, "id": len(self.deployments) + 1})
            return Answer(201, self.deployments[-1])
        if "/statuses" in path:
            self.statuses.setdefault(path, []).append(body["state"])
        return Answer(201, {})


def add_receiver(cloud: Cloud, kind: str) -> Receivers:
    """Create a channel to GitHub, or to a webhook, which this process answers."""
    receivers = Receivers()
    for module in (http, hooks):
        cloud.monkeypatch.setattr(module, "exchange", receivers.exchange)
    cloud.monkeypatch.setattr(hooks, "place_of", lambda *_, **__: http_place())
    body = {"kind": kind, "name": kind, "secret": keep_secret(SECRETS[kind], SECRET)}
    answer = cloud.api.post("/v1/channels", body)
    assert answer.status == 201, answer.text
    return receivers


def http_place() -> Place:
    """A place that nobody connects to."""
    return Place("http", "127.0.0.1", "127.0.0.1", 1, "/")


SECRET = "slipway/tell/all/it"
SECRETS = {
    "github": "ghp_" + "t" * 36,
    "webhook": "https://receiver.example/ whsec_" + "a2tr" * 11,
}
