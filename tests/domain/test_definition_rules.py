"""The next task definition differs from the described one only in the image."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import StructureShape
from botocore.session import get_session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.definitions import fingerprint, left_behind, next_task_definition
from chalicelib.errors import Rejected

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello@sha256:" + "b" * 64

READ_ONLY: dict[str, Any] = {
    "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/hello:7",
    "revision": 7,
    "status": "ACTIVE",
    "requiresAttributes": [{"name": "ecs.capability.task-eni"}],
    "compatibilities": ["EC2", "FARGATE"],
    "registeredAt": datetime(2026, 11, 22, tzinfo=UTC),
    "registeredBy": "arn:aws:iam::123456789012:user/ops",
    "deregisteredAt": datetime(2026, 11, 22, tzinfo=UTC),
    "deleteRequestedAt": datetime(2026, 11, 22, tzinfo=UTC),
}

APP: dict[str, Any] = {
    "name": "app",
    "image": "hello:1",
    "cpu": 0,
    "essential": True,
    "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
    "environment": [],
    "secrets": [{"name": "TOKEN", "valueFrom": "arn:aws:ssm:eu-west-1:123456789012:parameter/t"}],
}
SIDECAR: dict[str, Any] = {"name": "sidecar", "image": "proxy:1", "essential": False}

CURRENT: dict[str, Any] = {
    **READ_ONLY,
    "family": "hello",
    "taskRoleArn": "arn:aws:iam::123456789012:role/hello",
    "networkMode": "awsvpc",
    "containerDefinitions": [APP, SIDECAR],
    "volumes": [],
    "placementConstraints": [],
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "runtimePlatform": {"cpuArchitecture": "X86_64"},
    "enableFaultInjection": False,
}

NAMES = st.text("abc", min_size=1, max_size=3)
JSON = st.recursive(
    st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "image": st.text()}, optional={"other": JSON}),
    min_size=1,
    max_size=4,
    unique_by=lambda container: str(container["name"]),
)


def ecs_structure(name: str) -> StructureShape:
    shape = get_session().get_service_model("ecs").shape_for(name)
    assert isinstance(shape, StructureShape)
    return shape


def test_the_next_definition_has_the_new_image_and_no_read_only_fields() -> None:
    assert next_task_definition(CURRENT, containers=["app"], image=IMAGE) == {
        "family": "hello",
        "taskRoleArn": "arn:aws:iam::123456789012:role/hello",
        "networkMode": "awsvpc",
        "containerDefinitions": [{**APP, "image": IMAGE}, SIDECAR],
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "runtimePlatform": {"cpuArchitecture": "X86_64"},
        "enableFaultInjection": False,
    }


def test_the_dropped_fields_are_those_that_cannot_be_registered() -> None:
    described = ecs_structure("TaskDefinition")
    registered = ecs_structure("RegisterTaskDefinitionRequest")
    assert READ_ONLY.keys() == described.members.keys() - registered.members.keys()
    request = next_task_definition(
        CURRENT, containers=["app"], image=IMAGE, tags=[{"key": "team", "value": "a"}]
    )
    assert ParamValidator().validate(request, registered).generate_report() == ""


def test_tags_are_kept_except_those_that_only_aws_may_write() -> None:
    request = next_task_definition(
        CURRENT,
        containers=["app"],
        image=IMAGE,
        tags=[
            {"key": "team", "value": "a"},
            {"key": "aws:cloudformation:stack-name", "value": "b"},
            {"key": "empty", "value": ""},
        ],
    )
    assert request["tags"] == [{"key": "team", "value": "a"}, {"key": "empty", "value": ""}]


def test_a_request_without_remaining_tags_has_no_tags() -> None:
    tags = [{"key": "AWS:x", "value": "b"}]
    assert "tags" not in next_task_definition(CURRENT, containers=["app"], image=IMAGE, tags=tags)


def test_the_error_for_an_unknown_container_lists_the_containers() -> None:
    with pytest.raises(Rejected, match="hello has no container web; it has: app, sidecar") as error:
        next_task_definition(CURRENT, containers=["web"], image=IMAGE)
    assert error.value.code == "container_not_found"


def test_the_error_names_all_missing_containers() -> None:
    with pytest.raises(Rejected, match="has no containers web, job; it has: app, sidecar"):
        next_task_definition(CURRENT, containers=["web", "app", "job"], image=IMAGE)


@pytest.mark.parametrize(
    "image",
    [
        "r:5000/hello",
        "r:5000/hello:1",
        f"r:5000/hello@sha256:{'1' * 64}",
        f"r:5000/hello:1@sha256:{'1' * 64}",
    ],
)
def test_containers_with_an_image_of_the_repository_are_left_behind(image: str) -> None:
    definition = {"containerDefinitions": [APP, {"name": "migrate", "image": image}]}
    assert left_behind(definition, ["app"], repository="r:5000/hello") == ["migrate"]
    assert left_behind(definition, ["app", "migrate"], repository="r:5000/hello") == []
    assert left_behind(definition, ["app"], repository="r:5000/hell") == []


@given(containers=CONTAINERS, extra=st.dictionaries(NAMES, JSON, max_size=3), data=st.data())
def test_only_the_images_of_the_chosen_containers_change(
    containers: list[dict[str, Any]], extra: dict[str, Any], data: st.DataObject
) -> None:
    names = st.sampled_from([each["name"] for each in containers])
    chosen = data.draw(st.lists(names, min_size=1, unique=True))
    current = {**READ_ONLY, **extra, "family": "hello", "containerDefinitions": containers}
    before = copy.deepcopy(current)
    request = next_task_definition(current, containers=chosen, image=IMAGE)
    assert current == before
    images = {each["name"]: each["image"] for each in request["containerDefinitions"]}
    assert {images[name] for name in chosen} == {IMAGE}
    assert not READ_ONLY.keys() & request.keys()
    for old, new in zip(containers, request["containerDefinitions"], strict=True):
        assert new == (old if old["name"] not in chosen else {**old, "image": IMAGE})
    for key, value in extra.items():
        assert request.get(key, value) == value
        assert key in request or value in ("", [], {})


def test_a_fingerprint_does_not_depend_on_tags_or_the_order_of_keys() -> None:
    plain = next_task_definition(CURRENT, containers=["app"], image=IMAGE)
    tagged = {"tags": [{"key": "team", "value": "a"}], **dict(reversed(plain.items()))}
    assert fingerprint(tagged) == fingerprint(plain)


def test_a_fingerprint_changes_with_the_image() -> None:
    one = next_task_definition(CURRENT, containers=["app"], image=IMAGE)
    other = next_task_definition(CURRENT, containers=["app"], image="hello:1")
    assert fingerprint(one) != fingerprint(other)


def test_a_registered_definition_keeps_its_fingerprint() -> None:
    request = next_task_definition(CURRENT, containers=["app"], image=IMAGE)
    described = {**READ_ONLY, **request, "revision": 8, "volumes": [], "placementConstraints": []}
    again = next_task_definition(described, containers=["app"], image=IMAGE)
    assert fingerprint(again) == fingerprint(request)
