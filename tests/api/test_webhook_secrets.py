"""Webhook secrets: rotated, kept elsewhere, of a service's own, and never shown."""

import json
import logging
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import boto3
import pytest

from chalicelib import known_secrets
from chalicelib.aws import clients, secrets
from chalicelib.domain.log_text import clean_lines
from chalicelib.settings import settings
from tests.support.builders import WEBHOOK_SECRET, delivery_headers
from tests.support.client import Answer
from tests.support.embedded import MINUTE, Cloud, client, keep_secret, sha
from tests.support.sdk import Calls, Trouble
from tests.support.written import everything_written, nothing_is_written

Configure = Callable[[str], None]

GUESSED = "guessed"
PARAMETER, SECRET = "ssm.GetParameter", "secretsmanager.GetSecretValue"
OWN = "this delivery was not signed with the service's own webhook secret"


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Sets WEBHOOK_SECRET, as a deploy does."""

    def set_secret(text: str) -> None:
        monkeypatch.setenv("WEBHOOK_SECRET", text)
        settings.cache_clear()

    yield set_secret
    monkeypatch.undo()
    settings.cache_clear()


def keep_parameter(text: str, name: str = "/slipway/hook") -> str:
    """Put text into Parameter Store; the reference to it."""
    client("ssm").put_parameter(Name=name, Value=text, Type="SecureString", Overwrite=True)
    return f"ssm:{name}"


_commits = count(1)
KEEPERS = pytest.mark.parametrize("keep", [keep_parameter, keep_secret])


def push(cloud: Cloud, secret: str) -> int:
    """Push something new; the status of the answer."""
    return cloud.push(sha(next(_commits)), secret=secret).status


def junk(cloud: Cloud, body: bytes = b"{", secret: str = GUESSED) -> Answer:
    headers = delivery_headers(body, secret=secret)
    return cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["code"]


def reasons(cloud: Cloud, delivery: str) -> dict[int, str]:
    shown = cloud.api.get(f"/v1/webhooks/github/deliveries/{delivery}").body
    return {each["service_id"]: each["reason"] for each in shown["services"]}


def started(answer: Answer) -> list[int]:
    return [each["service_id"] for each in answer.body["builds"]]


# Rotation.


def test_both_secrets_are_accepted_while_one_is_replaced_and_the_old_one_no_longer_after(
    cloud: Cloud, configure: Configure
) -> None:
    configure("the-old")
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [202, 401]
    configure("the-new the-old")
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [202, 202]
    assert [push(cloud, each) for each in ("the-new the-old", "the-new ")] == [401, 401]
    configure("the-new")
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [401, 202]


@KEEPERS
def test_a_secret_that_is_kept_elsewhere_is_replaced_without_a_deploy(
    cloud: Cloud, configure: Configure, keep: Callable[[str], str]
) -> None:
    configure(keep("the-old"))
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [202, 401]
    keep("the-new\nthe-old\n")
    cloud.advance(30)
    assert [push(cloud, each) for each in ("the-new", "the-old")] == [202, 202]
    keep("the-new")
    cloud.advance(5 * MINUTE - 1)
    assert push(cloud, "the-old") == 202
    cloud.advance(1)
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [401, 202]


def test_a_reference_may_be_an_arn(cloud: Cloud, configure: Configure) -> None:
    keep_parameter("of-the-parameter")
    keep_secret("of-the-secret")
    parameter = client("ssm").get_parameter(Name="/slipway/hook")["Parameter"]["ARN"]
    secret = client("secretsmanager").describe_secret(SecretId="slipway/hook")["ARN"]
    configure(f"ssm:{parameter}")
    assert push(cloud, "of-the-parameter") == 202
    configure(f"secretsmanager:{secret}")
    assert push(cloud, "of-the-secret") == 202


# What is remembered.


@KEEPERS
def test_a_secret_is_read_once_in_five_minutes_and_for_junk_once_in_thirty_seconds(
    cloud: Cloud, configure: Configure, calls: Calls, keep: Callable[[str], str]
) -> None:
    configure(keep("hush"))
    operation = PARAMETER if keep is keep_parameter else SECRET

    def reads(*secrets: str) -> int:
        calls.clear()
        for secret in secrets:
            push(cloud, secret)
        return calls.counted.get(operation, 0)

    assert reads("hush", "hush", "junk", "junk") == 1
    cloud.advance(29)
    assert reads("junk", "hush", "junk") == 0
    cloud.advance(1)
    assert reads("hush", *["junk"] * 10, "hush") == 1
    cloud.advance(5 * MINUTE - 1)
    assert reads("hush") == 0
    cloud.advance(1)
    assert reads("hush", "hush") == 1
    cloud.advance(-MINUTE)  # a clock that was put right
    assert reads("hush", "hush") == 1


def test_only_so_many_references_are_remembered(cloud: Cloud, calls: Calls) -> None:
    for number in range(101):
        secrets.read(keep_parameter("hush", f"/slipway/{number}"))
    assert len(known_secrets._known) == 100
    calls.clear()
    secrets.read("ssm:/slipway/100")
    assert calls.counted == {}
    secrets.read("ssm:/slipway/0")
    assert calls.counted == {PARAMETER: 1}


@pytest.mark.parametrize("signed_with", [WEBHOOK_SECRET, "guessed"])
def test_nothing_of_the_kind_is_called_or_made_where_the_variable_holds_the_secret(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, signed_with: str
) -> None:
    made: set[str] = set()
    make: Any = boto3.client

    def noted(name: str, **more: Any) -> Any:
        made.add(name)
        return make(name, **more)

    monkeypatch.setattr(boto3, "client", noted)
    clients._client.cache_clear()
    push(cloud, signed_with)
    clients._client.cache_clear()
    assert made == ({"sqs"} if signed_with == WEBHOOK_SECRET else set())


# What cannot be read.


@KEEPERS
@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_secret_that_cannot_be_read_on_a_cold_start_is_a_503_and_the_next_delivery_works(
    cloud: Cloud,
    configure: Configure,
    trouble: Trouble,
    caplog: pytest.LogCaptureFixture,
    keep: Callable[[str], str],
    code: str,
) -> None:
    reference = keep("hush")
    configure(reference)
    # botocore tries again what may pass.
    times = 1 if code == "AccessDeniedException" else Trouble.TRIES
    name = PARAMETER if keep is keep_parameter else SECRET
    trouble.refuse(name, code, "no, not you", times=times)
    with nothing_is_written():
        answer = cloud.push(sha(1), secret="hush", delivery="d-1")
    assert refused(answer) == (503, "webhook_secret_unreadable")
    assert answer.headers["retry-after"] == "5"
    assert reference not in answer.text
    assert f"the webhook secret {reference} cannot be read: " in caplog.text
    assert "no, not you" in caplog.text
    if code == "AccessDeniedException":
        cloud.advance(10)  # so long is a refusal remembered
    assert cloud.push(sha(1), secret="hush", delivery="d-1").status == 202


@pytest.mark.parametrize("reference", ["ssm:/slipway/none", "secretsmanager:slipway/none"])
def test_a_secret_that_is_not_there_accepts_nothing(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture, reference: str
) -> None:
    configure(reference)
    with nothing_is_written():
        for secret in ("", "None", "none", reference):
            assert refused(cloud.push(sha(1), secret=secret)) == (503, "webhook_secret_unreadable")
    assert f"the webhook secret {reference} cannot be read: " in caplog.text


@pytest.mark.parametrize(
    "text", ['{"secret": "hush-hush"}', " ", "ssm:/slipway/other", "hush-hush arn:aws:x"]
)
def test_a_kept_text_that_is_no_secret_accepts_nothing(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    configure(keep_secret(text))
    for secret in (text, *text.split()):
        assert refused(cloud.push(sha(1), secret=secret)) == (503, "webhook_secret_unreadable")
    assert "the webhook secret secretsmanager:slipway/hook must hold the secret" in caplog.text or (
        "the webhook secret secretsmanager:slipway/hook must hold a secret" in caplog.text
    )
    assert "hush-hush" not in caplog.text


def test_a_secret_that_is_kept_as_bytes_accepts_nothing(cloud: Cloud, configure: Configure) -> None:
    client("secretsmanager").create_secret(Name="slipway/bytes", SecretBinary=b"hush")
    configure("secretsmanager:slipway/bytes")
    assert refused(cloud.push(sha(1), secret="hush")) == (503, "webhook_secret_unreadable")


def test_what_was_known_is_no_substitute_once_it_is_too_old(
    cloud: Cloud, configure: Configure, trouble: Trouble
) -> None:
    configure(keep_secret("hush"))
    assert push(cloud, "hush") == 202
    cloud.advance(MINUTE)
    trouble.refuse(SECRET, "ThrottlingException")
    assert push(cloud, "hush") == 202
    assert push(cloud, "junk") == 503  # it might be the new one
    cloud.advance(4 * MINUTE)
    trouble.refuse(SECRET, "ThrottlingException")
    assert push(cloud, "hush") == 503
    assert push(cloud, "hush") == 202


# A service's own.


def give(cloud: Cloud, service: int, secret: str) -> str:
    """Give a service a webhook secret of its own; the reference to it."""
    reference = keep_secret(secret, f"slipway/service-{service}")
    answer = cloud.api.patch(f"/v1/services/{service}", {"webhook_secret": reference})
    assert answer.status == 200, answer.text
    assert answer.body["webhook_secret"] == reference
    return reference


def test_each_secret_starts_its_own_services_and_the_installations_tells_why_not_others(
    cloud: Cloud,
) -> None:
    own, other, none = cloud.service_id, cloud.add_service("other"), cloud.add_service("none")
    give(cloud, own, "of-own")
    give(cloud, other, "of-other")

    answer = cloud.push(sha(1), secret="of-own", delivery="by-own")
    assert (answer.status, started(answer)) == (202, [own])
    assert reasons(cloud, "by-own") == {own: "a build was started"}
    answer = cloud.push(sha(1), delivery="by-installation")
    assert (answer.status, started(answer)) == (202, [none])
    assert reasons(cloud, "by-installation") == {own: OWN, other: OWN, none: "a build was started"}
    answer = cloud.push(sha(1), secret="of-other", delivery="by-other")
    assert (answer.status, started(answer)) == (202, [other])

    # All three were one push: whoever delivers it again hears of their own builds alone.
    for delivery, secret, service in (
        ("by-own", "of-own", own),
        ("by-installation", WEBHOOK_SECRET, none),
        ("by-other", "of-other", other),
    ):
        again = cloud.push(sha(1), secret=secret, delivery=delivery)
        assert (again.status, again.body["duplicate"], started(again)) == (200, True, [service])
    cloud.settle()
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]  # two at once
    assert len(cloud.api.get("/v1/cicd/jobs").body["items"]) == 3


def test_a_push_that_only_others_may_start_is_ignored_with_the_reason(cloud: Cloud) -> None:
    give(cloud, cloud.service_id, "of-own")
    answer = cloud.push(sha(1), delivery="d-1")
    assert answer.status == 200
    assert answer.body["ignored"] == (
        "this delivery's secret starts no service that follows branch master of "
        "github.com/codertocat/hello-world"
    )
    assert reasons(cloud, "d-1") == {cloud.service_id: OWN}
    assert cloud.push(sha(1), secret="of-own", delivery="d-2").status == 202


def test_two_services_may_share_a_secret_that_is_not_the_installations(cloud: Cloud) -> None:
    shared = give(cloud, cloud.service_id, "shared")
    second = cloud.add_service("second", webhook_secret=shared)
    assert started(cloud.push(sha(1), secret="shared")) == [cloud.service_id, second]


def test_one_secret_under_two_names_starts_the_services_of_both(cloud: Cloud) -> None:
    second = cloud.add_service("second")
    give(cloud, cloud.service_id, "same")
    give(cloud, second, "same")
    assert started(cloud.push(sha(1), secret="same")) == [cloud.service_id, second]


def test_a_services_own_secret_is_replaced_like_any_other(cloud: Cloud) -> None:
    give(cloud, cloud.service_id, "the-old")
    assert push(cloud, "the-old") == 202
    keep_secret("the-new the-old", f"slipway/service-{cloud.service_id}")
    cloud.advance(30)
    assert [push(cloud, each) for each in ("the-new", "the-old")] == [202, 202]


def test_a_service_without_its_secret_is_the_installations_again(cloud: Cloud) -> None:
    give(cloud, cloud.service_id, "of-own")
    cloud.change_service(webhook_secret=None)
    assert cloud.service()["webhook_secret"] is None
    assert [push(cloud, each) for each in ("of-own", WEBHOOK_SECRET)] == [401, 202]


def test_a_service_that_left_the_repository_takes_its_secret_along(cloud: Cloud) -> None:
    give(cloud, cloud.service_id, "of-own")
    cloud.change_service(git_url="https://github.com/a/b.git")
    assert push(cloud, "of-own") == 401


def test_what_a_secret_signed_says_nothing_of_another_repository(cloud: Cloud) -> None:
    theirs = cloud.add_service("theirs", git_url="https://github.com/a/b.git")
    give(cloud, theirs, "of-theirs")
    with nothing_is_written():
        assert refused(cloud.push(sha(1), secret="of-theirs")) == (401, "bad_signature")


def test_what_no_secret_has_signed_is_refused_the_same_way_whatever_it_is(cloud: Cloud) -> None:
    give(cloud, cloud.service_id, "of-own")
    told = {"repository": {"full_name": "Codertocat/Hello-World"}}
    bodies: list[Any] = [{}, [], None, "x", {"repository": 7}, {"repository": {"full_name": "a"}}]
    raw = [json.dumps(body).encode() for body in [*bodies, told]]
    with nothing_is_written():
        for body in [*raw, b"", b"{", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b'{"a":NaN}']:
            assert refused(junk(cloud, body)) == (401, "bad_signature"), body[:20]
            assert body in raw[-1:] or refused(junk(cloud, body, "of-own"))[0] == 401


def test_a_ping_that_a_services_own_secret_signed_is_answered(cloud: Cloud) -> None:
    give(cloud, cloud.service_id, "of-own")
    body = json.dumps({"repository": {"full_name": "Codertocat/Hello-World"}}).encode()
    headers = delivery_headers(body, secret="of-own", event="ping")
    answer = cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)
    assert answer.status == 200
    assert answer.body["ignored"] == "the event ping has no effect"


def test_an_installation_without_a_secret_works_for_a_service_that_has_one(
    cloud: Cloud, configure: Configure
) -> None:
    cloud.add_service("second")
    give(cloud, cloud.service_id, "of-own")
    configure("")
    assert started(cloud.push(sha(1), secret="of-own", delivery="d-1")) == [cloud.service_id]
    assert reasons(cloud, "d-1") == {cloud.service_id: "a build was started"}
    for secret in ("", "guessed", WEBHOOK_SECRET):
        answer = cloud.push(sha(1), secret=secret)
        assert refused(answer) == (401, "webhook_secret_not_configured")


def test_a_secret_that_cannot_be_read_is_no_matter_to_what_another_one_signed(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    second = cloud.add_service("second", webhook_secret="ssm:/slipway/none")
    give(cloud, cloud.service_id, "of-own")
    assert started(cloud.push(sha(1), secret="of-own")) == [cloud.service_id]
    assert push(cloud, WEBHOOK_SECRET) == 200
    configure("ssm:/slipway/none-either")
    assert started(cloud.push(sha(2), secret="of-own")) == [cloud.service_id]
    with nothing_is_written():
        assert refused(junk(cloud)) == (503, "webhook_secret_unreadable")
        answer = cloud.push(sha(3), secret="guessed")
    assert refused(answer) == (503, "webhook_secret_unreadable")
    assert "ssm:/slipway/none cannot be read" in caplog.text
    assert cloud.service(second)["webhook_secret"] == "ssm:/slipway/none"


def test_a_push_that_a_services_own_secret_signed_costs_a_known_number_of_calls(
    cloud: Cloud, calls: Calls
) -> None:
    give(cloud, cloud.service_id, "of-own")
    rows = {
        "dynamodb.GetItem": 3,
        "dynamodb.BatchGetItem": 1,
        "dynamodb.UpdateItem": 1,
        "dynamodb.TransactWriteItems": 1,
        "sqs.SendMessageBatch": 1,
    }
    for first in ({SECRET: 1}, {}):
        calls.clear()
        assert push(cloud, "of-own") == 202
        assert calls.counted == rows | first
    calls.clear()
    assert push(cloud, "guessed") == 401
    assert calls.counted == {"dynamodb.GetItem": 1}


def test_a_repository_has_room_for_as_many_secrets_as_github_has_webhooks(cloud: Cloud) -> None:
    names = [f"ssm:/slipway/{number}" for number in range(21)]
    for number, name in enumerate(names[:20]):
        cloud.add_service(f"s-{number}", branch=f"b-{number}", webhook_secret=name)
    path = f"/v1/services/{cloud.service_id}"
    with nothing_is_written():
        answer = cloud.api.patch(path, {"webhook_secret": names[20]})
    assert refused(answer) == (409, "too_many_webhook_secrets")
    assert answer.body["field"] == "webhook_secret"
    assert cloud.api.patch(path, {"webhook_secret": names[0]}).status == 200


def test_only_an_administrator_sets_it_and_the_audit_trail_says_so(cloud: Cloud) -> None:
    body = {"name": "ci", "role": "deployer"}
    deployer = cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])
    changes = {"webhook_secret": "ssm:/slipway/web"}
    path = f"/v1/services/{cloud.service_id}"
    assert deployer.patch(path, changes).status == 403
    cloud.change_service(**changes)
    assert cloud.api.get("/v1/audit").body["items"][0]["details"] == {
        "before": {"webhook_secret": None},
        "after": changes,
    }


# Nothing is shown.


def test_no_secret_is_ever_in_an_answer_a_log_a_row_or_a_repr(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture, trouble: Trouble
) -> None:
    caplog.set_level(logging.DEBUG, logger="slipway")
    canaries = ("canary-new", "canary-old", "canary-own", "canary-typed")
    answers: list[Answer] = []

    def said(answer: Answer) -> int:
        answers.append(answer)
        return answer.status

    configure("canary-new canary-old")
    texts = [repr(settings()), str(settings())]
    assert said(cloud.push(sha(1), secret="canary-old", delivery="d-1")) == 202
    configure(keep_parameter("canary-new canary-old"))
    give(cloud, cloud.service_id, "canary-own")
    for secret in canaries[:3]:
        said(cloud.push(sha(2), secret=secret))
    keep_parameter('{"secret": "canary-new"}')
    keep_secret('{"secret": "canary-own"}', f"slipway/service-{cloud.service_id}")
    cloud.advance(5 * MINUTE)
    assert said(cloud.push(sha(3), secret="canary-new")) == 503
    trouble.refuse(PARAMETER, "AccessDeniedException")
    assert said(cloud.push(sha(3), secret="canary-new")) == 503
    path = f"/v1/services/{cloud.service_id}"
    assert said(cloud.api.patch(path, {"webhook_secret": "canary-typed"})) == 400
    assert said(cloud.api.patch(path, {"webhook_secret": "ssm:canary-typed"})) == 400
    cloud.settle()
    for shown in (
        path,
        f"/v1/projects/{cloud.project}/services",
        "/v1/webhooks/github/deliveries",
        "/v1/cicd/jobs",
        "/v1/audit",
        "/v1/health",
        "/v1/openapi.json",
    ):
        assert said(cloud.api.get(shown)) == 200
    texts += [repr(known_secrets._known), caplog.text, json.dumps(everything_written())]
    texts += [f"{answer.headers} {answer.text}" for answer in answers]
    assert "slipway/hook" in caplog.text
    assert not [(canary, text) for canary in canaries for text in texts if canary in text]


def test_both_secrets_are_hidden_in_what_a_build_prints(cloud: Cloud, configure: Configure) -> None:
    reference = keep_secret("the-new-hush the-old-hush")
    configure(reference)
    secrets.read(reference)
    shown = clean_lines(
        ["echo the-new-hush", "and the-old-hush, too"], known_secrets.known_secrets()
    )
    assert "hush" not in " ".join(shown)


def test_who_holds_one_services_secret_does_not_rewrite_what_others_delivered(
    cloud: Cloud, configure: Configure
) -> None:
    keep_secret("own-hush", f"slipway/service-{cloud.service_id}")
    second = cloud.add_service("second", branch="develop")
    cloud.change_service(webhook_secret=f"secretsmanager:slipway/service-{cloud.service_id}")
    cloud.push(sha(1), branch="develop", delivery="d-1")
    path = "/v1/webhooks/github/deliveries/d-1"
    before = cloud.api.get(path).body
    assert before["services"][-1]["service_id"] == second
    body = json.dumps({"repository": {"full_name": "Codertocat/Hello-World"}}).encode()
    headers = delivery_headers(body, event="ping", delivery="d-1", secret="own-hush")
    assert cloud.api.post("/v1/webhooks/github", raw=body, headers=headers).status == 200
    after = cloud.api.get(path).body
    assert after.pop("times_received") == before.pop("times_received") + 1
    assert after == before


def test_junk_does_not_have_a_secret_that_is_refused_read_each_time(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.change_service(webhook_secret="ssm:/slipway/none")
    calls.clear()
    answers = [cloud.push(sha(1), delivery="d", secret="junk").status for _ in range(5)]
    assert answers == [503] * 5
    assert len(calls.to(PARAMETER)) == 1
