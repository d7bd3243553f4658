"""The gateway on loopback refuses requests in the same format as API Gateway on AWS."""

import gzip
import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from infra.gateway_responses import gateway_responses
from infra.local.aws import clock
from tests.support.served import served


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a gateway that serves the app."""
    from app import app

    with served(app) as address:
        number = urlsplit(address).port
        assert number is not None
        yield number


def sent(port: int, data: bytes) -> tuple[HTTPResponse, bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        answer = HTTPResponse(connection)
        answer.begin()
        return answer, answer.read()


REFUSED = [
    (b"GET /v1/nothing HTTP/1.1\r\n\r\n", 404, "not_found"),
    (b"GET /v1/nothing HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n", 404, "not_found"),
    (b"TRACE /v1/health HTTP/1.1\r\n\r\n", 404, "not_found"),
    (b"BREW /v1/health HTTP/1.1\r\n\r\n", 404, "not_found"),
    (b"OPTIONS /v1/health HTTP/1.1\r\n\r\n", 404, "not_found"),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", 404, "not_found"),
    (b"B-W /v1/health HTTP/1.1\r\n\r\n", 501, "not_implemented"),
    (b"complete nonsense\r\n\r\n", 400, "bad_request"),
    (b"GET /v1/health HTTP/9.1\r\n\r\n", 505, "http_version_not_supported"),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, "request_uri_too_long"),
    (
        b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
        431,
        "request_header_fields_too_large",
    ),
    (b"POST /v1/projects HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "bad_request"),
    (
        b"POST /v1/projects HTTP/1.1\r\nContent-Length: 10485761\r\n\r\n",
        413,
        "request_entity_too_large",
    ),
    (
        b"POST /v1/projects HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        411,
        "length_required",
    ),
]


@pytest.mark.parametrize(("data", "status", "code"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_refused_request_gets_a_problem_document(
    port: int, data: bytes, status: int, code: str
) -> None:
    answer, body = sent(port, data)
    document = json.loads(body)
    assert (answer.status, document["status"], document["code"]) == (status, status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["X-Request-Id"] == document["instance"] != ""
    assert b"Bearer" not in body


def test_an_unknown_route_is_answered_as_on_aws(port: int) -> None:
    answer, body = sent(port, b"GET /v1/nothing HTTP/1.1\r\n\r\n")
    for kind in ("MISSING_AUTHENTICATION_TOKEN", "RESOURCE_NOT_FOUND", "INVALID_SIGNATURE"):
        there = gateway_responses()[kind]
        assert int(there["statusCode"]) == answer.status
        template = json.loads(there["responseTemplates"]["application/json"])
        assert template == json.loads(body) | {"instance": "$context.requestId"}


def test_a_request_after_a_refused_one_is_answered(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/v1/nothing")
    assert connection.getresponse().read()
    connection.request("GET", "/v1/health")
    assert json.loads(connection.getresponse().read())["status"] == "ok"
    connection.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"HEAD /v1/health", 404), (b"GET /docs", 304), (b"GET /v1/openapi.json", 304)],
)
def test_an_answer_without_a_body_is_followed_directly_by_the_next(
    port: int, request_line: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request_line + b" HTTP/1.1\r\nIf-None-Match: *\r\n\r\n")
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    first, _, rest = text.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert rest.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("method", [b"PUT", b"TRACE", b"HEAD", b"PATCH", b"OPTIONS"])
def test_a_method_that_a_route_does_not_have_is_an_unknown_route(port: int, method: bytes) -> None:
    answer, _ = sent(port, method + b" /v1/projects HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.status == 404


@pytest.mark.parametrize("text", ["1;x", "1;", ";", "01", "1;x=1;y=2"])
def test_an_id_in_a_path_is_the_whole_part_between_the_slashes(port: int, text: str) -> None:
    answer, body = _get(port, f"/v1/services/{text}/badge.svg", "identity")
    assert (answer.status, json.loads(body)["code"]) == (400, "invalid_id")
    answer, body = _get(port, f"/v1/health;{text}", "identity")
    assert (answer.status, json.loads(body)["code"]) == (404, "not_found")


def test_a_client_that_disconnects_leaves_no_traceback(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = socket.create_connection(("127.0.0.1", port), timeout=10)
    gone.sendall(b"GET /docs HTTP/1.1\r\n\r\n" * 50)
    gone.recv(1)
    # Closing sends a reset: the answers cannot be sent any more.
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    answer, _ = _get(port, "/v1/health", "identity")
    assert answer.status == 200
    wait_until_served()
    assert "Traceback" not in capfd.readouterr().err


def wait_until_served() -> None:
    """Wait until the server handles no other connection: each has a thread of its own."""
    own = [each for each in threading.enumerate() if "process_request_thread" in each.name]
    for each in own:
        each.join(10)


def _get(port: int, path: str, encoding: str) -> tuple[HTTPResponse, bytes]:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {encoding}\r\n\r\n"
    return sent(port, head.encode())


def test_a_large_answer_is_compressed_for_a_client_that_accepts_it(port: int) -> None:
    # "Enable payload compression for an API in API Gateway", with minimumCompressionSize 1024.
    plain, whole = _get(port, "/docs", "identity")
    answer, body = _get(port, "/docs", "br, gzip")
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == whole
    assert len(body) < len(whole) / 3
    assert plain.getheader("Content-Encoding") is None


def test_a_small_answer_is_not_compressed(port: int) -> None:
    answer, body = _get(port, "/v1/health", "gzip")
    assert answer.getheader("Content-Encoding") is None
    assert json.loads(body)["status"] == "ok"


def test_the_header_date_has_the_time_of_the_embedded_cloud(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_795_305_600.0)
    for path in ("/v1/health", "/nowhere"):
        answer, _ = _get(port, path, "identity")
        assert answer.getheader("Date") == "Sun, 22 Nov 2026 00:00:00 GMT"
