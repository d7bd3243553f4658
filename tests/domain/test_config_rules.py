"""The config of a service: merging changes, putting it over a definition, and what is refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.config import ConfigChanges
from chalicelib.domain.config import (
    Config,
    Overlay,
    merged,
    rebased,
    require_own_references,
    why_no_size,
)
from chalicelib.domain.definitions import fingerprint, next_task_definition
from chalicelib.domain.fields import decode
from chalicelib.domain.plan import config_changes
from chalicelib.errors import Conflict, Forbidden, InvalidInput
from infra.local.aws.ecs_definitions import why_refused
from tests.support.fields import AnInstallation

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-a1B2c3"
PARAMETER = "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/key"

names = st.sampled_from(["A", "B", "C", "D", "OWN", "OWN_SECRET"])
values = st.text("xy\n", max_size=3)
references = st.sampled_from([SECRET, PARAMETER, f"{SECRET}:key::"])
configs = st.builds(
    lambda environment, secrets, cpu: Config(
        environment={k: v for k, v in environment.items() if k not in secrets},
        secrets=secrets,
        cpu=cpu,
    ),
    st.dictionaries(names, values, max_size=4),
    st.dictionaries(names, references, max_size=3),
    st.none() | st.sampled_from([256, 512]),
)


def container(name: str, environment: dict[str, str], secrets: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": "hello:1",
        "environment": [{"name": k, "value": v} for k, v in environment.items()],
        "secrets": [{"name": k, "valueFrom": v} for k, v in secrets.items()],
    }


def definition(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"family": "hello", "containerDefinitions": list(containers), **more}


definitions = st.builds(
    lambda environment, secrets: definition(
        container("app", {k: v for k, v in environment.items() if k not in secrets}, secrets),
        container("sidecar", environment, {}),
        cpu="1024",
    ),
    st.dictionaries(names, values, max_size=4),
    st.dictionaries(names, references, max_size=3),
)


def over(config: Config, before: set[str] | frozenset[str] = frozenset()) -> Overlay:
    return Overlay(config, {"app": frozenset(before)}, ("app",))


def variables(content: dict[str, Any], name: str = "app") -> dict[str, str]:
    found = next(each for each in content["containerDefinitions"] if each["name"] == name)
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in [*found.get("environment", []), *found.get("secrets", [])]
    }


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({}, {"environment": {"A": "1"}, "cpu": 256}),
        ({"environment": {}}, {"environment": {"A": "1"}, "cpu": 256}),
        ({"environment": {"B": "2"}}, {"environment": {"A": "1", "B": "2"}, "cpu": 256}),
        ({"environment": {"A": "2"}}, {"environment": {"A": "2"}, "cpu": 256}),
        ({"environment": {"A": ""}}, {"environment": {"A": ""}, "cpu": 256}),
        ({"environment": {"A": None, "X": None}}, {"cpu": 256}),
        ({"cpu": None, "memory": 512}, {"environment": {"A": "1"}, "memory": 512}),
        ({"desired_count": 0}, {"environment": {"A": "1"}, "cpu": 256, "desired_count": 0}),
        (
            {"environment": {"A": None}, "secrets": {"A": SECRET}},
            {"secrets": {"A": SECRET}, "cpu": 256},
        ),
    ],
)
def test_a_change_is_merged_into_the_config(changes: dict[str, Any], after: dict[str, Any]) -> None:
    assert merged(Config(environment={"A": "1"}, cpu=256), changes) == Config(**after)


def as_changes(before: Config, after: Config) -> dict[str, Any]:
    """The merge patch from one config to another."""
    gone = {
        field: dict.fromkeys(getattr(before, field).keys() - getattr(after, field).keys())
        for field in ("environment", "secrets")
    }
    return {
        "environment": {**after.environment, **gone["environment"]},
        "secrets": {**after.secrets, **gone["secrets"]},
        "cpu": after.cpu,
    }


@given(before=configs, after=configs)
def test_every_config_is_reached_from_every_other_one_by_a_merge(
    before: Config, after: Config
) -> None:
    changes = as_changes(before, after)
    assert merged(before, changes) == after
    assert merged(after, changes) == after
    assert merged(before, {}) == before


@given(before=configs, after=configs, base=configs)
def test_what_changed_from_one_config_to_another_is_put_on_a_third(
    before: Config, after: Config, base: Config
) -> None:
    assert rebased(base, before=before, after=before) == base
    assert rebased(before, before=before, after=after) == after
    assert rebased(base, before=base, after=after) == after
    found = rebased(base, before=before, after=after)
    assert not found.environment.keys() & found.secrets.keys()
    for name in before.names | after.names | base.names:
        values = [
            (each.environment.get(name), each.secrets.get(name))
            for each in (before, after, base, found)
        ]
        assert values[3] == (values[2] if values[0] == values[1] else values[1])


def test_a_name_in_environment_and_in_secrets_is_refused() -> None:
    with pytest.raises(InvalidInput) as both:
        merged(Config(), {"environment": {"A": "1"}, "secrets": {"A": SECRET}})
    with pytest.raises(Conflict) as stored:
        merged(Config(secrets={"A": SECRET}), {"environment": {"A": "1"}})
    for refusal in (both.value, stored.value):
        assert refusal.code == "name_in_both"
        assert refusal.detail.startswith("A cannot be both in environment and in secrets")


def test_a_config_has_at_most_a_hundred_names_and_32_kib() -> None:
    hundred = {f"N{number}": "" for number in range(100)}
    full = merged(Config(), {"environment": hundred})
    with pytest.raises(Conflict) as refusal:
        merged(full, {"environment": {"ONE": ""}})
    assert (refusal.value.code, refusal.value.field) == ("too_many_names", "environment")
    assert len(merged(full, {"environment": {"ONE": "", "N0": None}}).environment) == 100
    large = merged(Config(), {"environment": {"A": "x" * (32 * 1024 - 1)}})
    with pytest.raises(Conflict) as refusal:
        merged(large, {"environment": {"B": ""}})
    assert refusal.value.code == "config_too_large"


def test_a_config_is_never_shown_with_its_values() -> None:
    config = Config(environment={"A": "hidden"}, secrets={"B": SECRET})
    assert repr(config) == "Config(A, B)"
    assert "hidden" not in f"{config} {[config]!r}"
    changes = config_changes(Config(), config)
    assert "hidden" not in repr(msgspec.to_builtins(changes))
    assert changes.environment.added == ("A",)


@given(content=definitions, config=configs, before=st.sets(names))
def test_a_config_replaces_its_names_and_the_owners_other_entries_stay(
    content: dict[str, Any], config: Config, before: set[str]
) -> None:
    after = over(config, before).over(content)
    owners = {
        name: value
        for name, value in variables(content).items()
        if name not in before | config.names
    }
    assert variables(after) == {**owners, **config.environment, **config.secrets}
    kept = [name for name in variables(after) if name in owners]
    assert kept == [name for name in variables(content) if name in owners]
    assert after["containerDefinitions"][1] == content["containerDefinitions"][1]
    assert after["cpu"] == (str(config.cpu) if config.cpu else "1024")
    assert "memory" not in after
    assert why_refused({**after, "executionRoleArn": "role"}) is None


@given(content=definitions, config=configs, before=st.sets(names))
def test_a_config_that_is_put_over_twice_is_as_if_once(
    content: dict[str, Any], config: Config, before: set[str]
) -> None:
    once = over(config, before).over(content)
    assert over(config, config.names).over(once) == once
    requests = [next_task_definition(each, containers=("app",), image="i") for each in (once, once)]
    assert fingerprint(requests[0]) == fingerprint(requests[1])


@given(content=definitions, first=configs, then=configs)
def test_the_way_to_a_config_does_not_change_the_variables(
    content: dict[str, Any], first: Config, then: Config
) -> None:
    """Only what the owner had under a name of the earlier config is lost."""
    on_the_way = over(then, first.names).over(over(first).over(content))
    direct = over(then).over(content)
    lost = first.names - then.names
    assert variables(on_the_way) == {
        name: value for name, value in variables(direct).items() if name not in lost
    }


def test_an_empty_config_leaves_the_definition_as_it_is() -> None:
    content = definition({"name": "app", "image": "a"}, container("x", {"A": "1"}, {}), cpu="7")
    assert over(Config()).over(content) == content
    request = next_task_definition(content, containers=("app",), image="a")
    same = next_task_definition(over(Config()).over(content), containers=("app",), image="a")
    assert same == request


def test_new_variables_come_after_those_of_the_owner_in_a_fixed_order() -> None:
    content = definition(container("app", {"Z": "owner", "B": "owner"}, {"S": SECRET}))
    config = Config(environment={"S": "plain", "C": "2", "B": "1"}, secrets={"Z": PARAMETER})
    (app,) = over(config).over(content)["containerDefinitions"]
    assert app["environment"] == [
        {"name": "B", "value": "1"},
        {"name": "C", "value": "2"},
        {"name": "S", "value": "plain"},
    ]
    assert app["secrets"] == [{"name": "Z", "valueFrom": PARAMETER}]


def test_names_are_removed_where_they_were_set_and_set_where_they_are_wanted() -> None:
    variables_of = {"A": "1", "B": "1"}
    content = definition(
        *(container(name, variables_of, {}) for name in ("app", "old", "new", "x"))
    )
    overlay = Overlay(
        Config(environment={"B": "2"}),
        {"app": frozenset({"A", "B"}), "old": frozenset({"B"})},
        ("app", "new"),
    )
    after = overlay.over(content)
    assert [variables(after, name) for name in ("app", "old", "new", "x")] == [
        {"B": "2"},
        {"A": "1"},
        {"A": "1", "B": "2"},
        {"A": "1", "B": "1"},
    ]


@pytest.mark.parametrize(
    ("cpu", "memory", "why"),
    [
        (256, 512, None),
        (256, 1024, None),
        (256, 4096, "cpu 256 and memory 4096: memory can be 512, 1024, 2048"),
        (512, 1024, None),
        (1024, 1024, "memory can be from 2048 to 8192 in steps of 1024"),
        (4096, 30_720, None),
        (8192, 17_408, "from 16384 to 61440 in steps of 4096"),
        (16_384, 122_880, None),
        (300, 512, "no tasks with cpu 300: use 256, 512, 1024"),
    ],
)
def test_fargate_has_only_some_sizes(cpu: int, memory: int, why: str | None) -> None:
    content = definition(
        container("app", {}, {}), requiresCompatibilities=["FARGATE"], cpu="256", memory="512"
    )
    after = over(Config(cpu=cpu, memory=memory)).over(content)
    found = why_no_size(after, Config(cpu=cpu, memory=memory))
    assert found is None if why is None else why in str(found)
    assert (found is None) is (why_refused(after) is None)


@given(
    cpu=st.sampled_from([128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768]),
    memory=st.integers(1, 260).map(lambda half: half * 512),
)
def test_the_sizes_are_those_that_ecs_accepts(cpu: int, memory: int) -> None:
    config = Config(cpu=cpu, memory=memory)
    content = over(config).over(definition(requiresCompatibilities=["FARGATE"]))
    assert (why_no_size(content, config) is None) is (why_refused(content) is None)


def test_a_task_has_at_least_the_memory_of_each_container() -> None:
    content = definition({**container("app", {}, {}), "memory": 128}, container("x", {}, {}))
    for memory, why in ((64, "container app has memory 128"), (128, None)):
        config = Config(memory=memory)
        after = over(config).over(content)
        found = why_no_size(after, config)
        assert found is None if why is None else why in str(found)
        assert (found is None) is (why_refused(after) is None)
    reserving = [{**container(name, {}, {}), "memoryReservation": 100} for name in ("app", "x")]
    after = over(Config(memory=199)).over(definition(*reserving))
    assert "reserve memory 200 together" in str(why_no_size(after, Config(memory=199)))
    assert why_refused(after) is not None
    owners = {**content, "memory": "64"}
    assert why_no_size(owners, Config(environment={"A": "1"})) is None


def test_a_size_that_is_the_owners_or_not_on_fargate_is_not_judged() -> None:
    """ECS has accepted the owner's size, also one that is newer than the table."""
    fargate = definition(requiresCompatibilities=["FARGATE"], cpu="32768", memory="131072")
    assert why_no_size(fargate, Config(environment={"A": "1"})) is None
    assert why_no_size(definition(cpu="300", memory="77"), Config(cpu=300, memory=77)) is None


