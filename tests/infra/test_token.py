"""The first token: created without the API, accepted by it."""

import os
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError
from chalice.test import Client

from chalicelib import clock
from chalicelib.access import principal
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import Role
from infra import stacks, token
from infra.package import ROOT
from infra.stacks import Refused, Stack
from tests.support.client import Api

OUTPUTS = {
    "WebhookSecret": "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:x",
    "TablePrefix": "slipway",
    "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/slipway-wakeups",
    "Registry": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
    "JobWorkers": "2",
    "Packages": "bucket",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the environment, which the command changes: normally it is a separate process."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_the_printed_token_has_role_admin(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = Stack("CREATE_COMPLETE", {}, OUTPUTS)
    monkeypatch.setattr(stacks, "find_stack", lambda _, name: stack if "dev" in name else None)
    token.main(["dev", "--name", "Ada"])
    made = capsys.readouterr().out.strip()
    assert principal(f"Bearer {made}").role is Role.ADMIN
    assert principal(f"Bearer {made}").actor == "token:Ada"
    assert Api(client, made).post("/v1/projects", {"name": "shop"}).status == 201


@pytest.mark.parametrize(
    ("options", "days"), [([], 90), (["--days", "365"], 365), (["--never-expires"], None)]
)
def test_the_printed_token_expires_after_90_days_unless_another_time_is_given(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    days: int | None,
) -> None:
    stack = Stack("CREATE_COMPLETE", {}, OUTPUTS)
    monkeypatch.setattr(stacks, "find_stack", lambda *_: stack)
    monkeypatch.setattr(clock, "now", lambda: 1_795_305_600)
    token.main(["dev", *options])
    made, said = capsys.readouterr()
    shown = Api(client, made.strip()).get("/v1/whoami").body["expires_at"]
    assert shown == (None if days is None else rfc3339(clock.now() + days * 24 * 3600))
    assert said == f"It expires at {shown}.\n" if days else "It never expires.\n"


@pytest.mark.parametrize("days", ["0", "3651", "x"])
def test_a_wrong_number_of_days_is_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        token.main(["dev", "--days", days])
    assert "--days" in capsys.readouterr().err


def test_a_stage_that_is_not_deployed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (None, Stack("CREATE_FAILED", {}, {})):
        monkeypatch.setattr(stacks, "find_stack", lambda *_, found=found: found)
        with pytest.raises(Refused, match="make deploy STAGE=prod"):
            stacks.stage_outputs("prod")


def test_refused_credentials_print_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")

    monkeypatch.setattr(stacks, "find_stack", refuse)
    with pytest.raises(SystemExit, match=r".*AccessDenied.*\nCheck that these credentials.*"):
        token.main(["dev"])


def test_variables_of_the_shell_do_not_change_the_stage_s_tables() -> None:
    """Runs in a separate process: the names of the tables are read once, at import."""
    script = (
        "from infra.token import create_admin_token\n"
        "from chalicelib.errors import SlipwayError\n"
        f"outputs = {OUTPUTS | {'TablePrefix': 'slipway-dev'}!r}\n"
        "try: create_admin_token(outputs, 'x', None)\n"
        "except SlipwayError: pass\n"
        "from chalicelib.store.models import Token\n"
        "print(Token.Meta.table_name)\n"
    )
    environment = os.environ | {
        "TABLE_PREFIX": "elsewhere",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "slipway-dev-tokens"
