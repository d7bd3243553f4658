"""Secrets that a project's builds may use."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.credentials import (
    BuildSecrets,
    Destinations,
    GitCredential,
    build_path,
    git_path,
    is_below,
)
from chalicelib.errors import InvalidInput
from tests.support.fields import AnInstallation, read

REGISTRY = AnInstallation().registry


def parse_git_credential(value: object) -> str:
    return str(read(GitCredential, value, "git_credential"))


ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/7/shop-a1B2c3"


@pytest.mark.parametrize(
    "arn",
    [
        ARN,
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:slipway/git/7/shop-a1B2c3",
        "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:slipway/git/7/a_b+c=d.e@f-a1B2c3",
    ],
)
def test_the_arn_of_a_secret_below_the_path_of_a_project_is_accepted(arn: str) -> None:
    assert parse_git_credential(arn) == arn


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "slipway/git/shop",
        ARN.replace("7/shop", "shop"),
        ARN.replace("7/", "0/"),
        ARN.replace("7/", ""),
        ARN.replace("slipway/git/7/shop", "slipway/shop"),
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


NPM = "secretsmanager:slipway/build/7/npm"


@pytest.mark.parametrize("kind", [BuildSecrets, Destinations])
@pytest.mark.parametrize(
    "reference",
    [
        "hunter2",
        "slipway/build/7/npm",
        "secretsmanager:slipway/git/7/npm",
        "secretsmanager:slipway/build/npm",
        "secretsmanager:slipway/build/0/npm",
        "secretsmanager:slipway-prod/build/7/npm",
        "secretsmanager:slipway/build/7/",
        "secretsmanager:slipway/build/7/a b",
        "secretsmanager:slipway/build/7/a\n",
        "secretsmanager:slipway/build/7/a:key",
        "ssm:/slipway/build/7/npm",
        7,
        None,
    ],
)
def test_a_value_that_is_no_secret_of_a_project_is_refused_and_not_repeated(
    kind: Any, reference: object
) -> None:
    name = "NPM" if kind is BuildSecrets else "docker.io/acme/web"
    with pytest.raises(InvalidInput) as refused:
        read(kind, {name: reference}, "field")
    assert "hunter2" not in refused.value.detail
    assert read(kind, {name: NPM}, "field") == {name: NPM}


@pytest.mark.parametrize(
    "name", ["", "a b", "-x", "a,src=/etc/passwd", "a=b", "x" * 65, "é", "a\n"]
)
def test_a_build_secret_has_a_name_that_docker_reads_as_one_word(name: str) -> None:
    with pytest.raises(InvalidInput):
        read(BuildSecrets, {name: NPM}, "secrets")


@pytest.mark.parametrize(
    "image",
    [
        "acme/web",
        "docker.io/acme/web:v1",
        "docker.io",
        "docker.io/",
        "https://docker.io/a",
        "a.b/-x",
    ],
)
def test_a_copy_goes_to_a_repository_with_its_registry_and_without_a_tag(image: str) -> None:
    with pytest.raises(InvalidInput):
        read(Destinations, {image: NPM}, "also_push_to")


@pytest.mark.parametrize("host", [REGISTRY, REGISTRY.upper()])
def test_a_copy_goes_to_another_registry_than_the_installations(host: str) -> None:
    """A second login to the same registry would replace that of the build."""
    with pytest.raises(InvalidInput) as refused:
        read(Destinations, {f"{host}/team/web": NPM}, "also_push_to")
    assert (refused.value.code, refused.value.field) == ("invalid_also_push_to", "also_push_to")
    assert f"each build pushes to {REGISTRY} already" in refused.value.detail
    other = {f"{REGISTRY.replace('eu-west-1', 'us-east-1')}/team/web": NPM}
    assert read(Destinations, other, "also_push_to") == other


def test_a_secret_belongs_to_one_project() -> None:
    assert is_below(build_path("slipway", 7), NPM)
    assert is_below(git_path("slipway", 7), ARN)
    for project in (1, 77, 6):
        assert not is_below(build_path("slipway", project), NPM)
        assert not is_below(git_path("slipway", project), ARN)
    assert not is_below(build_path("slip", 7), NPM)