def read(**body: Any) -> ConfigChanges:
    return decode(ConfigChanges, body, AnInstallation())


@pytest.mark.parametrize(
    "reference",
    [
        SECRET,
        f"{SECRET}:username::",
        f"{SECRET}::AWSPREVIOUS:",
        f"{SECRET}:::9d4cb84b-ad69-40c0-a0ab-cead3EXAMPLE",
        f"{SECRET}:::",
        "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:team/db",
        PARAMETER,
        "arn:aws:ssm:eu-west-1:123456789012:parameter/key",
    ],
)
def test_a_reference_is_an_arn_with_what_ecs_allows_after_it(reference: str) -> None:
    assert read(secrets={"A": reference}).secrets == {"A": reference}


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "db",
        "hunter2",
        "secretsmanager:slipway/db",
        "ssm:/slipway/db",
        f"{SECRET}:username",
        f"{SECRET}:username:",
        f"{SECRET}:a:b:c:d",
        f"{SECRET}\n",
        f"{PARAMETER}:3",
        "arn:aws:ssm:eu-west-1:123456789012:parameter//double",
        "arn:aws:s3:::bucket/env",
        "arn:aws:secretsmanager:eu-west-1:123:secret:db",
    ],
)
def test_what_is_no_reference_is_refused_without_repeating_it(reference: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read(secrets={"A": reference})
    assert refusal.value.code == "invalid_secrets"
    assert "the value of A must be the ARN" in refusal.value.detail
    assert not reference or reference not in refusal.value.detail


@pytest.mark.parametrize("name", ["AWS_REGION", "ECS_X", "_", "lower", "A" * 255])
def test_a_name_is_one_that_a_shell_can_use(name: str) -> None:
    assert read(environment={name: "x"}).environment == {name: "x"}


@pytest.mark.parametrize("value", ["", "a=b", "two\nlines\r\n", "\t", "日本 $(id)", "x" * 30_000])
def test_a_value_is_any_text(value: str) -> None:
    assert read(environment={"A": value}).environment == {"A": value}


@pytest.mark.parametrize("value", ["\0", "a\x1b[31m", "\x7f", "x" * 32 * 1024, 7, True, ["a"]])
def test_a_refused_value_is_not_repeated(value: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read(environment={"A": value})
    assert refusal.value.code == "invalid_environment"
    assert str(value)[:40] not in refusal.value.detail or len(str(value)) < 3


PATH = "slipway/task/7/"


@pytest.mark.parametrize(
    "reference",
    [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/task/7/db-a1B2c3",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/task/7/db-a1B2c3:user::",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/slipway/task/7/key",
        None,
    ],
)
def test_a_restricted_token_may_name_secrets_of_its_project(reference: str | None) -> None:
    require_own_references([reference], path=PATH, installation=AnInstallation())


@pytest.mark.parametrize(
    "reference",
    [
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/task/70/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/task/8/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other/slipway/task/7/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/7/db",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/task/7",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:slipway/task/7/db",
        "arn:aws:secretsmanager:eu-west-1:210987654321:secret:slipway/task/7/db",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/slipway/task/7/key",
        f"{SECRET}:slipway/task/7/::",
    ],
)
def test_a_restricted_token_may_name_no_other_secret(reference: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        require_own_references([None, reference], path=PATH, installation=AnInstallation())
    assert (refusal.value.code, refusal.value.field) == ("secret_not_allowed", "secrets")
