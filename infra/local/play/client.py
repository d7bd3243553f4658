"""The outside client of the demo: Slipway's API, AWS, GitHub's deliveries, and what it prints."""

import json
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

import boto3

from infra.local.cloud import SERVICE_URLS
from infra.local.play import sample
from infra.local.play.github import signature
from infra.seeing import send, to_json


@dataclass
class Client:
    """The clients of the API and of AWS, and GitHub as the sender of deliveries."""

    ready: dict[str, Any]
    started: float = field(default_factory=time.monotonic)

    @property
    def real(self) -> bool:
        return bool(self.ready["docker"])

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Make one API call with the admin token; return the parsed answer."""
        headers = {"Authorization": f"Bearer {self.ready['token']}"}
        return self._send(method, path, headers, None if body is None else to_json(body), expect)

    def deliver(self, event: str, payload: Any, *, expect: int, sign: bool = True) -> Any:
        """Send one GitHub delivery; the signature covers its bytes, as GitHub's does."""
        body = to_json(payload)
        secret = self.ready["webhook_secret"] if sign else "somebody else's"
        headers = {
            "User-Agent": "GitHub-Hookshot/044aadd",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": signature(body, secret),
        }
        return self._send("POST", "/v1/webhooks/github", headers, body, expect)

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, expect: int
    ) -> Any:
        api = self.ready["api"]
        return send(api, method, path, headers, body, expect=expect, seconds=15)

    def aws(self, service: str) -> Any:
        """A boto3 client of the embedded cloud."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.ready["aws"],
            region_name="eu-west-1",
            aws_access_key_id="demo",
            aws_secret_access_key="demo",  # noqa: S106  # the embedded cloud takes any
        )

    def page(self, service: str, path: str = "/") -> str:
        """Get a page of an ECS service's container from the service's fixed local address.

        `web/test` is the service `web` with the address for test traffic.
        """
        urls = get_json(self.ready["aws"] + SERVICE_URLS)
        url = urls[f"{sample.CLUSTER}/{service}"]
        with urllib.request.urlopen(url + path, timeout=5) as answer:
            text: str = answer.read().decode().strip()
        return text

    def definition(self, service: str) -> dict[str, Any]:
        """The task definition that the ECS service runs."""
        ecs = self.aws("ecs")
        row = ecs.describe_services(cluster=sample.CLUSTER, services=[service])["services"][0]
        answer = ecs.describe_task_definition(taskDefinition=row["taskDefinition"])
        definition: dict[str, Any] = answer["taskDefinition"]
        return definition


def get_json(url: str) -> Any:
    """The parsed answer of an HTTP server."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def say(number: str, what: str) -> None:
    """Print the heading of a step."""
    print(f"\n{number}. {what}", flush=True)


def saw(what: str) -> None:
    """Print a result."""
    print(f"   {what}", flush=True)
