"""A small OCI registry on loopback. It replaces Amazon ECR's for `docker push` and `docker pull`.

Blobs are files. Manifests are in ECR itself (PutImage, BatchGetImage), so ECR describes every
pushed image, and a repository must exist in ECR before a push. Implements the parts of the OCI
Distribution Specification that docker and buildx use.
"""

import hashlib
import json
import re
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_ecr.type_defs import ImageIdentifierTypeDef, PutImageRequestTypeDef

CHUNK = 1 << 20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
ROUTE = re.compile(
    r"/v2/(?P<repository>[a-z0-9._/-]+)/(?P<kind>blobs/uploads|blobs|manifests)/(?P<name>[^/]*)",
    re.ASCII,
)
# ECR's errors as registry errors (OCI Distribution Specification, "Error Codes").
ERRORS = {
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),
    "InvalidParameterException": (400, "MANIFEST_INVALID"),
}


class RegistryError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Registry:
    """`host` is the start of image references. No TLS: docker needs none on loopback."""

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.blobs = directory / "blobs"
        self.uploads = directory / "uploads"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.uploads.mkdir(parents=True, exist_ok=True)
        self.ecr = boto3.client("ecr")
        self._server = _Server(("127.0.0.1", port), self)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def check_repository(self, repository: str) -> None:
        """Raises ClientError if ECR has no such repository."""
        self.ecr.describe_repositories(repositoryNames=[repository])

    def put_manifest(self, repository: str, reference: str, body: bytes, media_type: str) -> str:
        """Store a manifest in ECR, with its tag if it has one, and return its digest."""
        digest = _digest(body)
        if DIGEST.fullmatch(reference) and reference != digest:
            raise RegistryError(400, "DIGEST_INVALID", f"the manifest's digest is {digest}")
        request: PutImageRequestTypeDef = {
            "repositoryName": repository,
            "imageManifest": body.decode(),
            "imageManifestMediaType": media_type,
            "imageDigest": digest,
        }
        if reference != digest:
            request["imageTag"] = reference
        # A push may be repeated.
        with suppress(self.ecr.exceptions.ImageAlreadyExistsException):
            self.ecr.put_image(**request)
        return digest

    def manifest(self, repository: str, reference: str) -> tuple[bytes, str]:
        """A manifest by tag or digest, with its media type. Raises RegistryError if missing."""
        wanted: ImageIdentifierTypeDef = (
            {"imageDigest": reference} if DIGEST.fullmatch(reference) else {"imageTag": reference}
        )
        answer = self.ecr.batch_get_image(repositoryName=repository, imageIds=[wanted])
        if not answer["images"]:
            raise RegistryError(404, "MANIFEST_UNKNOWN", f"no image {reference} in {repository}")
        body = answer["images"][0]["imageManifest"]
        media_type = answer["images"][0].get("imageManifestMediaType")
        return body.encode(), media_type or json.loads(body)["mediaType"]

    def blob(self, digest: str) -> Path:
        path = self.blobs / _checked(digest).removeprefix("sha256:")
        if not path.exists():
            raise RegistryError(404, "BLOB_UNKNOWN", f"no blob {digest}")
        return path

    def keep(self, upload: Path, digest: str) -> None:
        """Turn a finished upload into a blob, if its content has the given digest."""
        with upload.open("rb") as file:
            actual = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if actual != _checked(digest):
            upload.unlink()
            raise RegistryError(400, "DIGEST_INVALID", f"the content's digest is {actual}")
        upload.replace(self.blobs / digest.removeprefix("sha256:"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], registry: Registry) -> None:
        super().__init__(address, _Handler)
        self.registry = registry

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback if a client goes away: a push ends when its build is cancelled."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # TCP_NODELAY: the body would wait until the client acknowledges the headers, often 40 ms.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer({"manifests": self._get_manifest, "blobs": self._get_blob})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._answer({"blobs/uploads": self._start_upload})

    def do_PATCH(self) -> None:
        self._answer({"blobs/uploads": self._continue_upload})

    def do_PUT(self) -> None:
        self._answer({"blobs/uploads": self._finish_upload, "manifests": self._put_manifest})

    def log_message(self, *_: Any) -> None:
        """Log no requests: the build's log shows every push."""

    def _answer(self, routes: dict[str, Any]) -> None:
        url = urlsplit(self.path)
        self._query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match = ROUTE.fullmatch(url.path)
        try:
            if url.path == "/v2/":
                self._respond(200, {"Content-Type": "application/json"}, b"{}")
            elif match is None or match["kind"] not in routes:
                raise RegistryError(404, "UNSUPPORTED", f"no {self.command} {url.path}")
            else:
                self.server.registry.check_repository(match["repository"])
                routes[match["kind"]](match["repository"], match["name"])
        except RegistryError as error:
            self._refuse(error.status, error.code, str(error))
        except ClientError as error:
            known = ERRORS.get(error.response["Error"]["Code"])
            status, code = known or (500, "UNKNOWN")
            self._refuse(status, code, error.response["Error"].get("Message", str(error)))

    def _get_manifest(self, repository: str, reference: str) -> None:
        body, media_type = self.server.registry.manifest(repository, reference)
        headers = {"Content-Type": media_type, "Docker-Content-Digest": _digest(body)}
        self._respond(200, headers, body)

    def _put_manifest(self, repository: str, reference: str) -> None:
        media_type = self.headers.get("Content-Type", "application/json")
        body = b"".join(self._body())
        digest = self.server.registry.put_manifest(repository, reference, body, media_type)
        location = f"/v2/{repository}/manifests/{digest}"
        self._respond(201, {"Location": location, "Docker-Content-Digest": digest})

    def _get_blob(self, _repository: str, digest: str) -> None:
        path = self.server.registry.blob(digest)
        self._head(
            200,
            {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(path.stat().st_size),
                "Docker-Content-Digest": digest,
            },
        )
        if self.command == "GET":
            with path.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)

    def _start_upload(self, repository: str, _name: str) -> None:
        registry = self.server.registry
        wanted = self._query.get("mount", "")
        if DIGEST.fullmatch(wanted) and (registry.blobs / wanted.removeprefix("sha256:")).exists():
            self._created(repository, wanted)
            return
        name = str(uuid.uuid4())
        (registry.uploads / name).touch()
        if "digest" in self._query:
            self._finish_upload(repository, name)
        else:
            self._accepted(repository, name)

    def _continue_upload(self, repository: str, name: str) -> None:
        self._append(name)
        self._accepted(repository, name)

    def _finish_upload(self, repository: str, name: str) -> None:
        digest = self._query.get("digest", "")
        self.server.registry.keep(self._append(name), digest)
        self._created(repository, digest)

    def _append(self, name: str) -> Path:
        path = self.server.registry.uploads / name
        if not re.fullmatch(r"[0-9a-f-]{36}", name) or not path.exists():
            raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", f"no upload {name}")
        with path.open("ab") as file:
            for chunk in self._body():
                file.write(chunk)
        return path

    def _accepted(self, repository: str, name: str) -> None:
        size = (self.server.registry.uploads / name).stat().st_size
        location = f"/v2/{repository}/blobs/uploads/{name}"
        headers = {"Location": location, "Docker-Upload-UUID": name}
        self._respond(202, headers | {"Range": f"0-{max(size - 1, 0)}"})

    def _created(self, repository: str, digest: str) -> None:
        location = f"/v2/{repository}/blobs/{digest}"
        self._respond(201, {"Location": location, "Docker-Content-Digest": digest})

    def _body(self) -> Iterator[bytes]:
        """The request's body. docker sends blobs in chunks, which http.server does not decode."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self._read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            yield from self._read(int(self.headers.get("Content-Length", "0")))

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self.rfile.read(min(size, CHUNK))
            if not chunk:
                raise RegistryError(400, "BLOB_UPLOAD_INVALID", "the body ended early")
            size -= len(chunk)
            yield chunk

    def _refuse(self, status: int, code: str, message: str) -> None:
        # An unread body would be parsed as the next request.
        self.close_connection = True
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._respond(status, {"Content-Type": "application/json", "Connection": "close"}, body)

    def _respond(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self._head(status, headers | {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _checked(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise RegistryError(400, "DIGEST_INVALID", f"not a digest: {digest!r}")
    return digest
