"""Webhook secrets: texts, references and signatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.webhook_secrets import (
    OwnSecretReference,
    Signers,
    is_reference,
    is_signature,
    is_signed,
    parse_secrets,
)
from chalicelib.errors import InvalidInput
from tests.support.builders import signature
from tests.support.fields import read


def own_reference(value: object, *, prefix: str) -> str:
    return str(read(OwnSecretReference, value, "webhook_secret", table_prefix=prefix))


GITHUB_SECRET = "It's a Secret to Everybody"
DIGEST = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway-dev/webhook-AbCdEf"

REFERENCES = [
    "ssm:webhook",
    "ssm:/slipway/webhook",
    "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/slipway/webhook",
    "secretsmanager:webhook",
    "secretsmanager:slipway/webhook@1",
    f"secretsmanager:{ARN}",
    f"secretsmanager:{ARN.replace('aws', 'aws-us-gov', 1)}",
]
NO_REFERENCES = [
    "ssm:",
    "ssm:/",
    "ssm://a",
    "ssm:/a//b",
    "ssm:/a b",
    "ssm:/a\n",
    "ssm:/ä",
    "ssm:/a:3",
    "ssm:" + ARN,
    "ssm:arn:aws:ssm:eu-west-1:1:parameter/a",
    "SSM:/slipway/webhook",
    "secretsmanager:",
    "secretsmanager:a b",
    "secretsmanager:arn:aws:iam::123456789012:role/admin",
    "secretsmanager:" + ARN.replace("secret:", "other:"),
    "SecretsManager:slipway/webhook",
    "ssm:/new ssm:/old",
    "new ssm:/old",
    ARN,
    '{"secret":"hush"}',
    ' {"secret": "hush"}',
    "{{resolve:secretsmanager:x}}",
]
OWN = [
    "ssm:/slipway/web",
    "ssm:/slipway/shop/web.hook-2_x",
    "secretsmanager:slipway/web",
    "secretsmanager:slipway/shop/web+hook=1@x.y",
    "secretsmanager:slipway/webhooks",
    "ssm:/slipway/webhook/web",
]
NOT_OWN = [
    None,
    7,
    ["ssm:/slipway/web"],
    "",
    "hush",
    "ssm:slipway/web",
    "ssm:/slipway",
    "ssm:/slipway/",
    "ssm:/slipway//web",
    "ssm:/slipway/web/",
    "ssm:/slipway/../prod/web",
    "ssm:/slipway/./web",
    "ssm:/slipway-prod/web",
    "ssm:/other/web",
    "ssm:/slipway/web:3",
    "ssm:/slipway/web ",
    "ssm:/slipway/web\n",
    "ssm:/slipway/wéb",
    "ssm:/slipway/\uff57eb",
    "ssm:/slipway/\ud800",
    "ssm:/slipway/*",
    "ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/slipway/web",
    "SSM:/slipway/web",
    "secretsmanager:/slipway/web",
    "secretsmanager:slipway",
    "secretsmanager:slipway/",
    "secretsmanager:slipway/../prod/web",
    "secretsmanager:slipway-prod/web",
    f"secretsmanager:{ARN}",
    "secretsmanager:slipway/a b",
    "secretsmanager:slipway/web secretsmanager:slipway/other",
    "ssm:/slipway/" + "a" * 500,
    # The installation's secret.
    "ssm:/slipway/webhook",
    "secretsmanager:slipway/webhook",
]

words = st.from_regex(r"[!-9<-z|}~]{1,60}", fullmatch=True).filter(
    lambda word: not word.lower().startswith(("ssm:", "secretsmanager:", "arn:"))
)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_githubs_example_signature_is_accepted_and_similar_ones_are_refused() -> None:
    good = f"sha256={DIGEST}"
    assert is_signed(b"Hello, World!", good, [GITHUB_SECRET])
    assert is_signed(b"Hello, World!", good, ["other", GITHUB_SECRET])
    for wrong in [
        "",
        "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
        f"sha256={DIGEST.upper()}",
        DIGEST,
        "sha256=01dc10d0c83e72ed246219cdd91669667fe2ca59",
        "sha256=757107ea0eb2509f",
        f"sha256=é{DIGEST[1:]}",
        "sha256=\ud800",
        "sha256=",
        f"sha256={DIGEST}, sha256=00",
        f"sha256={DIGEST}\n",
    ]:
        assert not is_signature(wrong)
        assert not is_signed(b"Hello, World!", wrong, [GITHUB_SECRET])
    assert not is_signed(b"Hello, World!", good, [])


@given(body=st.binary(min_size=1), key=keys, at=st.integers(0), bit=st.integers(0, 7))
def test_a_signature_never_matches_a_changed_body_or_another_secret(
    body: bytes, key: str, at: int, bit: int
) -> None:
    sent = signature(body, key)
    assert is_signature(sent)
    assert is_signed(body, sent, [key])
    changed = bytearray(body)
    changed[at % len(body)] ^= 1 << bit
    assert not is_signed(bytes(changed), sent, [key])
    assert not is_signed(body, sent, [key + "x"])


@pytest.mark.parametrize("text", REFERENCES)
def test_a_reference_is_a_name_or_an_arn_of_its_store(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize("text", NO_REFERENCES)
def test_a_malformed_reference_is_not_accepted_as_a_secret(text: str) -> None:
    assert not is_reference(text)
    with pytest.raises(ValueError, match="must hold the secret as plain text"):
        parse_secrets(text)


@given(new=words, old=words, space=st.sampled_from([" ", "\n", "\r\n", "\t", "  "]))
def test_two_words_are_two_secrets_with_any_white_space_between_them(
    new: str, old: str, space: str
) -> None:
    assert parse_secrets(f"{new}{space}{old}") == (new, old)
    assert parse_secrets(f"{new}{space}") == (new,)


def test_three_words_are_one_secret_and_an_empty_text_is_refused() -> None:
    assert parse_secrets(f"{GITHUB_SECRET}\n") == (GITHUB_SECRET,)
    for empty in ("", " ", "\n\t"):
        with pytest.raises(ValueError, match="must hold a secret"):
            parse_secrets(empty)


@pytest.mark.parametrize("name", OWN)
def test_a_services_own_secret_must_be_below_the_installations_prefix(name: str) -> None:
    assert own_reference(name, prefix="slipway") == name
    assert is_reference(name)
    with pytest.raises(InvalidInput):
        own_reference(name, prefix="slipway-dev")


@pytest.mark.parametrize("value", NOT_OWN, ids=ascii)
def test_any_other_value_is_refused_and_not_repeated(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        own_reference(value, prefix="slipway")
    assert (refused.value.code, refused.value.field) == ("invalid_webhook_secret", "webhook_secret")
    assert "hush" not in refused.value.detail


@given(st.text() | st.from_regex(r"(ssm:/|secretsmanager:)slipway/[ -~]{0,20}", fullmatch=True))
def test_an_accepted_reference_stays_below_the_prefix(value: str) -> None:
    try:
        name = own_reference(value, prefix="slipway")
    except InvalidInput:
        return
    assert name == value
    path = name.partition(":")[2].removeprefix("/").split("/")
    assert path[0] == "slipway"
    assert path[1:]
    assert all(part and not part.startswith(".") for part in path)
    assert is_reference(name)


def test_each_secret_starts_its_own_services_and_no_other() -> None:
    installations, own = Signers(installation=True), Signers(own=frozenset({"a", "b"}))
    assert [installations.may_start(each) for each in (None, "a")] == [True, False]
    assert [own.may_start(each) for each in (None, "a", "b", "c")] == [False, True, True, False]
