"""Stored settings of an older version mean what they meant."""

from typing import Any

import boto3
import pytest

from chalicelib.domain import service_settings
from chalicelib.store.models import Service
from chalicelib.store.writes import change, commit
from tests.faults.rows import builds, services
from tests.support.embedded import Cloud
from tests.support.sdk import Calls


def store_as_before(cloud: Cloud, context_path: str, dockerfile: str) -> None:
    """Write a service's settings as the version wrote them whose Dockerfiles lay in contexts."""
    boto3.client("dynamodb", region_name="eu-west-1").update_item(
        TableName="slipway-services",
        Key={"id": {"N": str(cloud.service_id)}},
        UpdateExpression="SET #s.context_path = :c, #s.dockerfile = :d REMOVE #s.layout",
        ExpressionAttributeNames={"#s": "settings"},
        ExpressionAttributeValues={":c": {"S": context_path}, ":d": {"S": dockerfile}},
    )


@pytest.mark.parametrize(
    ("context_path", "dockerfile", "now"),
    [
        (".", "Dockerfile", "Dockerfile"),
        (".", "docker/web.Dockerfile", "docker/web.Dockerfile"),
        ("worker", "Dockerfile", "worker/Dockerfile"),
        ("services/web", "docker/Dockerfile", "services/web/docker/Dockerfile"),
    ],
)
def test_the_dockerfile_of_an_older_service_stays_the_same_file(
    cloud: Cloud, calls: Calls, context_path: str, dockerfile: str, now: str
) -> None:
    store_as_before(cloud, context_path, dockerfile)
    assert cloud.service()["dockerfile"] == now
    cloud.ask_for_build()
    cloud.settle()
    (request,) = calls.to("codebuild.StartBuild")
    sent: dict[str, Any] = {v["name"]: v["value"] for v in request["environmentVariablesOverride"]}
    assert (sent["CONTEXT_PATH"], sent["DOCKERFILE"]) == (context_path, now)
    cloud.change_service(build_minutes=31)
    assert cloud.service()["dockerfile"] == now


def test_a_dockerfile_that_was_the_contexts_own_follows_the_context(cloud: Cloud) -> None:
    store_as_before(cloud, "worker", "Dockerfile")
    cloud.change_service(context_path="web")
    assert cloud.service()["dockerfile"] == "web/Dockerfile"


def test_a_row_has_the_present_layout_after_its_next_change(cloud: Cloud) -> None:
    store_as_before(cloud, "worker", "docker/Dockerfile")
    row = Service.get(cloud.service_id)
    commit(change(row, settings=row.settings))
    again = Service.get(cloud.service_id).settings
    assert again.dockerfile_path == "worker/docker/Dockerfile"


def test_rows_keep_only_the_settings_that_are_not_the_usual_ones(cloud: Cloud) -> None:
    number = cloud.add_service("other", branch="other", lfs=True, build_minutes=45)
    own = services()[number]["settings"]
    assert own.keys() & service_settings.LEFT_OUT.keys() == {"lfs", "build_minutes", "auto_deploy"}
    shown = cloud.api.get(f"/v1/services/{number}").body
    assert (shown["lfs"], shown["build_minutes"], shown["history"]) == (True, 45, False)
    build = cloud.ask_for_build()
    assert builds()[build]["settings"].keys() == {"git_url", "layout"}


def test_a_changed_default_changes_no_stored_settings(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the default had been 45 when this value was left out, and were 30 now."""
    monkeypatch.setitem(service_settings.LEFT_OUT, "build_minutes", 45)
    earlier = service_settings.earlier_defaults(service_settings.ServiceSettings)
    assert earlier == {"build_minutes": 45}
    monkeypatch.setattr(Service.settings, "_earlier", earlier)
    assert cloud.service()["build_minutes"] == 45, "its row was written without a value"
    later = cloud.add_service("other", branch="other")
    assert cloud.api.get(f"/v1/services/{later}").body["build_minutes"] == 30
    cloud.change_service(build_minutes=45)
    assert cloud.service()["build_minutes"] == 45


def test_the_values_that_are_left_out_are_those_of_the_first_version_that_did() -> None:
    """Changing one would change the settings of stored services and builds.

    Those of a new setting belong to the first version that has it.
    """
    assert service_settings.LEFT_OUT == {
        "context_path": ".",
        "platforms": ("linux/amd64",),
        "build_args": {},
        "secrets": {},
        "submodules": False,
        "lfs": False,
        "history": False,
        "provenance": True,
        "sbom": True,
        "also_push_to": {},
        "also_push_required": False,
        "queued_minutes": 60,
        "build_minutes": 30,
        "auto_build": True,
        "paths": (),
        "tags": (),
        "auto_deploy": False,
        "max_open_builds": 20,
        "supersede_builds": True,
        "deploy_minutes": 20,
        "release_command_minutes": 15,
        "approval": False,
        "approval_minutes": 1440,
        "approve_own": False,
        "badge": False,
    }
