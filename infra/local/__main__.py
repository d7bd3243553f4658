"""`python -m infra.local serve` runs the embedded cloud and the API in the foreground.

Prints one line of JSON on stdout when everything is ready. Logs go to stderr. SIGINT, SIGTERM and
SIGHUP stop it and remove everything that it started.
"""

import argparse
import gc
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import HTTPServer
from pathlib import Path
from typing import Any, NoReturn

from chalicelib.domain.tokens import is_token
from chalicelib.domain.webhook_secrets import TOO_SHORT, is_short
from chalicelib.settings import SettingsError
from infra.local import cloud
from infra.local.machines import gateway

# Seconds between two looks whether the server is to end.
POLL = 0.1

logger = logging.getLogger("slipway.local")


class StartFailed(Exception):
    """The start failed. The message has two lines: the cause and the fix."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    for noisy in ("botocore", "werkzeug", "urllib3", "pynamodb"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        serve(options)
    except KeyboardInterrupt:
        pass
    except StartFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def serve(options: argparse.Namespace) -> None:
    """Run until a signal arrives. Options are checked before anything is started."""
    _check_token(options.token)
    _check_webhook_secret(options.webhook_secret)
    secret = options.webhook_secret or secrets.token_urlsafe(24)
    session = secrets.token_hex(4)
    with (
        _api_server(options.port) as server,
        _settings_explained(),
        cloud.running(
            simulate=options.simulate,
            webhook_secret=secret,
            session=session,
            public_url=f"http://127.0.0.1:{server.server_port}",
        ) as local,
    ):
        ready = {
            "ready": True,
            "api": f"http://127.0.0.1:{server.server_port}",
            "aws": local.aws,
            "apps": local.aws + cloud.SERVICE_URLS,
            "registry": local.registry,
            "github": local.github,
            "token": _admin_token(options.token),
            "webhook_secret": secret,
            "docker": local.docker,
            "data": str(local.data),
            "sample": str(local.sample.path),
        }
        gateway.attach(server, local.app)
        threading.Thread(target=server.serve_forever, args=(POLL,), name="api", daemon=True).start()
        try:
            with recorded(ready, options.record):
                print(_essentials(ready) if options.pretty else json.dumps(ready), flush=True)
                _wait_for_a_signal()
        finally:
            # A logger: on a terminal that was closed, print would fail.
            logger.info("Stopping: builds end, containers are removed, then images and data")
            server.shutdown()
            server.server_close()


def _check_token(token: str | None) -> None:
    if token is not None and not is_token(token):
        raise StartFailed(
            "--token is not a token: slw_, 43 random characters and their checksum.\n"
            "Leave it out to create one."
        )


def _check_webhook_secret(secret: str | None) -> None:
    if secret is not None and is_short([secret]):
        raise StartFailed(f"--webhook-secret {TOO_SHORT}.\nLeave it out to create one.")


def _api_server(port: int) -> HTTPServer:
    try:
        return gateway.listen(port)
    except (OSError, OverflowError) as error:
        raise StartFailed(
            f"Port {port} cannot be used: {getattr(error, 'strerror', None) or error}.\n"
            'Choose another port, or any free one: make run ARGS="--port 0"'
        ) from error


@contextmanager
def _settings_explained() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        problems = str(error).replace("\n", "; ")
        raise StartFailed(
            f"Invalid environment variables: {problems}.\n"
            "docs/deployed.md lists every variable. Unset one to use its default."
        ) from error


@contextmanager
def recorded(ready: dict[str, Any], record: Path | None) -> Iterator[None]:
    """Keep `ready` in a file that only this user can read, and remove it at the end.

    `make service` reads it. The file of a cloud that was started later stays.
    """
    if record is None:
        yield
        return
    text = json.dumps(ready)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    with os.fdopen(os.open(record, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    try:
        yield
    finally:
        with suppress(OSError):
            if record.read_text() == text:
                record.unlink()


def _admin_token(wanted: str | None) -> str:
    from chalicelib.domain.tokens import Role
    from chalicelib.store.tokens import create_token

    return create_token("local admin", Role.ADMIN, token=wanted).secret


def _essentials(ready: dict[str, Any]) -> str:
    real = (
        "Docker is real: builds and containers run on this machine"
        if ready["docker"]
        else "SIMULATED: Docker with buildx is not used, so images and containers are only recorded"
    )
    return "\n".join(
        [
            f"Slipway, with an embedded AWS. {real}.",
            f"  Dashboard       {ready['api']}/",
            f"  Webhook secret  {ready['webhook_secret']}",
            f"  Applications    {ready['apps']} lists their addresses",
            f"  GitHub          {ready['github']}/repos/example/app/commits/main/statuses",
            f"  AWS endpoint    {ready['aws']}  (region {cloud.REGION}, any credentials)",
            f"  Data            in memory and {ready['data']}, removed at Ctrl-C",
            f"  Sample          {ready['sample']}, fetched as https://github.com/example/app.git",
            "Deploy your own repository, in another terminal:",
            "  make service GIT=../my-app NAME=shop/web",
            "Or paste this into it, and then the session of README.md:",
            f"  export API={ready['api']} TOKEN={ready['token']} APPS={ready['apps']}",
        ]
    )


def _wait_for_a_signal() -> NoReturn:
    """Wait until a signal's handler, `_interrupt`, raises its exception.

    The system may give a signal to any thread. Python runs the handler in the main thread, but
    does not wake it. It writes a byte to this socket in any case.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        signal.set_wakeup_fd(writer.fileno())
        try:
            while True:
                reader.recv(1)
        finally:
            signal.set_wakeup_fd(-1)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local")
    commands = parser.add_subparsers(required=True, metavar="serve")
    command = commands.add_parser("serve", help="run the embedded cloud and the API")
    command.add_argument("--port", type=int, default=8080, help="port of the API; 0 picks one")
    command.add_argument("--token", help="admin token to accept instead of a new one")
    command.add_argument("--webhook-secret", help="webhook secret instead of a new one")
    command.add_argument("--simulate", action="store_true", help="never use Docker")
    command.add_argument("--record", type=Path, help="file for the JSON line, for make service")
    command.add_argument("--pretty", action="store_true", help="print text instead of JSON")
    return parser


if __name__ == "__main__":
    status = main()
    # Else Python looks for garbage among all objects of moto and boto3, which takes seconds.
    gc.freeze()
    sys.exit(status)
