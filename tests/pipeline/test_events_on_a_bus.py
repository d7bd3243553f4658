"""Events on a bus have the published form, which only grows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern

from chalicelib.domain.telling import Event
from infra.openapi.__main__ import EVENTS, ROOT, rendered_events
from tests.support import bus
from tests.support.bus import SCHEMA
from tests.support.embedded import Cloud, client, put_image, sha

GOLDEN = Path(__file__).parent / "events.golden.json"
GUIDE = (ROOT / "docs/telling.md").read_text().partition("\n## Events on a bus\n")[2]
GUIDE = GUIDE.partition("\n## ")[0]


@pytest.fixture
def events(cloud: Cloud) -> list[dict[str, Any]]:
    """What a bus gets, to which a channel puts all events."""
    bus.received.clear()
    client("events").create_event_bus(Name="slipway-bus")
    body = {"kind": "eventbridge", "name": "bus", "target": "slipway-bus"}
    assert cloud.api.post("/v1/channels", body).status == 201
    return bus.received


def tell_all(cloud: Cloud) -> None:
    """Builds, deployments, rollbacks and a service in many states."""
    cloud.change_service(supersede_builds=True)
    cloud.api.post("/v1/channels/1/test")
    cloud.release(1)
    for number in (2, 3):
        cloud.push(sha(number), before=sha(number - 1))
    cloud.pump.deliver_tellings()
    cloud.settle()
    cloud.end_build(3, "FAILED")
    number = cloud.ask_for_build()
    cloud.api.post(f"/v1/cicd/jobs/build-{number}/cancel")
    cloud.settle()
    cloud.begin_release(5)
    cloud.fail_rollout()
    for name in ("a", "b", "c"):
        cloud.deploy(f"hello@{put_image('hello', name)}")
        cloud.pump.deliver_tellings()
    cloud.settle()
    cloud.finish_rollout()
    cloud.tick()
    cloud.settle()
    cloud.finish_rollout()
    for _ in range(2):
        cloud.roll_back()
        cloud.settle()
        cloud.finish_rollout()
    cloud.change_service(auto_deploy=False)
    cloud.settle()


def test_each_event_has_the_published_form(cloud: Cloud, events: list[dict[str, Any]]) -> None:
    tell_all(cloud)
    found = {event["detail-type"] for event in events}
    assert {
        "build.queued",
        "build.succeeded",
        "build.failed",
        "build.superseded",
        "build.cancelled",
        "deployment.started",
        "deployment.succeeded",
        "deployment.failed",
        "deployment.superseded",
        "deployment.rolled_back",
        "rollback.succeeded",
        "service.auto_deploy_paused",
        "channel.tested",
    } <= found


def test_an_event_of_a_pull_request_has_its_number(
    cloud: Cloud, events: list[dict[str, Any]]
) -> None:
    cloud.change_service(build_pull_requests=True)
    cloud.pull("opened", sha(9), pull_request__number=42)
    cloud.settle()
    cloud.finish_build(1)
    cloud.release(1)
    told = {event["detail"]["job_id"]: event["detail"]["pull_request"] for event in events}
    assert told == {"build-1": 42, "build-2": None, "deploy-1": None}


def test_the_pattern_in_the_guide_matches_only_failed_deployments(
    cloud: Cloud, events: list[dict[str, Any]]
) -> None:
    text = re.search(r"```json\n(.*?)```", GUIDE, re.S)
    assert text is not None
    pattern = text[1].replace("shop/web", "shop/hello")
    tell_all(cloud)
    rule: Any = EventPattern.load(pattern)
    matched = [event["detail-type"] for event in events if rule.matches_event(event)]
    assert matched == ["deployment.failed"]


@pytest.mark.parametrize(
    "change",
    [
        {"source": "other"},
        {"detail-type": "build.unknown"},
        {"detail-type": "service.drifted"},
        {"detail": {}},
    ],
)
def test_an_event_of_another_form_is_refused(
    cloud: Cloud, events: list[dict[str, Any]], change: dict[str, Any]
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    with pytest.raises(AssertionError, match="does not fit"):
        bus.require_valid(events[0] | change)


def test_the_schema_is_made_from_what_writes_the_events() -> None:
    stale = f"{EVENTS.name} is stale: run `make openapi` and commit it"
    assert EVENTS.read_text() == rendered_events(), stale


def test_the_schema_names_every_event_once() -> None:
    named = [
        event for form in SCHEMA["oneOf"] for event in form["properties"]["detail-type"]["enum"]
    ]
    assert sorted(named) == sorted([*Event, "channel.tested"])


def test_no_field_or_event_is_ever_removed() -> None:
    """The golden file has what was published. Add to it what is new, and remove nothing."""
    golden, present = json.loads(GOLDEN.read_text()), published()
    for name, known in golden.items():
        missing = [each for each in known if each not in present.get(name, [])]
        assert not missing, f"{name} lacks {missing}: programs read them"
    assert golden == present, f"add to {GOLDEN.name} what is new"


def published() -> dict[str, list[str]]:
    """The events, and for each form its fields with their types."""
    found: dict[str, list[str]] = {"events": []}
    for form in SCHEMA["oneOf"]:
        found["events"] += form["properties"]["detail-type"]["enum"]
    for name, form in SCHEMA["$defs"].items():
        assert set(form["required"]) == form["properties"].keys()
        found[name] = [f"{field}: {_type_of(value)}" for field, value in form["properties"].items()]
    return found


def _type_of(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(sorted(_type_of(each) for each in value["anyOf"]))
    return "string" if "enum" in value else str(value["type"])


@pytest.mark.parametrize("name", ["JobData", "ServiceData"])
def test_the_guide_has_a_row_for_each_field(name: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", GUIDE, re.M))
    for field, value in SCHEMA["$defs"][name]["properties"].items():
        meaning = value.get("description") or value["anyOf"][0].get("description")
        assert rows[field] == meaning
