"""ARNs that a project may use as its git credential."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.credentials import GitCredential
from chalicelib.errors import InvalidInput
from tests.support.fields import read


def parse_git_credential(value: object) -> str:
    return str(read(GitCredential, value, "git_credential"))


ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/shop-a1B2c3"


@pytest.mark.parametrize(
    "arn",
    [
        ARN,
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:slipway/git/shop-a1B2c3",
        "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:slipway/git/a_b+c=d.e@f-a1B2c3",
    ],
)
def test_the_arn_of_a_secret_below_slipway_git_is_accepted(arn: str) -> None:
    assert parse_git_credential(arn) == arn


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "slipway/git/shop",
        ARN.replace("slipway/git/shop", "slipway/git"),
        ARN.replace("slipway/git/shop", "slipway/shop"),
        ARN.replace("shop-a1B2c3", ""),
        ARN.replace("slipway/", "slipway-dev/"),
        f"{ARN}:password",
        f"{ARN}::AWSPREVIOUS:",
        f"{ARN}*",
        f"{ARN}?",
        f"{ARN}\n",
        f" {ARN}",
        ARN + "x" * 512,
        ARN.replace("secretsmanager", "ssm"),
        ARN.replace("123456789012", "12345678901"),
        ARN.replace("123456789012", "\N{FULLWIDTH DIGIT ONE}" * 12),
        ARN.replace("eu-west-1", "*"),
        ARN.replace("eu-west-1", ""),
        ARN.replace("shop", "$(id)"),
    ],
)
def test_any_other_value_is_refused_and_not_repeated(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_git_credential(value)
    assert (refused.value.code, refused.value.field) == ("invalid_git_credential", "git_credential")
    assert not isinstance(value, str) or len(value) < 8 or value not in refused.value.detail


@given(st.text())
def test_text_after_the_arn_is_part_of_the_name_or_refused(text: str) -> None:
    try:
        parsed = parse_git_credential(ARN + text)
    except InvalidInput:
        return
    assert parsed == ARN + text
    assert parsed.count(":") == ARN.count(":")
    assert parsed.isascii()
    assert not set(parsed) & set("*?$ \n\"'")
