"""Webhook secrets: rotation, references, a service's own secret, and no leaks."""

import json
import logging
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest

from chalicelib import known_secrets, sdk
from chalicelib.api.http.bodies import decode_json
from chalicelib.aws import clients, secrets
from chalicelib.domain.log_text import clean_lines
from chalicelib.domain.webhook_secrets import is_signed
from chalicelib.errors import Unavailable
from chalicelib.settings import settings
from tests.support.builders import WEBHOOK_SECRET, delivery_headers, real_payload
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
    """Set WEBHOOK_SECRET, as a deployment of Slipway does."""

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
IN_EACH_STORE = pytest.mark.parametrize("keep", [keep_parameter, keep_secret])


def push(cloud: Cloud, secret: str) -> int:
    """Push a new commit; the status of the answer."""
    return cloud.push(sha(next(_commits)), secret=secret).status


def deliver_raw(cloud: Cloud, body: bytes = b"{", secret: str = GUESSED) -> Answer:
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


def test_during_rotation_both_secrets_are_accepted_and_afterwards_only_the_new(
    cloud: Cloud, configure: Configure
) -> None:
    configure("the-old")
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [202, 401]
    configure("the-new the-old")
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [202, 202]
    assert [push(cloud, each) for each in ("the-new the-old", "the-new ")] == [401, 401]
    configure("the-new")
    assert [push(cloud, each) for each in ("the-old", "the-new")] == [401, 202]


