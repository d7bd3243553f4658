"""Settings from environment variables, and the error that names every wrong one."""

import pytest

from chalicelib.settings import SettingsError, read_settings

REQUIRED = {"QUEUE_URL": "https://sqs.example/1/slipway-wakeups", "REGISTRY": "localhost"}


def test_one_error_names_every_wrong_variable() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"JOB_WORKERS": "0", "SIMULATED": "yes", "REGISTRY": "a b"})
    lines = str(refused.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "JOB_WORKERS",
        "QUEUE_URL",
        "REGISTRY",
        "SIMULATED",
    ]


@pytest.mark.parametrize("secret", ["hush\n", " hush", "\thush", "hush\r\n"])
def test_a_secret_pasted_with_white_space_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET must not begin or end") as refused:
        read_settings({**REQUIRED, "WEBHOOK_SECRET": secret})
    assert "hush" not in str(refused.value)


def test_printed_settings_do_not_show_the_secret() -> None:
    settings = read_settings({**REQUIRED, "WEBHOOK_SECRET": "hush hush"})
    assert settings.webhook_secret == "hush hush"
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("secret", ["hush", "new-hush old-hush", "three hush words", "hush\nhush"])
def test_a_webhook_secret_is_used_unchanged(secret: str) -> None:
    assert read_settings({**REQUIRED, "WEBHOOK_SECRET": secret}).webhook_secret == secret


@pytest.mark.parametrize("name", ["ssm:/slipway/webhook", "secretsmanager:slipway/webhook"])
def test_a_webhook_secret_may_be_a_reference(name: str) -> None:
    assert read_settings({**REQUIRED, "WEBHOOK_SECRET": name}).webhook_secret == name


@pytest.mark.parametrize(
    "secret",
    ["ssm:", "SSM:/hush", "secretsmanager:hush hush", "arn:aws:x:hush", '{"secret": "hush"}'],
)
def test_a_malformed_reference_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET must be the secret as") as refused:
        read_settings({**REQUIRED, "WEBHOOK_SECRET": secret})
    assert "hush" not in str(refused.value)


def test_git_hosts_are_names_without_ports() -> None:
    hosts = read_settings({**REQUIRED, "GIT_HOSTS": "GitHub.com, git.acme.example"}).git_hosts
    assert hosts == {"github.com", "git.acme.example"}
    for wrong in ("", "github.com,", "git.acme.example:8443", "https://github.com", "a b", "[::1]"):
        with pytest.raises(SettingsError, match="GIT_HOSTS must be host names without a port"):
            read_settings({**REQUIRED, "GIT_HOSTS": wrong})


def test_the_log_group_is_the_same_with_and_without_a_final_slash() -> None:
    for directory in ("/builds", "/builds/"):
        assert read_settings({**REQUIRED, "BUILD_LOG_DIR": directory}).log_group == "/builds/builds"


def test_the_queue_of_tellings_is_that_of_the_stage_of_the_wake_ups() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/slipway-dev-wakeups"
    found = read_settings({"QUEUE_URL": url, "REGISTRY": "localhost"})
    assert found.telling_queue == "slipway-dev-tellings.fifo"
    assert found.telling_queue_url == url.replace("wakeups", "tellings.fifo")
