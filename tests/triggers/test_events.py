"""EventBridge's events: only those about Slipway's own builds and services have an effect."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.triggers.events import row_id_of
from tests.support.embedded import Cloud, put_image, sha
from tests.support.events import codebuild_event, ecs_event, task_event
from tests.support.sdk import Calls


@pytest.mark.parametrize("kind", ["State", "Phase"])
def test_an_event_of_slipways_codebuild_project_names_the_build_by_its_log_stream(
    kind: str,
) -> None:
    assert row_id_of(codebuild_event(kind, stream="build-42/8745a7a9-c340")) == "build-42"


@pytest.mark.parametrize(
    "stream", [None, "", "8745a7a9", "build-42", "build-/x", "deploy-1/x", "build-1x/x", 7]
)
def test_an_event_with_an_unknown_log_stream_is_ignored(stream: Any) -> None:
    assert row_id_of(codebuild_event("State", stream=stream)) is None


def test_a_codebuild_event_advances_the_build(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    build = cloud.build(1)
    cloud.finish_build(1, settle=False)
    cloud.lose_events()
    cloud.hear(codebuild_event("State", stream=build["log_path"].partition("builds/")[2]))
    assert cloud.build(1)["status"] == "success"


def test_an_ecs_event_advances_only_its_own_service(cloud: Cloud) -> None:
    cloud.deploy(f"hello@{put_image('hello', 'x')}")
    cloud.settle()
    cloud.finish_rollout(settle=False)
    cloud.lose_events()
    cloud.hear(ecs_event("somebody-elses"))
    cloud.hear(ecs_event("hello", cluster="another"))
    assert cloud.statuses(1) == ["deploying"]
    cloud.hear(ecs_event("hello"))
    assert cloud.statuses(1) == ["success"]


def test_an_event_of_a_release_command_names_its_deployment() -> None:
    assert row_id_of(task_event("slipway/slipway-deploy-12")) == "deploy-12"


@pytest.mark.parametrize(
    "started_by",
    [
        "ecs-svc/0123456789",
        "slipway/other-deploy-12",
        "slipway/slipway-build-12",
        "slipway/slipway-deploy-",
        "slipway/slipway-deploy-1\n",
        "slipway-deploy-12",
        "",
        None,
        7,
    ],
)
def test_an_event_of_another_task_is_ignored(started_by: Any) -> None:
    assert row_id_of(task_event(started_by)) is None


def test_an_event_of_a_missing_deployment_has_no_effect(cloud: Cloud) -> None:
    cloud.hear(task_event("slipway/slipway-deploy-999"))


def test_events_about_other_resources_cost_at_most_one_read(cloud: Cloud, calls: Calls) -> None:
    calls.clear()
    cloud.hear(codebuild_event("State", project="somebody-elses"))
    assert calls.counted == {}
    cloud.hear(codebuild_event("State", stream="build-999/8745a7a9"))
    cloud.hear(ecs_event("somebody-elses"))
    assert calls.counted == {"dynamodb.GetItem": 2}


@pytest.mark.parametrize("name", ["x" * 3000, "x" * 256, "a.b", "ä", "\ud800"])
def test_an_event_with_an_impossible_service_name_reads_no_row(
    cloud: Cloud, calls: Calls, name: str
) -> None:
    """DynamoDB refuses keys of more than 2,048 bytes ("Constraints in Amazon DynamoDB")."""
    calls.clear()
    cloud.hear(ecs_event(name))
    cloud.hear(ecs_event("hello", cluster=name))
    assert calls.counted == {}


EVENTS = [
    codebuild_event("State"),
    codebuild_event("Phase"),
    ecs_event("somebody-elses"),
    task_event("slipway/slipway-deploy-999"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@st.composite
def events_with_a_change(draw: st.DrawFn) -> tuple[dict[str, Any], list[str], Any]:
    """An event, the path to one of its values, and a new value for it."""
    event = copy.deepcopy(draw(st.sampled_from(EVENTS)))
    path: list[str] = []
    value: Any = event
    while isinstance(value, dict) and value and (not path or draw(st.booleans())):
        path.append(draw(st.sampled_from(sorted(value))))
        value = value[path[-1]]
    return event, path, draw(JSON)


@given(events_with_a_change())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_form_of_an_event_breaks_the_handler(
    cloud: Cloud, changed: tuple[dict[str, Any], list[str], Any]
) -> None:
    event, path, value = changed
    parent: Any = event
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    assert row_id_of(event) in {None, "build-1", "deploy-999"}
