"""All tables go back to an earlier time, as docs/operate.md describes. The rest of AWS does not."""

import copy
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.store.models import Claim
from tests.support.embedded import Cloud, sha

TABLES = {
    "projects",
    "services",
    "jobs",
    "claims",
    "tokens",
    "channels",
    "receipts",
    "history",
    "rollups",
}


def tables() -> dict[str, Any]:
    found: dict[str, Any] = dynamodb_backends["123456789012"]["eu-west-1"].tables
    assert {name.partition("-")[2] for name in found} == TABLES
    return found


@pytest.fixture
def restored(cloud: Cloud) -> Cloud:
    """The rows are those of release 1. Since then release 2 was made, and a push is building."""
    cloud.release(1)
    kept = {name: copy.deepcopy(table.items) for name, table in tables().items()}
    cloud.advance(3600)
    cloud.release(2)
    cloud.push(sha(3))
    cloud.settle()
    runs = cloud.image_on_ecs()
    for name, table in tables().items():
        table.items = kept[name]
    for _ in range(15):
        cloud.advance(60)
        cloud.tick()
        cloud.settle()
    assert cloud.image_on_ecs() == runs
    return cloud


def test_a_release_after_that_time_keeps_running_and_is_shown_as_drift(restored: Cloud) -> None:
    service = restored.service()
    assert service["current_deployment_id"] == 1
    assert service["active_deployment_id"] is None
    assert "which was chosen outside Slipway" in service["drift"]
    assert "changed outside Slipway" in service["auto_deploy_paused"]


def test_numbers_are_used_again_unless_the_counter_is_raised(restored: Cloud) -> None:
    assert restored.ask_for_build() == 2
    counter = Claim.get("counter:builds")
    counter.update(actions=[Claim.value.set(3)])
    assert restored.ask_for_build() == 4
