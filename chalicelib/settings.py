"""The environment variables, typed, validated and read once.

One error names all wrong variables, so that they can be corrected together.
"""

import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from chalicelib.domain.webhook_secrets import is_reference, parse_secrets


class SettingsError(Exception):
    """One line for each variable that is missing or malformed."""


class Settings(msgspec.Struct, frozen=True):
    """The configuration of one installation: a field for each environment variable.

    `webhook_secret` is the text of the variable: one or two secrets, a reference, or empty.
    `github_app` is empty if the installation has no GitHub App.
    """

    webhook_secret: str
    job_workers: int
    build_log_dir: str
    table_prefix: str
    queue_url: str
    codebuild_project: str
    registry: str
    git_hosts: frozenset[str]
    github_api: str
    github_app: str
    public_url: str
    receiver_hosts: frozenset[str]
    simulated: bool

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name != "webhook_secret"
        )
        return f"Settings({shown})"

    @property
    def log_group(self) -> str:
        """The CloudWatch log group of all builds."""
        return f"{self.build_log_dir.rstrip('/')}/builds"

    @property
    def queue_name(self) -> str:
        """The last part of an SQS queue's URL is its name."""
        return self.queue_url.rsplit("/", 1)[-1]

    @property
    def dead_letter_url(self) -> str:
        """The queue of messages that failed too often."""
        return f"{self.queue_url}-dead"

    @property
    def telling_queue(self) -> str:
        """The name of the queue of what channels are to be told.

        It follows from that of the wake-ups: the packages of all stages are made with the name of
        that queue, and of the functions' variables they have no other.
        """
        return f"{self.queue_name.removesuffix('-wakeups')}-tellings.fifo"

    @property
    def telling_queue_url(self) -> str:
        """Its URL: beside the queue of wake-ups."""
        return f"{self.queue_url.rpartition('/')[0]}/{self.telling_queue}"


class Variable(msgspec.Struct, frozen=True):
    """The rule for one environment variable; without a `default` it must be set."""

    parse: Callable[[str], Any]
    default: str | None
    meaning: str


def _matching(pattern: str, wanted: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def _secret(text: str) -> str:
    # With a line break at its end a secret looks the same, but no signature would match.
    if text != text.strip():
        raise ValueError("must not begin or end with white space")
    if not text or is_reference(text):
        return text
    try:
        parse_secrets(text)
    except ValueError as error:
        raise ValueError(
            "must be the secret as plain text, or a reference: ssm: or secretsmanager: with a name "
            "or ARN"
        ) from error
    return text


def _workers(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII):
        raise ValueError("must be a whole number from 1 to 999")
    return int(text)


def _hosts(text: str) -> frozenset[str]:
    # URLs of repositories have no port, so a host with a port would never match.
    parse = _matching(_NAME_OF_HOST, "host names without a port, separated by commas")
    return frozenset(parse(host.strip().lower()) for host in text.split(","))


def _receivers(text: str) -> frozenset[str]:
    parse = _matching(
        rf"(\*\.)?{_NAME_OF_HOST}|127\.0\.0\.1:[0-9]{{1,5}}",
        "host names, or *. and a domain, separated by commas",
    )
    return frozenset(parse(host.strip().lower()) for host in text.split(","))


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


_NAME_OF_HOST = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
_HOST = rf"{_NAME_OF_HOST}(:[0-9]{{1,5}})?"
_NAME = _matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, - or _")

VARIABLES: Mapping[str, Variable] = {
    "WEBHOOK_SECRET": Variable(
        _secret,
        "",
        "Secret of the GitHub webhook, or a reference to it: `ssm:` or `secretsmanager:` with a "
        "name or ARN. While the secret is replaced, both with a space between. Without it, only "
        "deliveries signed with a service's own secret are accepted.",
    ),
    "JOB_WORKERS": Variable(
        _workers,
        "2",
        "Maximum number of builds at once: the CodeBuild project's concurrent build limit.",
    ),
    "BUILD_LOG_DIR": Variable(
        _matching(r"[A-Za-z0-9_/.#-]{1,200}", "a log group prefix such as /slipway"),
        "/slipway",
        "Prefix of the log group of builds, `<BUILD_LOG_DIR>/builds`.",
    ),
    "TABLE_PREFIX": Variable(_NAME, "slipway", "Prefix of the names of all DynamoDB tables."),
    "QUEUE_URL": Variable(
        _matching(r"https?://[!-~]+/[A-Za-z0-9_-]{1,80}", "the URL of an SQS queue"),
        None,
        "URL of the SQS queue for wake-up messages.",
    ),
    "CODEBUILD_PROJECT": Variable(_NAME, "slipway-builds", "CodeBuild project that runs builds."),
    "REGISTRY": Variable(
        _matching(_HOST, "a registry's host name"), None, "Host of the image registry."
    ),
    "GIT_HOSTS": Variable(
        _hosts, "github.com", "Hosts that builds may fetch from, separated by commas."
    ),
    "GITHUB_API": Variable(
        _matching(
            r"https://[a-z0-9.-]+(/[A-Za-z0-9_.-]+)*|http://127\.0\.0\.1:[0-9]{1,5}", "a URL"
        ),
        "https://api.github.com",
        "The address of GitHub's API; of GitHub Enterprise Server https://<host>/api/v3.",
    ),
    "GITHUB_APP": Variable(
        _matching(r"[A-Za-z0-9._-]{0,100}", "the id or the client id of a GitHub App"),
        "",
        "The id or client id of the GitHub App, whose private key KMS has. Without it, channels to "
        "GitHub and private repositories need tokens.",
    ),
    "PUBLIC_URL": Variable(
        _matching(
            r"(https?://[!-~]{1,200}[^/])?", "the URL of the dashboard, without a / at its end"
        ),
        "",
        "The address of the dashboard, for links in what is told. Without it there are none.",
    ),
    "RECEIVER_HOSTS": Variable(
        _receivers,
        "hooks.slack.com,discord.com,*.logic.azure.com,*.api.powerplatform.com",
        "Hosts that channels may send messages to, separated by commas; `*.` allows all below a "
        "domain.",
    ),
    "SIMULATED": Variable(
        _flag,
        "false",
        "`true` if builds and containers are simulated; the field `simulated` of responses shows "
        "it.",
    ),
}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Parse `environ`; raises SettingsError with a line for each wrong variable."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, variable in VARIABLES.items():
        text = environ.get(name, variable.default)
        if text is None:
            problems.append(f"{name} is not set: {variable.meaning}")
            continue
        try:
            values[name.lower()] = variable.parse(text)
        except ValueError as error:
            problems.append(f"{name} {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**values)


@cache
def settings() -> Settings:
    """The settings of this process; `settings.cache_clear()` makes the next call read again."""
    return read_settings(os.environ)


def on_lambda() -> bool:
    """Whether this process is a Lambda function."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ
