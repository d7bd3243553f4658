"""The JSON schema and the parser of a field come from one type, so they accept the same values."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chalicelib.api.builds import NewBuild
from chalicelib.api.channels import ChannelChanges, NewChannel
from chalicelib.api.config import ConfigChanges
from chalicelib.api.deployments import NewApproval, NewDeployment, NewRejection, NewRollback
from chalicelib.api.http.problems import problem
from chalicelib.api.projects import NewProject, ProjectChanges
from chalicelib.api.services import NewService, ServiceChanges
from chalicelib.api.tokens import NewToken
from chalicelib.domain.fields import decode
from chalicelib.domain.images import Image, ImageRepository
from chalicelib.errors import InvalidInput
from tests.support.fields import AnInstallation, read

BODIES: list[type[msgspec.Struct]] = [
    NewService,
    ServiceChanges,
    ConfigChanges,
    NewBuild,
    NewDeployment,
    NewRollback,
    NewApproval,
    NewRejection,
    NewProject,
    ProjectChanges,
    NewToken,
    NewChannel,
    ChannelChanges,
]
REGISTRY = AnInstallation().registry
DIGEST = "sha256:" + "a" * 64
# Whole values of every field, and parts that make a value wrong or reach a limit.
PIECES = [
    *("main", "refs/heads/", "refs/tags/v1", "HEAD", "@", "@{", "0" * 40, "6" * 40, ".lock"),
    *("https://github.com/acme/app.git", "https://github.com/acme/app", ".git", ".GIT", ".."),
    *("services/web", "Dockerfile", ".", "/", "//", "-", "a" * 199, "a" * 200, "a" * 255),
    *("team/app", f"{REGISTRY}/", "localhost:5000/", "a.b/", ":main-1", f"@{DIGEST}", "_", "A"),
    *(
        "ssm:/slipway/web",
        "secretsmanager:slipway/web",
        "/git/x",
        "/build/7",
        "/webhook",
        "slipway",
    ),
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/7/shop-a1B2c3",
    "arn:aws:ssm:eu-west-1:123456789012:parameter/slipway/task/7/key",
    *(":user::", ":user"),
    *("secretsmanager:slipway/build/7/npm", "docker.io/acme/web", "NPM_TOKEN"),
    *("secretsmanager:slipway/tell/all/", "secretsmanager:slipway/tell/7/hook", "slipway-news"),
    "arn:aws:sns:eu-west-1:123456789012:slipway-news",
    *("https://shop.example", ":8443", "/app", "production", "github", "build.failed"),
    *("linux/amd64", "linux/arm64", "PATH", "LD_PRELOAD", "https_proxy", "VERSION", "1.2"),
    *("web", "Web shop", "viewer", "admin", "\n", "\0", "\x7f", " ", "é", "日本", "$(id)"),
]
texts = st.lists(st.sampled_from(PIECES), max_size=4).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=12
)
values = st.one_of(
    texts,
    st.none(),
    st.booleans(),
    st.integers(-2, 500),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number % 1 != 0),
    st.lists(texts | st.integers(), max_size=9),
    st.dictionaries(texts, texts | st.integers(), max_size=3),
)


class EveryHost(frozenset[str]):
    def __contains__(self, member: object) -> bool:
        return True


@dataclass(frozen=True)
class Field:
    """One field of a body, and its schema as the OpenAPI document has it."""

    name: str
    kind: Any
    schema: Draft202012Validator

    def parse(self, value: object) -> Any:
        return msgspec.to_builtins(read(self.kind, value, self.name, git_hosts=EveryHost()))

    def fits(self, value: object) -> bool:
        """Whether the parser accepts the form of a value.

        It may still refuse such a value for this installation, or for the size of all arguments.
        """
        try:
            self.parse(value)
        except InvalidInput as error:
            by_schema = isinstance(error.__cause__, msgspec.ValidationError)
            # msgspec writes `uniqueItems` into the schema, and a Rule checks it.
            return not (by_schema or self.name in {"platforms", "containers"})
        return True


def fields_of(body: type[msgspec.Struct]) -> list[Any]:
    _, components = msgspec.json.schema_components([body])
    properties = components[body.__name__]["properties"]
    return [
        pytest.param(
            Field(
                field.name,
                field.type,
                Draft202012Validator({**properties[field.name], "$defs": components}),
            ),
            id=f"{body.__name__}.{field.name}",
        )
        for field in msgspec.structs.fields(body)
    ]


def names_a_registry(field: Field, value: object) -> bool:
    """Whether the first part of an image repository would be read as a registry."""
    first, slash, _ = str(value).partition("/")
    return (
        field.name == "image_repository" and bool(slash) and (first == "localhost" or "." in first)
    )


every_field = pytest.mark.parametrize(
    "field", [each for body in BODIES for each in fields_of(body)]
)


@every_field
@given(value=values)
def test_the_schema_and_the_parser_accept_the_same_values(field: Field, value: object) -> None:
    assert field.schema.is_valid(value) is field.fits(value)


@every_field
@given(value=values)
def test_a_value_in_its_normal_form_stays_as_it_is(field: Field, value: object) -> None:
    try:
        normal = field.parse(value)
    except InvalidInput:
        return
    sent = list(normal) if isinstance(normal, tuple) else normal
    if names_a_registry(field, sent):
        sent = f"{REGISTRY}/{sent}"
    assert field.schema.is_valid(sent)
    assert field.parse(sent) == normal


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_every_field_of_a_body_says_what_it_means(body: type[msgspec.Struct]) -> None:
    _, components = msgspec.json.schema_components([body])
    for name, schema in components[body.__name__]["properties"].items():
        shapes = [schema, *schema.get("anyOf", [])]
        assert any(each.get("description") for each in shapes), f"{name} has no description"


WRONG: list[Any] = [None, True, 5, 0.5, "?", [], [5], ["?"], [{}], {"A": 5}, {"A": None}]


@every_field
def test_a_wrong_value_is_answered_in_words(field: Field) -> None:
    refused = []
    for value in WRONG:
        try:
            field.parse(value)
        except InvalidInput as refusal:
            refused.append(refusal.detail)
    assert refused
    # What msgspec writes: "Expected `array`, got `str`", "Invalid enum value".
    assert [detail for detail in refused if "`" in detail or "enum" in detail] == []


@pytest.mark.parametrize(
    ("body", "field", "value", "words"),
    [
        (NewService, "auto_deploy", "yes", "auto_deploy must be true or false, not a string"),
        (NewService, "build_minutes", None, "build_minutes must be a whole number, not null"),
        (NewService, "containers", "app", "containers must be a list or null, not a string"),
        (NewService, "containers", [5], "each value in containers must be a string, not a whole"),
        (NewRollback, "deployment_id", "1", "deployment_id must be a whole number, not a string"),
        (NewToken, "role", "owner", "role must be one of viewer, deployer, admin"),
        (NewToken, "role", 5, "role must be one of viewer, deployer, admin"),
    ],
)
def test_a_wrong_type_is_answered_with_the_right_one(
    body: type[msgspec.Struct], field: str, value: object, words: str
) -> None:
    kind = next(each.type for each in msgspec.structs.fields(body) if each.name == field)
    with pytest.raises(InvalidInput, match=words):
        read(kind, value, field)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_an_unknown_field_is_answered_with_all_known_ones(body: type[msgspec.Struct]) -> None:
    known = body.__struct_fields__
    wrong = f"{known[-1].replace('_', '')}s"
    with pytest.raises(InvalidInput) as refused:
        decode(body, {wrong: 1}, AnInstallation())
    assert (refused.value.code, refused.value.field) == ("unknown_field", wrong)
    shown = problem(refused.value, request_id="r").body
    assert f"did you mean {known[-1]}?" in shown
    assert f"{', '.join(known)}." in shown
    with pytest.raises(InvalidInput) as refused:
        decode(body, {"zzz": 1}, AnInstallation())
    assert "did you mean" not in refused.value.detail


@pytest.mark.parametrize(
    ("kind", "longest", "longer"),
    [
        (Image, f"app:{'b' * 128}", f"app:{'b' * 129}"),
        (Image, f"{'a' * 255}@{DIGEST}", f"{'a' * 256}@{DIGEST}"),
        (
            Image,
            f"{'h' * 290}:5000/{'a' * 255}:{'b' * 126}@{DIGEST}",
            f"{'h' * 291}:5000/{'a' * 255}:{'b' * 126}@{DIGEST}",
        ),
        (ImageRepository, "a" * 255, "a" * 256),
        (ImageRepository, f"{REGISTRY}/{'a' * 255}", f"{REGISTRY}/{'a' * 256}"),
    ],
)
def test_the_longest_image_is_accepted_and_one_character_more_is_refused(
    kind: Any, longest: str, longer: str
) -> None:
    field = Field("image", kind, Draft202012Validator(msgspec.json.schema(kind)))
    assert field.parse(longest) == longest.removeprefix(f"{REGISTRY}/")
    assert field.schema.is_valid(longest)
    assert not field.fits(longer)
    assert not field.schema.is_valid(longer)
