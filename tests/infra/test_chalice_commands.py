"""Chalice's own commands in a checkout: only `chalice deploy` of a configured stage runs."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.package import LAMBDA_PLATFORM
from infra.rehearse.checkout import copy_checkout


class Aws(HTTPServer):
    """An AWS that fails every request and remembers it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.requests: list[str] = []
        self.signatures: list[str] = []


class _Refusal(BaseHTTPRequestHandler):
    server: Aws

    def _refuse(self) -> None:
        self.server.requests.append(self.requestline)
        self.server.signatures.append(self.headers["Authorization"])
        body = b"<ErrorResponse><Error><Code>Forbidden</Code></Error></ErrorResponse>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which no stage is configured."""
    return copy_checkout(tmp_path_factory.mktemp("checkouts") / "checkout")


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A checkout in which the stage dev is configured."""
    checkout = copy_checkout(tmp_path / "configured")
    stage = checkout / ".chalice/stages/dev"
    stage.mkdir(parents=True)
    place = {"account": "123456789012", "region": "eu-west-1", "platform": LAMBDA_PLATFORM}
    (stage / "place.json").write_text(json.dumps(place))
    return checkout


def _files_of_chalice(checkout: Path) -> set[Path]:
    return set((checkout / ".chalice").rglob("*"))


def _run(
    aws: Aws, checkout: Path, *command: str, config: str = os.devnull
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.server_port}",
        "AWS_CONFIG_FILE": config,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [Path(sys.executable).with_name("chalice"), *command],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ["package", "--stage", "dev", "OUTPUT"],
        ["local", "--no-autoreload", "--port", "0"],
        ["dev", "plan"],
        ["delete", "--stage", "dev"],
    ],
    ids=" ".join,
)
def test_chalice_refuses_in_a_checkout_and_says_what_to_run(
    command: list[str], aws: Aws, configured: Path, tmp_path: Path
) -> None:
    before = _files_of_chalice(configured)
    output = tmp_path / "package"
    done = _run(aws, configured, *(str(output) if word == "OUTPUT" else word for word in command))
    assert aws.requests == []
    assert done.stderr.splitlines() == [
        "Nothing was done: .chalice/ describes an example installation, which is not yours.",
        "Run `make deploy STAGE=dev` to deploy to AWS, or `make run` to start Slipway here.",
    ]
    assert done.returncode == 1
    assert not output.exists()
    assert _files_of_chalice(configured) == before


def _refused(aws: Aws, checkout: Path, *command: str) -> list[str]:
    """The lines of a refusal that made no call of AWS."""
    before = _files_of_chalice(checkout)
    done = _run(aws, checkout, *command)
    assert (done.returncode, aws.requests) == (1, [])
    assert _files_of_chalice(checkout) == before
    return done.stderr.splitlines()


def test_chalice_deploy_of_a_stage_that_is_not_configured_says_what_to_run_first(
    aws: Aws, checkout: Path, configured: Path
) -> None:
    for place, command, stage in (
        (checkout, ["deploy"], "dev"),
        (checkout, ["deploy", "--stage", "dev"], "dev"),
        (configured, ["deploy", "--stage", "prod"], "prod"),
        (configured, ["deploy", "--stage", "../stages/dev"], "../stages/dev"),
    ):
        assert _refused(aws, place, *command) == [
            f"Nothing was done: this checkout is not configured for the stage {stage}.",
            f"Run `make configure STAGE={stage}` first, or `make deploy STAGE={stage}` instead.",
        ]


def test_chalice_deploy_takes_no_option_that_make_configure_sets(
    aws: Aws, configured: Path
) -> None:
    for option in ("--api-gateway-stage=v2", "--autogen-policy", "--connection-timeout=9"):
        assert _refused(aws, configured, "deploy", option) == [
            "Nothing was done: only --stage and --profile can be chosen; make configure sets the "
            "rest.",
            "Run `chalice deploy --stage dev`.",
        ]


def test_chalice_deploy_of_a_configured_stage_reads_its_stack_first(
    aws: Aws, configured: Path
) -> None:
    done = _run(aws, configured, "deploy", "--stage", "dev")
    assert done.returncode == 1
    assert "(Forbidden) when calling the DescribeStacks operation" in done.stderr
    assert done.stderr.splitlines()[-1] == "Fix the cause and run this again: it may be repeated."
    assert "Traceback" not in done.stderr


def test_chalice_deploy_uses_the_profile_that_it_is_given(aws: Aws, configured: Path) -> None:
    done = _run(aws, configured, "deploy", "--profile", "nobody")
    assert "The config profile (nobody) could not be found" in done.stderr
    assert aws.requests == []


def test_the_profile_goes_before_keys_in_the_environment(
    aws: Aws, configured: Path, tmp_path: Path
) -> None:
    """As in Chalice itself. The SDK takes the keys first if only AWS_PROFILE is set."""
    config = tmp_path / "config"
    config.write_text("[profile mine]\naws_access_key_id=MINE\naws_secret_access_key=secret\n")
    _run(aws, configured, "deploy", "--profile", "mine", config=str(config))
    assert aws.signatures
    assert all("Credential=MINE/" in each for each in aws.signatures)