@IN_EACH_STORE
def test_a_referenced_secret_is_replaced_without_a_deploy(
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


# Caching.


@IN_EACH_STORE
def test_a_secret_is_cached_five_minutes_and_thirty_seconds_for_bad_signatures(
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
    cloud.advance(-MINUTE)  # the clock was corrected
    assert reads("hush", "hush") == 1


def test_secrets_stay_hidden_however_many_are_read(cloud: Cloud, calls: Calls) -> None:
    for number in range(150):
        secrets.read(keep_parameter(f"hush-{number}-hush", f"/slipway/{number}"))
    (shown,) = clean_lines(["hush-0-hush hush-149-hush"], known_secrets.known_secrets())
    assert shown == "*** ***"
    calls.clear()
    secrets.read("ssm:/slipway/0")
    assert calls.counted == {}


def test_at_most_a_hundred_refused_references_are_cached(cloud: Cloud, calls: Calls) -> None:
    secrets.read(keep_parameter("hush", "/slipway/there"))
    for number in range(150):
        with pytest.raises(Unavailable):
            secrets.read(f"ssm:/slipway/{number}")
    assert len(known_secrets._known) == 102  # with the newest
    assert "hush" in known_secrets.known_secrets()


@pytest.mark.parametrize("signed_with", [WEBHOOK_SECRET, "guessed"])
def test_no_secrets_client_is_created_if_the_variable_holds_the_secret(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, signed_with: str
) -> None:
    made: set[str] = set()
    make: Any = sdk.session().create_client

    def recording(name: str, **more: Any) -> Any:
        made.add(name)
        return make(name, **more)

    monkeypatch.setattr(sdk.session(), "create_client", recording)
    clients._client.cache_clear()
    push(cloud, signed_with)
    clients._client.cache_clear()
    assert made == ({"sqs"} if signed_with == WEBHOOK_SECRET else set())


# Unreadable secrets.


@IN_EACH_STORE
@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_an_unreadable_secret_on_a_cold_start_is_a_503_and_the_next_delivery_works(
    cloud: Cloud,
    configure: Configure,
    trouble: Trouble,
    caplog: pytest.LogCaptureFixture,
    keep: Callable[[str], str],
    code: str,
) -> None:
    reference = keep("hush")
    configure(reference)
    # botocore retries throttling, but not a denied access.
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
        cloud.advance(10)  # a refusal is cached for 10 seconds
    assert cloud.push(sha(1), secret="hush", delivery="d-1").status == 202


@pytest.mark.parametrize("reference", ["ssm:/slipway/none", "secretsmanager:slipway/none"])
def test_with_a_missing_secret_every_delivery_is_refused(
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
def test_with_a_malformed_secret_every_delivery_is_refused(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    configure(keep_secret(text))
    for secret in (text, *text.split()):
        assert refused(cloud.push(sha(1), secret=secret)) == (503, "webhook_secret_unreadable")
    assert "the webhook secret secretsmanager:slipway/hook must hold the secret" in caplog.text or (
        "the webhook secret secretsmanager:slipway/hook must hold a secret" in caplog.text
    )
    assert "hush-hush" not in caplog.text


def test_with_a_binary_secret_every_delivery_is_refused(cloud: Cloud, configure: Configure) -> None:
    client("secretsmanager").create_secret(Name="slipway/bytes", SecretBinary=b"hush")
    configure("secretsmanager:slipway/bytes")
    assert refused(cloud.push(sha(1), secret="hush")) == (503, "webhook_secret_unreadable")


def test_a_cached_secret_is_not_used_after_five_minutes(
    cloud: Cloud, configure: Configure, trouble: Trouble
) -> None:
    configure(keep_secret("hush"))
    assert push(cloud, "hush") == 202
    cloud.advance(MINUTE)
    trouble.refuse(SECRET, "ThrottlingException")
    assert push(cloud, "hush") == 202
    assert push(cloud, "junk") == 503  # the signature could be from a newer secret
    cloud.advance(4 * MINUTE)
    trouble.refuse(SECRET, "ThrottlingException")
    assert push(cloud, "hush") == 503
    assert push(cloud, "hush") == 202


# A service's own secret.


def set_own_secret(cloud: Cloud, service: int, secret: str) -> str:
    """Give a service its own webhook secret; the reference to it."""
    reference = keep_secret(secret, f"slipway/service-{service}")
    answer = cloud.api.patch(f"/v1/services/{service}", {"webhook_secret": reference})
    assert answer.status == 200, answer.text
    assert answer.body["webhook_secret"] == reference
    return reference


@IN_EACH_STORE
@pytest.mark.parametrize(
    "text", ["fifteen-letters", "fifteen-letters the-secret-of-own", "the-secret-of-own short"]
)
def test_a_new_secret_with_fewer_than_16_characters_is_refused(
    cloud: Cloud, keep: Callable[[str], str], text: str
) -> None:
    reference = keep(text)
    with nothing_is_written():
        answer = cloud.api.patch(f"/v1/services/{cloud.service_id}", {"webhook_secret": reference})
    assert refused(answer) == (400, "webhook_secret_too_short")
    assert answer.body["field"] == "webhook_secret"
    assert "16" in answer.body["detail"]
    assert "fifteen" not in answer.text
    body = {"name": "other", "git_url": "https://github.com/a/b.git", "image_repository": "hello"}
    path = f"/v1/projects/{cloud.project}/services"
    with nothing_is_written():
        answer = cloud.api.post(path, {**body, "webhook_secret": reference})
    assert refused(answer) == (400, "webhook_secret_too_short")
    keep("sixteen-letters!")  # it is read again, at once
    assert cloud.api.post(path, {**body, "webhook_secret": reference}).status == 201


def test_a_short_secret_from_before_this_rule_still_works_with_a_warning(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    reference = set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    keep_secret("short", f"slipway/service-{cloud.service_id}")
    cloud.advance(5 * MINUTE)
    assert push(cloud, "short") == 202
    assert "fewer than 16 characters" in caplog.text
    assert reference in caplog.text
    change = {"webhook_secret": reference, "branch": "main"}
    assert cloud.api.patch(f"/v1/services/{cloud.service_id}", change).status == 200


@pytest.mark.parametrize("text", ["hush", "hush the-secret-of-all"])
def test_a_short_secret_of_the_installation_still_works_with_one_warning(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    configure(text)
    assert [push(cloud, "hush"), push(cloud, "hush")] == [202, 202]
    assert caplog.text.count("WEBHOOK_SECRET has fewer than 16 characters") == 1


def test_a_secret_that_cannot_be_read_yet_is_accepted(cloud: Cloud, trouble: Trouble) -> None:
    path = f"/v1/services/{cloud.service_id}"
    assert cloud.api.patch(path, {"webhook_secret": "ssm:/slipway/later"}).status == 200
    trouble.refuse(SECRET, "AccessDeniedException")
    reference = keep_secret("short")
    assert cloud.api.patch(path, {"webhook_secret": reference}).status == 200


def test_each_secret_starts_only_its_services_and_gives_the_reason_for_others(cloud: Cloud) -> None:
    own, other, none = cloud.service_id, cloud.add_service("other"), cloud.add_service("none")
    set_own_secret(cloud, own, "the-secret-of-own")
    set_own_secret(cloud, other, "the-secret-of-other")

    answer = cloud.push(sha(1), secret="the-secret-of-own", delivery="by-own")
    assert (answer.status, started(answer)) == (202, [own])
    assert reasons(cloud, "by-own") == {own: "a build was started"}
    answer = cloud.push(sha(1), delivery="by-installation")
    assert (answer.status, started(answer)) == (202, [none])
    assert reasons(cloud, "by-installation") == {own: OWN, other: OWN, none: "a build was started"}
    answer = cloud.push(sha(1), secret="the-secret-of-other", delivery="by-other")
    assert (answer.status, started(answer)) == (202, [other])

    # All three deliver one push. A redelivery names only the builds that its secret started.
    for delivery, secret, service in (
        ("by-own", "the-secret-of-own", own),
        ("by-installation", WEBHOOK_SECRET, none),
        ("by-other", "the-secret-of-other", other),
    ):
        again = cloud.push(sha(1), secret=secret, delivery=delivery)
        assert (again.status, again.body["duplicate"], started(again)) == (200, True, [service])
    cloud.settle()
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]  # two at once
    assert len(cloud.api.get("/v1/cicd/jobs").body["items"]) == 3


def test_the_installations_secret_cannot_start_a_service_with_its_own(cloud: Cloud) -> None:
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    answer = cloud.push(sha(1), delivery="d-1")
    assert answer.status == 200
    assert answer.body["ignored"] == (
        "this delivery's secret starts no service that follows branch master of "
        "github.com/codertocat/hello-world"
    )
    assert reasons(cloud, "d-1") == {cloud.service_id: OWN}
    assert cloud.push(sha(1), secret="the-secret-of-own", delivery="d-2").status == 202


def test_two_services_may_share_their_own_secret(cloud: Cloud) -> None:
    shared = set_own_secret(cloud, cloud.service_id, "the-shared-secret")
    second = cloud.add_service("second", webhook_secret=shared)
    assert started(cloud.push(sha(1), secret="the-shared-secret")) == [cloud.service_id, second]


def test_an_equal_secret_under_two_names_starts_the_services_of_both(cloud: Cloud) -> None:
    second = cloud.add_service("second")
    set_own_secret(cloud, cloud.service_id, "the-same-secret-twice")
    set_own_secret(cloud, second, "the-same-secret-twice")
    assert started(cloud.push(sha(1), secret="the-same-secret-twice")) == [cloud.service_id, second]


def test_a_services_own_secret_can_be_rotated(cloud: Cloud) -> None:
    set_own_secret(cloud, cloud.service_id, "the-old-secret-of-own")
    assert push(cloud, "the-old-secret-of-own") == 202
    keep_secret(
        "the-new-secret-of-own the-old-secret-of-own", f"slipway/service-{cloud.service_id}"
    )
    cloud.advance(30)
    assert [push(cloud, each) for each in ("the-new-secret-of-own", "the-old-secret-of-own")] == [
        202,
        202,
    ]


def test_a_service_that_gives_up_its_secret_uses_the_installations(cloud: Cloud) -> None:
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    cloud.change_service(webhook_secret=None)
    assert cloud.service()["webhook_secret"] is None
    assert [push(cloud, each) for each in ("the-secret-of-own", WEBHOOK_SECRET)] == [401, 202]


def test_a_repository_refuses_the_secret_of_a_service_that_left_it(cloud: Cloud) -> None:
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    cloud.change_service(git_url="https://github.com/a/b.git")
    assert push(cloud, "the-secret-of-own") == 401


def test_a_services_own_secret_is_refused_for_another_repository(cloud: Cloud) -> None:
    other = cloud.add_service("other", git_url="https://github.com/a/b.git")
    set_own_secret(cloud, other, "the-secret-of-other")
    with nothing_is_written():
        assert refused(cloud.push(sha(1), secret="the-secret-of-other")) == (401, "bad_signature")


def test_every_unsigned_body_is_refused_in_the_same_way(cloud: Cloud) -> None:
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    named = {"repository": {"full_name": "Codertocat/Hello-World"}}
    bodies: list[Any] = [{}, [], None, "x", {"repository": 7}, {"repository": {"full_name": "a"}}]
    raw = [json.dumps(body).encode() for body in [*bodies, named]]
    with nothing_is_written():
        for body in [*raw, b"", b"{", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b'{"a":NaN}']:
            assert refused(deliver_raw(cloud, body)) == (401, "bad_signature"), body[:20]
            assert (
                body in raw[-1:] or refused(deliver_raw(cloud, body, "the-secret-of-own"))[0] == 401
            )


ABOUT_5_MIB = 748_000 * b"[[{}]],"
JUNK = {
    "a list": b"[" + ABOUT_5_MIB + b"0]",
    "the repository before it": b'{"repository":{"full_name":"Codertocat/Hello-World"},"a":['
    + ABOUT_5_MIB
    + b"0]}",
    "in the repository": b'{"repository":[' + ABOUT_5_MIB + b"0]}",
    "opening brackets": b"[" * 5_000_000,
}


@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
def test_a_body_is_not_decoded_before_a_signature_fits(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Decoding makes an object of every value. That takes a second or more for 5 MiB of them."""
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    decoder = Mock(wraps=decode_json)
    monkeypatch.setattr("chalicelib.api.webhooks.decode_json", decoder)
    assert deliver_raw(cloud, body).status == 401
    assert not decoder.called
    assert deliver_raw(cloud, body, WEBHOOK_SECRET).status == 400
    assert decoder.called


def test_a_cached_secret_is_tried_once_if_it_has_not_changed(
    cloud: Cloud, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature of a large body takes some milliseconds."""
    configure(keep_secret("hush"))
    assert push(cloud, "hush") == 202
    cloud.advance(MINUTE)
    check = Mock(wraps=is_signed)
    monkeypatch.setattr("chalicelib.pipeline.signatures.is_signed", check)
    assert push(cloud, "junk") == 401
    assert check.call_count == 1


def test_a_delivery_without_a_repository_says_which_secrets_were_tried(cloud: Cloud) -> None:
    """GitHub's ping of an organisation's webhook names no repository to look secrets up by."""
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    ping = real_payload("ping")
    del ping["repository"]
    answer = deliver_raw(cloud, json.dumps(ping).encode(), "the-secret-of-own")
    assert refused(answer) == (401, "bad_signature")
    assert "the body names no repository" in answer.body["detail"]
    named = deliver_raw(cloud, json.dumps(real_payload("ping")).encode(), "guessed")
    assert "names no repository" not in named.body["detail"]


def test_a_ping_signed_with_a_services_own_secret_is_answered(cloud: Cloud) -> None:
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    body = json.dumps({"repository": {"full_name": "Codertocat/Hello-World"}}).encode()
    headers = delivery_headers(body, secret="the-secret-of-own", event="ping")
    answer = cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)
    assert answer.status == 200
    assert answer.body["ignored"] == "the event ping has no effect"


def test_a_services_own_secret_works_without_an_installation_secret(
    cloud: Cloud, configure: Configure
) -> None:
    cloud.add_service("second")
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    configure("")
    assert started(cloud.push(sha(1), secret="the-secret-of-own", delivery="d-1")) == [
        cloud.service_id
    ]
    assert reasons(cloud, "d-1") == {cloud.service_id: "a build was started"}
    for secret in ("", "guessed", WEBHOOK_SECRET):
        answer = cloud.push(sha(1), secret=secret)
        assert refused(answer) == (401, "webhook_secret_not_configured")


def test_an_unreadable_secret_does_not_stop_a_delivery_signed_with_another(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    second = cloud.add_service("second", webhook_secret="ssm:/slipway/none")
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    assert started(cloud.push(sha(1), secret="the-secret-of-own")) == [cloud.service_id]
    assert push(cloud, WEBHOOK_SECRET) == 200
    configure("ssm:/slipway/none-either")
    assert started(cloud.push(sha(2), secret="the-secret-of-own")) == [cloud.service_id]
    with nothing_is_written():
        assert refused(deliver_raw(cloud)) == (503, "webhook_secret_unreadable")
        answer = cloud.push(sha(3), secret="guessed")
    assert refused(answer) == (503, "webhook_secret_unreadable")
    assert "ssm:/slipway/none cannot be read" in caplog.text
    assert cloud.service(second)["webhook_secret"] == "ssm:/slipway/none"


def test_a_push_with_a_services_own_secret_makes_a_fixed_number_of_calls(
    cloud: Cloud, calls: Calls
) -> None:
    set_own_secret(cloud, cloud.service_id, "the-secret-of-own")
    rows = {
        "dynamodb.GetItem": 3,
        "dynamodb.BatchGetItem": 1,
        "dynamodb.UpdateItem": 1,
        "dynamodb.TransactWriteItems": 1,
        "sqs.SendMessageBatch": 1,
    }
    cloud.advance(5 * MINUTE)
    # A process keeps the secret and the channels for a while.
    for first in ({SECRET: 1, "dynamodb.Query": 1}, {}):
        calls.clear()
        assert push(cloud, "the-secret-of-own") == 202
        assert calls.counted == rows | first
    calls.clear()
    assert push(cloud, "guessed") == 401
    assert calls.counted == {"dynamodb.GetItem": 1}


def test_a_repository_can_have_at_most_twenty_secrets(cloud: Cloud) -> None:
    """GitHub allows as many webhooks of one repository ("Types of webhooks")."""
    names = [f"ssm:/slipway/{number}" for number in range(21)]
    for number, name in enumerate(names[:20]):
        cloud.add_service(f"s-{number}", branch=f"b-{number}", webhook_secret=name)
    path = f"/v1/services/{cloud.service_id}"
    with nothing_is_written():
        answer = cloud.api.patch(path, {"webhook_secret": names[20]})
    assert refused(answer) == (409, "too_many_webhook_secrets")
    assert answer.body["field"] == "webhook_secret"
    assert cloud.api.patch(path, {"webhook_secret": names[0]}).status == 200


@pytest.mark.parametrize("path", ["git", "build", "task"])
@pytest.mark.parametrize("kind", ["secretsmanager:", "ssm:/"])
def test_a_secret_that_builds_or_tasks_use_is_no_webhook_secret(
    cloud: Cloud, kind: str, path: str
) -> None:
    """The policy of the API's function denies it these paths."""
    change = {"webhook_secret": f"{kind}slipway/{path}/1/hush"}
    answer = cloud.api.patch(f"/v1/services/{cloud.service_id}", change)
    assert answer.status == 400
    assert answer.body["field"] == "webhook_secret"
    assert f"slipway/{path}/ are only for " in answer.body["detail"]


def test_only_an_admin_can_set_a_webhook_secret_and_the_change_is_audited(cloud: Cloud) -> None:
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


# No leaks.


def test_no_answer_log_row_or_repr_contains_a_secret(
    cloud: Cloud, configure: Configure, caplog: pytest.LogCaptureFixture, trouble: Trouble
) -> None:
    caplog.set_level(logging.DEBUG, logger="slipway")
    canaries = ("canary-new", "canary-old", "canary-own-secret", "canary-typed")
    answers: list[Answer] = []

    def record(answer: Answer) -> int:
        answers.append(answer)
        return answer.status

    configure("canary-new canary-old")
    texts = [repr(settings()), str(settings())]
    assert record(cloud.push(sha(1), secret="canary-old", delivery="d-1")) == 202
    configure(keep_parameter("canary-new canary-old"))
    set_own_secret(cloud, cloud.service_id, "canary-own-secret")
    for secret in canaries[:3]:
        record(cloud.push(sha(2), secret=secret))
    keep_parameter('{"secret": "canary-new"}')
    keep_secret('{"secret": "canary-own-secret"}', f"slipway/service-{cloud.service_id}")
    cloud.advance(5 * MINUTE)
    assert record(cloud.push(sha(3), secret="canary-new")) == 503
    trouble.refuse(PARAMETER, "AccessDeniedException")
    assert record(cloud.push(sha(3), secret="canary-new")) == 503
    path = f"/v1/services/{cloud.service_id}"
    assert record(cloud.api.patch(path, {"webhook_secret": "canary-typed"})) == 400
    assert record(cloud.api.patch(path, {"webhook_secret": "ssm:canary-typed"})) == 400
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
        assert record(cloud.api.get(shown)) == 200
    texts += [repr(known_secrets._known), caplog.text, json.dumps(everything_written())]
    texts += [f"{answer.headers} {answer.text}" for answer in answers]
    assert "slipway/hook" in caplog.text
    assert not [(canary, text) for canary in canaries for text in texts if canary in text]


def test_both_secrets_are_hidden_in_the_output_of_a_build(
    cloud: Cloud, configure: Configure
) -> None:
    reference = keep_secret("the-new-hush the-old-hush")
    configure(reference)
    secrets.read(reference)
    shown = clean_lines(
        ["echo the-new-hush", "and the-old-hush, too"], known_secrets.known_secrets()
    )
    assert "hush" not in " ".join(shown)


def test_a_services_secret_cannot_rewrite_the_record_of_another_delivery(
    cloud: Cloud, configure: Configure
) -> None:
    keep_secret("own-hush-hush-hush", f"slipway/service-{cloud.service_id}")
    second = cloud.add_service("second", branch="develop")
    cloud.change_service(webhook_secret=f"secretsmanager:slipway/service-{cloud.service_id}")
    cloud.push(sha(1), branch="develop", delivery="d-1")
    path = "/v1/webhooks/github/deliveries/d-1"
    before = cloud.api.get(path).body
    assert before["services"][-1]["service_id"] == second
    body = json.dumps({"repository": {"full_name": "Codertocat/Hello-World"}}).encode()
    headers = delivery_headers(body, event="ping", delivery="d-1", secret="own-hush-hush-hush")
    assert cloud.api.post("/v1/webhooks/github", raw=body, headers=headers).status == 200
    after = cloud.api.get(path).body
    assert after.pop("times_received") == before.pop("times_received") + 1
    assert after == before


def test_bad_signatures_do_not_read_a_missing_secret_each_time(cloud: Cloud, calls: Calls) -> None:
    cloud.change_service(webhook_secret="ssm:/slipway/none")
    cloud.advance(10)
    calls.clear()
    answers = [cloud.push(sha(1), delivery="d", secret="junk").status for _ in range(5)]
    assert answers == [503] * 5
    assert len(calls.to(PARAMETER)) == 1
