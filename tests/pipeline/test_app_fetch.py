"""Builds fetch as the GitHub App: with a token in a parameter, which is new while they wait."""

import json
from collections.abc import Iterator

import pytest

from chalicelib.settings import settings
from infra.local.aws import codebuild
from infra.local.github.server import GitHub
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, client, sha
from tests.support.github.app import APP, register_app
from tests.support.github.connected import connected
from tests.support.sdk import Calls, Trouble

OWNER, _, NAME = REPOSITORY.lower().partition("/")
PARAMETER = f"/slipway/git/1/{OWNER}/{NAME}"
OWN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/1/shop-a1B2c3"


@pytest.fixture
def github(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub with the repository, and the App, which is not installed."""
    github = GitHub(clock=lambda: cloud._now)
    github.add_repository(REPOSITORY, private=True)
    register_app(github)
    with connected(github, monkeypatch, GITHUB_APP=APP):
        yield github


@pytest.fixture
def installed(github: GitHub) -> GitHub:
    github.install(OWNER, [REPOSITORY])
    return github


def sent(calls: Calls) -> list[str]:
    """The git credential of each StartBuild; empty for none."""
    return [
        variable["value"]
        for request in calls.to("codebuild.StartBuild")
        for variable in request["environmentVariablesOverride"]
        if variable["name"] == "GIT_CREDENTIAL"
    ]


def token() -> str:
    """The token that the build would read."""
    answer = client("ssm").get_parameter(Name=PARAMETER, WithDecryption=True)
    assert answer["Parameter"]["Type"] == "SecureString"
    return str(answer["Parameter"]["Value"])


def may_fetch(github: GitHub) -> bool:
    """Whether GitHub accepts the token that the build would read now."""
    found = github.token(token())
    return found is not None and found.may(github.repository(REPOSITORY), "contents=read")


def wait_in_codebuild(cloud: Cloud) -> None:
    codebuild.engine().account_limit = 0
    cloud.push(sha(1))
    cloud.settle()


def test_a_build_gets_the_name_of_a_parameter_with_a_token(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == [f"ssm:{PARAMETER}"]
    assert may_fetch(installed)
    assert token() not in repr(calls.to("codebuild.StartBuild"))


def test_the_token_reads_the_contents_of_one_repository(cloud: Cloud, installed: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    (asked,) = [each for each in installed.requests() if each.path.endswith("/access_tokens")]
    wanted = {"repositories": [NAME], "permissions": {"contents": "read"}}
    assert json.loads(asked.body) == wanted


def test_the_next_builds_use_the_same_token_for_half_an_hour(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    for number in (1, 2, 3):
        cloud.push(sha(number))
        cloud.settle()
        cloud.finish_build(number)
    # Two requests for the token. The second build and the third one ask whether it is valid.
    assert len(installed.requests()) == 4
    assert calls.counted["kms.Sign"] == calls.counted["ssm.PutParameter"] == 1
    cloud.advance(31 * MINUTE)
    cloud.push(sha(4))
    cloud.settle()
    assert len(installed.requests()) == 6
    assert sent(calls) == [f"ssm:{PARAMETER}"] * 4


def test_an_app_that_is_installed_again_fetches_at_once(cloud: Cloud, installed: GitHub) -> None:
    cloud.push(sha(1))
    cloud.settle()
    installed.uninstall(next(iter(installed.installations)))
    installed.install(OWNER, [REPOSITORY])
    assert not may_fetch(installed)
    cloud.push(sha(2))
    cloud.settle()
    assert may_fetch(installed)


def test_a_build_that_waits_gets_a_token_of_the_app_that_is_installed_again(
    cloud: Cloud, installed: GitHub
) -> None:
    wait_in_codebuild(cloud)
    installed.uninstall(next(iter(installed.installations)))
    installed.install(OWNER, [REPOSITORY])
    for _ in range(2):
        cloud.tick()
        cloud.settle()
    assert cloud.build(1)["status"] == "queued"
    assert may_fetch(installed)


@pytest.mark.parametrize("status", [500, None])
def test_a_build_starts_while_github_does_not_say_whether_its_token_is_valid(
    cloud: Cloud, installed: GitHub, calls: Calls, status: int | None
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    installed.fail(1, status)
    cloud.push(sha(2))
    cloud.settle()
    assert sent(calls) == [f"ssm:{PARAMETER}"] * 2
    assert calls.counted["kms.Sign"] == 1


def test_a_build_that_waits_for_hours_always_has_a_valid_token(
    cloud: Cloud, installed: GitHub
) -> None:
    cloud.change_service(queued_minutes=480)
    wait_in_codebuild(cloud)
    seen = {token()}
    for _ in range(90):
        cloud.advance(2 * MINUTE)
        cloud.tick()
        cloud.settle()
        assert cloud.build(1)["status"] == "queued"
        assert may_fetch(installed)
        seen.add(token())
    assert 6 <= len(seen) <= 12


def test_trouble_with_github_while_a_build_waits_is_forgotten(
    cloud: Cloud, installed: GitHub
) -> None:
    wait_in_codebuild(cloud)
    first = token()
    cloud.advance(31 * MINUTE)
    installed.fail(1, match="access_tokens")
    cloud.tick()
    assert token() == first
    assert cloud.build(1)["status"] == "queued"
    cloud.advance(2 * MINUTE)
    cloud.tick()
    assert token() != first


def test_a_repeated_start_build_is_the_same_request(
    cloud: Cloud, installed: GitHub, calls: Calls, trouble: Trouble
) -> None:
    trouble.lose_answers("codebuild.StartBuild")
    cloud.push(sha(1))
    cloud.settle()
    installed.uninstall(next(iter(installed.installations)))
    cloud.advance(MINUTE)
    cloud.tick()
    first, *again = calls.to("codebuild.StartBuild")
    assert again
    assert all(request == first for request in again)
    assert cloud.builds_in_codebuild() == ["build-1"]


def test_a_repository_without_the_app_is_built_without_a_credential(
    cloud: Cloud, github: GitHub, calls: Calls
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == [""]
    assert cloud.build(1)["error"] is None


def test_an_app_that_may_not_read_contents_gives_no_credential(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    assert installed.app is not None
    installed.app.permissions = {"statuses": "write"}
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == [""]


def test_a_suspended_app_gives_no_credential(cloud: Cloud, installed: GitHub, calls: Calls) -> None:
    installed.suspend(next(iter(installed.installations)))
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == [""]


@pytest.mark.parametrize("status", [301, 451])
def test_a_repository_that_was_renamed_or_closed_gets_no_credential(
    cloud: Cloud, installed: GitHub, calls: Calls, status: int
) -> None:
    """git follows the redirect from the old name. GitHub: "Renaming a repository"."""
    installed.fail(1, status, match="/installation$")
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == [""]


def test_builds_do_not_ask_github_before_the_time_that_it_gave(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    installed.limit(0, reset_at=cloud._now + 10 * MINUTE)
    cloud.push(sha(1))
    cloud.settle()
    for _ in range(8):
        cloud.tick()
        cloud.settle()
    assert "rate limit" in cloud.build(1)["error"]
    # Nor for the deliveries of the App's webhook: it is the limit of all requests of the App.
    assert len(installed.requests()) == 1
    for _ in range(4):
        cloud.tick()
        cloud.settle()
    assert sent(calls) == [f"ssm:{PARAMETER}"]


def test_the_project_s_own_credential_comes_first(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    assert cloud.api.patch("/v1/projects/1", {"git_credential": OWN}).status == 200
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == [OWN]
    assert installed.requests() == []


def test_a_repository_on_another_host_gets_no_token(
    cloud: Cloud, installed: GitHub, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_HOSTS", "github.com,git.example")
    settings.cache_clear()
    cloud.change_service(git_url=f"https://git.example/{REPOSITORY}.git")
    cloud.ask_for_build(git_ref="main")
    cloud.settle()
    assert sent(calls) == [""]
    assert installed.requests() == []


def test_a_build_waits_until_github_gives_a_token_and_says_why(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    installed.fail(2, match="installation")
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == []
    assert cloud.build(1)["error"].startswith("GitHub answered 500")
    for _ in range(3):
        cloud.advance(2 * MINUTE)
        cloud.tick()
        cloud.settle()
    assert sent(calls) == [f"ssm:{PARAMETER}"]


def test_a_build_fails_with_the_reason_if_there_is_no_token_until_its_deadline(
    cloud: Cloud, installed: GitHub, calls: Calls
) -> None:
    client("kms").delete_alias(AliasName="alias/slipway-github-app")
    cloud.push(sha(1))
    cloud.settle()
    assert cloud.build(1)["status"] == "queued"
    cloud.advance(9 * 60 * MINUTE)
    cloud.tick()
    cloud.settle()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert "the key of the GitHub App cannot sign" in build["failure"]["summary"]
    assert sent(calls) == []


def test_a_token_that_cannot_be_kept_starts_no_build(
    cloud: Cloud, installed: GitHub, calls: Calls, trouble: Trouble
) -> None:
    trouble.refuse("ssm.PutParameter", "AccessDeniedException")
    cloud.push(sha(1))
    cloud.settle()
    assert sent(calls) == []
    assert "SSM PutParameter" in cloud.build(1)["error"]
    for _ in range(3):
        cloud.advance(2 * MINUTE)
        cloud.tick()
        cloud.settle()
    assert sent(calls) == [f"ssm:{PARAMETER}"]
    assert may_fetch(installed)
