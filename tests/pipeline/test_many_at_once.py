"""Many requests at once over HTTP: each takes effect once, and none fails for the others."""

import http.client
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest

from chalicelib import budget
from chalicelib.pipeline.commands.followers import MAX_SECRETS
from chalicelib.store.receipts import get_delivery, verdicts_of
from infra.local.machines import gateway
from tests.faults.rows import builds, rows
from tests.support.builders import delivery_headers, push_payload
from tests.support.embedded import REPOSITORY, Cloud, keep_secret

AT_ONCE = 32
PATH = "/v1/webhooks/github"

Headers = dict[str, str]


@dataclass(frozen=True)
class Sent:
    """A request."""

    method: str
    path: str
    body: bytes
    headers: Headers


def deliver(cloud: Cloud, body: bytes, webhooks: list[Headers]) -> list[tuple[int, Any]]:
    """Deliver one body with each of the headers at once."""
    return send_at_once(cloud, [Sent("POST", PATH, body, headers) for headers in webhooks])


def send_at_once(cloud: Cloud, requests: list[Sent]) -> list[tuple[int, Any]]:
    """Send the requests at once; return the status and body of each answer."""
    server = gateway.listen(0)
    gateway.attach(server, cloud.app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    together = threading.Barrier(len(requests))

    def send(request: Sent) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        together.wait()
        connection.request(request.method, request.path, request.body, request.headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document

    try:
        with ThreadPoolExecutor(len(requests)) as threads:
            return list(threads.map(send, requests))
    finally:
        server.shutdown()
        server.server_close()


def signed(body: bytes, **more: str) -> Headers:
    headers = delivery_headers(body, delivery="one-event", **more)
    return {name: value for name, value in headers.items() if value}


def test_of_32_identical_deliveries_one_starts_the_builds(cloud: Cloud) -> None:
    cloud.add_service("second")
    body = json.dumps(push_payload()).encode()
    answers = deliver(cloud, body, [signed(body)] * AT_ONCE)
    # 503 is a correct answer under this load. Send each of those deliveries again.
    unavailable = sum(status == HTTPStatus.SERVICE_UNAVAILABLE for status, _ in answers)
    answers = [each for each in answers if each[0] != HTTPStatus.SERVICE_UNAVAILABLE]
    answers += [each for _ in range(unavailable) for each in deliver(cloud, body, [signed(body)])]
    statuses = Counter(status for status, _ in answers)
    assert statuses == {202: 1, 200: AT_ONCE - 1}
    assert {build["service_id"] for build in builds().values()} == {1, 2}
    assert len(builds()) == 2
    build_ids = {tuple(each["build_id"] for each in answer["builds"]) for _, answer in answers}
    assert len(build_ids) == 1
    assert rows("receipts")["delivery:all:one-event"]["times"] == AT_ONCE


def test_each_webhook_of_one_event_starts_the_build_of_its_service(cloud: Cloud) -> None:
    """GitHub sends one delivery id to all webhooks of an event, and never redelivers by itself."""
    secrets = {}
    for number in range(MAX_SECRETS):
        secret = f"the-secret-of-number-{number}"
        reference = keep_secret(secret, f"slipway/{number}")
        service = cloud.add_service(f"own-{number}", webhook_secret=reference)
        secrets[service] = secret
    body = json.dumps(push_payload()).encode()
    webhooks = [signed(body), *(signed(body, secret=secret) for secret in secrets.values())]
    answers = deliver(cloud, body, webhooks)
    assert [status for status, _ in answers] == [202] * (1 + MAX_SECRETS)
    assert sorted(build["service_id"] for build in builds().values()) == [
        cloud.service_id,
        *secrets,
    ]
    for service in (cloud.service_id, *secrets):
        (verdict,) = verdicts_of(get_delivery(f"service-{service}", "one-event"))
        assert verdict.outcome == "started"
    delivery = get_delivery("all", "one-event")
    assert len(verdicts_of(delivery)) == 1 + MAX_SECRETS
    assert delivery.times == 1 + MAX_SECRETS


def asked(cloud: Cloud, method: str, path: str, body: dict[str, Any]) -> Sent:
    headers = {"content-type": "application/json", "authorization": f"Bearer {cloud.api.token}"}
    return Sent(method, path, json.dumps(body).encode(), headers)


@pytest.fixture
def requests_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them run on one machine here, so they need more time than on Lambda."""
    monkeypatch.setattr(budget, "HTTP_SECONDS", 60)


@pytest.mark.usefixtures("requests_have_time")
def test_services_of_one_repository_that_are_created_at_once_are_all_created(cloud: Cloud) -> None:
    settings = {
        "git_url": f"https://github.com/{REPOSITORY}.git",
        "branch": "main",
        "image_repository": "hello",
    }
    path = f"/v1/projects/{cloud.project}/services"
    requests = [
        asked(cloud, "POST", path, {**settings, "name": f"at-once-{number}"})
        for number in range(30)
    ]
    assert [status for status, _ in send_at_once(cloud, requests)] == [201] * 30


@pytest.mark.usefixtures("requests_have_time")
def test_changes_of_one_service_at_once_are_all_made(cloud: Cloud) -> None:
    path = f"/v1/services/{cloud.service_id}"
    requests = [
        asked(cloud, "PATCH", path, {"build_args": {"N": str(number)}}) for number in range(AT_ONCE)
    ]
    assert [status for status, _ in send_at_once(cloud, requests)] == [200] * AT_ONCE


def test_of_many_changes_of_a_config_at_once_none_is_lost(cloud: Cloud) -> None:
    cloud.release(1)
    path = f"/v1/services/{cloud.service_id}/config"
    headers = {"Authorization": f"Bearer {cloud.api.token}", "Content-Type": "application/json"}
    changes = [{"environment": {f"V{number}": "x"}} for number in range(6)]
    left = [Sent("PATCH", path, json.dumps(each).encode(), headers) for each in changes]
    answers: list[tuple[int, Any]] = []
    while left:
        answered = list(zip(left, send_at_once(cloud, left), strict=True))
        # 503 is a correct answer under this load.
        left = [each for each, (status, _) in answered if status == 503]
        answers += [answer for _, answer in answered if answer[0] != 503]
    assert {status for status, _ in answers} == {202}
    assert len({body["deployment_id"] for _, body in answers}) == 1
    config = cloud.api.get(path).body
    assert config["environment"] == {f"V{number}": "x" for number in range(6)}
