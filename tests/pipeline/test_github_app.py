"""The GitHub App in place of tokens: what GitHub is told, with which requests, and in trouble."""

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib.known_secrets import known_secrets
from chalicelib.settings import settings
from infra.local.github.server import GitHub
from tests.support.embedded import MINUTE, REPOSITORY, Cloud, client, keep_secret, sha
from tests.support.github.app import APP, PERMISSIONS, register_app
from tests.support.github.connected import connected
from tests.support.sdk import Trouble, record_calls

NAME = REPOSITORY.lower()


@pytest.fixture
def github(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """GitHub with a private repository. The App is registered, and not installed."""
    github = GitHub(clock=lambda: cloud._now)
    github.add_repository(REPOSITORY, private=True)
    for number in range(1, 10):
        github.add_commit(REPOSITORY, sha(number))
    register_app(github)
    with connected(github, monkeypatch, GITHUB_APP=APP):
        yield github


@pytest.fixture
def installed(cloud: Cloud, github: GitHub) -> GitHub:
    """The App is installed on the repository, and a channel without a secret tells GitHub."""
    github.install(REPOSITORY.partition("/")[0], [REPOSITORY])
    add_channel(cloud)
    return github


def add_channel(cloud: Cloud) -> int:
    answer = cloud.api.post("/v1/channels", {"kind": "github", "name": "GitHub"})
    assert answer.status == 201, answer.text
    assert answer.body["secret"] is None
    return int(answer.body["id"])


def trouble_after_test(cloud: Cloud, number: int) -> str | None:
    assert cloud.api.post(f"/v1/channels/{number}/test", {}).status == 202
    cloud.settle()
    shown = cloud.api.get(f"/v1/channels/{number}").body
    assert shown["tested_at"] is not None
    trouble: str | None = shown["trouble"]
    return trouble


def states(github: GitHub, number: int) -> list[str]:
    return [each["state"] for each in github.statuses(REPOSITORY, sha(number))]


def requests(github: GitHub) -> Counter[str]:
    """How often each kind of request was made."""
    return Counter(
        f"{each.method} {re.sub(r'[0-9a-f]{40}|[0-9]{4,}', '*', each.path.partition('?')[0])}"
        for each in github.requests()
    )


def secrets_of(github: GitHub) -> set[str]:
    """The tokens that GitHub has given to the App."""
    return {token for token, each in github.tokens.items() if each.installation}


def test_a_push_is_told_from_the_queue_to_the_release(cloud: Cloud, installed: GitHub) -> None:
    cloud.release(1)
    assert states(installed, 1)[0] == "pending"
    assert states(installed, 1)[-1] == "success"
    (deployment,) = installed.deployments(REPOSITORY)
    assert [each["state"] for each in deployment["statuses"]][-1] == "success"
    assert deployment["creator"]["login"] == "slipway[bot]"


def test_the_app_asks_for_one_repository_and_only_what_a_telling_needs(
    cloud: Cloud, installed: GitHub
) -> None:
    installed.add_repository(f"{REPOSITORY.partition('/')[0]}/other", private=True)
    cloud.push(sha(1))
    cloud.settle()
    asked = [
        json.loads(each.body)
        for each in installed.requests()
        if each.path.endswith("/access_tokens")
    ]
    repositories = [NAME.partition("/")[2]]
    assert asked == [
        {"repositories": repositories, "permissions": {"contents": "read"}},
        {
            "repositories": repositories,
            "permissions": {"statuses": "write", "deployments": "write"},
        },
    ]


def test_the_app_costs_two_requests_for_a_fetch_and_two_for_tellings_in_half_an_hour(
    cloud: Cloud, installed: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record_calls(monkeypatch)

    def cost() -> tuple[int, int, int]:
        made = requests(installed)
        return (
            calls.counted.get("kms.Sign", 0),
            made[f"GET /repos/{NAME}/installation"],
            made["POST /app/installations/*/access_tokens"],
        )

    cloud.push(sha(1))
    cloud.settle()
    assert cost() == (2, 2, 2)
    cloud.push(sha(2))
    cloud.settle()
    assert cost() == (2, 2, 2)
    cloud.advance(31 * MINUTE)
    cloud.push(sha(3))
    cloud.settle()
    assert cost() == (4, 4, 4)
    assert states(installed, 3)


def test_a_token_that_github_has_withdrawn_is_replaced_at_once(
    cloud: Cloud, installed: GitHub
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    for token in secrets_of(installed):
        installed.revoke(token)
    cloud.push(sha(2))
    cloud.settle()
    assert set(states(installed, 2)) == {"pending"}
    assert cloud.api.get("/v1/channels/1").body["trouble"] is None


def test_a_token_is_hidden_until_it_ends_also_after_a_newer_one(
    cloud: Cloud, installed: GitHub
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    first = secrets_of(installed)
    cloud.advance(31 * MINUTE)
    cloud.push(sha(2))
    cloud.settle()
    assert len(secrets_of(installed)) > len(first)
    assert secrets_of(installed) <= {*known_secrets()}
    cloud.advance(30 * MINUTE)
    cloud.push(sha(3))
    cloud.settle()
    assert not first & {*known_secrets()}


def test_the_tokens_of_many_repositories_uncover_no_other_secret(
    cloud: Cloud, github: GitHub
) -> None:
    name = keep_secret("own-hush-hush-hush", f"slipway/service-{cloud.service_id}")
    cloud.change_service(webhook_secret=name)
    cloud.push(sha(1), secret="own-hush-hush-hush")
    cloud.settle()
    many = [f"Codertocat/many-{number}" for number in range(50)]
    for number, repository in enumerate(many):
        github.add_repository(repository)
        body = {"name": f"many-{number}", "git_url": f"https://github.com/{repository}"}
        body["image_repository"] = "hello"
        assert cloud.api.post("/v1/projects/1/services", body).status == 201
    github.install("Codertocat", many)
    assert trouble_after_test(cloud, add_channel(cloud)) is None
    assert len(secrets_of(github)) == 2 * len(many)
    cloud.write_log(1, "echo own-hush-hush-hush")
    assert "echo ***" in cloud.api.get("/v1/cicd/builds/1/logs?format=text").text


def test_a_test_of_a_channel_names_the_repository_without_the_app(
    cloud: Cloud, github: GitHub
) -> None:
    number = add_channel(cloud)
    trouble = trouble_after_test(cloud, number)
    assert trouble is not None
    assert f"the GitHub App is not installed on {NAME}" in trouble
    github.install(REPOSITORY.partition("/")[0])
    assert trouble_after_test(cloud, number) is None


def test_a_test_of_a_channel_names_the_missing_permission(cloud: Cloud, github: GitHub) -> None:
    github.install(REPOSITORY.partition("/")[0])
    assert github.app is not None
    github.app.permissions = {"statuses": "write"}
    number = add_channel(cloud)
    trouble = trouble_after_test(cloud, number)
    assert trouble is not None
    assert "needs deployments: write, statuses: write" in trouble
    assert NAME in trouble
    github.app.permissions = PERMISSIONS
    assert trouble_after_test(cloud, number) is None
    github.app.permissions = {"statuses": "write"}
    assert "needs deployments: write" in str(trouble_after_test(cloud, number))


def test_a_wrong_app_id_is_named(
    cloud: Cloud, installed: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_APP", "1")
    settings.cache_clear()
    trouble = trouble_after_test(cloud, 1)
    assert trouble is not None
    assert "the parameter GithubApp must be the id of the App" in trouble


def test_a_suspended_app_is_named(cloud: Cloud, installed: GitHub) -> None:
    installed.suspend(next(iter(installed.installations)))
    trouble = trouble_after_test(cloud, 1)
    assert trouble is not None
    assert "suspended" in trouble
    assert f"the GitHub App has no access to {NAME}" in trouble


def test_a_missing_key_is_named(cloud: Cloud, installed: GitHub) -> None:
    client("kms").delete_alias(AliasName="alias/slipway-github-app")
    trouble = trouble_after_test(cloud, 1)
    assert trouble is not None
    assert "the key of the GitHub App cannot sign" in trouble
    assert "make github-app" in trouble


def test_a_telling_waits_until_kms_and_github_answer(
    cloud: Cloud, installed: GitHub, trouble: Trouble
) -> None:
    trouble.refuse("kms.Sign", "KMSInternalException")
    cloud.push(sha(1))
    cloud.settle()
    assert states(installed, 1) == []
    installed.fail(1, None, after_effect=True, match="access_tokens")
    for _ in range(6):
        cloud.advance(2 * MINUTE)
        cloud.tick()
        cloud.settle()
    assert set(states(installed, 1)) == {"pending"}


def test_no_token_is_in_a_row_a_message_or_a_log(
    cloud: Cloud,
    installed: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = record_calls(monkeypatch)
    cloud.release(1)
    installed.uninstall(next(iter(installed.installations)))
    cloud.release(2)
    assert "is not installed" in str(trouble_after_test(cloud, 1))
    # Builds read their tokens in these parameters.
    made = [each for each in calls.made if each[0] != "ssm.PutParameter"]
    written = repr(made) + caplog.text + cloud.api.get("/v1/channels").text
    tokens = [
        json.loads(each.answer)["token"]
        for each in installed.requests()
        if each.path.endswith("/access_tokens")
    ]
    assert len(tokens) == 2
    assert not [token for token in tokens if token in written]


def test_a_channel_without_a_secret_needs_an_app(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_APP", "")
    settings.cache_clear()
    refused = cloud.api.post("/v1/channels", {"kind": "github", "name": "GitHub"})
    assert (refused.status, refused.body["code"]) == (400, "missing_field")
    assert refused.body["field"] == "secret"
    assert "make github-app" in refused.body["detail"]
    other = cloud.api.post("/v1/channels", {"kind": "slack", "name": "Slack"})
    assert (other.status, other.body["field"]) == (400, "secret")


def test_a_channel_changes_from_a_token_to_the_app(cloud: Cloud, github: GitHub) -> None:
    body = {"kind": "github", "name": "it", "secret": "secretsmanager:slipway/tell/all/it"}
    number = cloud.api.post("/v1/channels", body).body["id"]
    changed = cloud.api.patch(f"/v1/channels/{number}", {"secret": None})
    assert (changed.status, changed.body["secret"]) == (200, None)
    github.install(REPOSITORY.partition("/")[0])
    assert trouble_after_test(cloud, number) is None


def test_a_look_at_a_head_waits_if_github_takes_no_request_for_a_token(
    cloud: Cloud, installed: GitHub
) -> None:
    """GitHub refuses the request for a new token, before there is any token."""
    installed.limit(0, cloud._now + 30 * MINUTE)
    for _ in range(25):
        cloud.tick()
        cloud.settle()
    assert requests(installed)[f"GET /repos/{NAME}/installation"] == 1


# What the guide says that the App needs if no service waits for checks.
WITHOUT_CHECKS = {"contents": "read", "statuses": "write", "deployments": "write"}


def test_lost_pushes_are_found_by_an_app_that_may_not_read_checks(
    cloud: Cloud, github: GitHub
) -> None:
    github.install(REPOSITORY.partition("/")[0])
    assert github.app is not None
    github.app.permissions = WITHOUT_CHECKS
    github.push(REPOSITORY, "master", sha(1))
    assert trouble_after_test(cloud, add_channel(cloud)) is None
    pass_minutes(cloud, 5)
    github.push(REPOSITORY, "master", sha(2))
    pass_minutes(cloud, 10)
    assert cloud.build(1)["commit_sha"] == sha(2)


def test_an_app_that_may_not_read_checks_is_named_by_the_deployment_that_waits_for_them(
    cloud: Cloud, installed: GitHub
) -> None:
    assert installed.app is not None
    installed.app.permissions = WITHOUT_CHECKS
    cloud.change_service(require_checks=["test"])
    cloud.push(sha(1))
    cloud.settle()
    cloud.finish_build(1)
    pass_minutes(cloud, 1)
    waits = cloud.api.get("/v1/cicd/deployments/1").body["waiting_for_checks"]
    assert "it needs checks: read, statuses: read" in waits["trouble"]


def test_a_limit_of_github_for_the_app_delays_the_looks_at_heads(
    cloud: Cloud, installed: GitHub
) -> None:
    installed.push(REPOSITORY, "master", sha(1))
    pass_minutes(cloud, 5)
    cloud.advance(31 * MINUTE)
    installed.push(REPOSITORY, "master", sha(2))
    installed.limit(0, reset_at=cloud._now + 20 * MINUTE)
    before = requests(installed)
    pass_minutes(cloud, 18)
    # The App's deliveries are asked for, too.
    made = requests(installed) - before
    assert [each for each in made.elements() if "/app/hook/" not in each] == [
        f"GET /repos/{NAME}/installation"
    ]
    pass_minutes(cloud, 15)
    assert cloud.build(1)["commit_sha"] == sha(2)


def pass_minutes(cloud: Cloud, minutes: int) -> None:
    for _ in range(minutes):
        cloud.tick()
        cloud.settle()
