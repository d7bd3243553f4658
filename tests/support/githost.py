"""A git host on loopback over HTTPS: real certificates, real passwords, git's own server."""

import base64
import datetime
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class GitHost:
    """Serves the bare repositories below `root`.

    `private` maps a repository to the user:password that it requires. `moved` maps a repository to
    its new address (without .git). `seen` lists the path and Authorization header of each request.
    `lfs` maps the SHA-256 of a file of Git LFS to its content; every repository has it.
    """

    def __init__(self, root: Path, name: str, certificate: Path) -> None:
        self.root = root
        self.certificate = certificate
        self.private: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.lfs: dict[str, bytes] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.host = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://{name}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @contextmanager
    def serving(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def secrets_seen(self) -> set[str]:
        """Every user:password that a request has sent."""
        return {
            base64.b64decode(sent.removeprefix("Basic ")).decode() for _, sent in self.seen if sent
        }

    def repositories_seen(self) -> set[str]:
        return {path.split(".git/")[0].lstrip("/") for path, _ in self.seen}


def make_certificate(directory: Path) -> Path:
    """A self-signed certificate for localhost and 127.0.0.1, in one file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "loopback.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return pem


class _Server(ThreadingHTTPServer):
    host: GitHost


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log no request."""

    def _answer(self, body: bytes) -> None:
        host, sent = self.server.host, self.headers.get("Authorization")
        host.seen.append((self.path, sent))
        name, _, rest = self.path[1:].partition(".git/")
        if name in host.moved:
            self._send(302, {"Location": f"{host.moved[name]}.git/{rest}"})
        elif name in host.private and sent != _basic(host.private[name]):
            self._send(401, {"WWW-Authenticate": 'Basic realm="git"'})
        elif rest == "info/lfs/objects/batch":
            self._describe_lfs(name, json.loads(body)["objects"])
        elif rest.startswith("lfs/"):
            self._send(200, {}, host.lfs[rest.removeprefix("lfs/")])
        else:
            self._serve(body)

    def _describe_lfs(self, name: str, objects: list[dict[str, Any]]) -> None:
        """Git LFS, "Batch API": an address for each object to download."""
        for each in objects:
            href = f"{self.server.host.url}/{name}.git/lfs/{each['oid']}"
            each["actions"] = {"download": {"href": href}}
        answer = {"transfer": "basic", "objects": objects}
        content_type = {"Content-Type": "application/vnd.git-lfs+json"}
        self._send(200, content_type, json.dumps(answer).encode())

    def _serve(self, body: bytes) -> None:
        """Run git with the CGI variables of git-http-backend(1)."""
        url = urlsplit(self.path)
        answer = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.host.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
            capture_output=True,
            check=True,
            timeout=20,
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._send(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _send(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _basic(secret: str) -> str:
    return "Basic " + base64.b64encode(secret.encode()).decode()
