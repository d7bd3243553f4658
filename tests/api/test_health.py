"""The public routes about the API itself, and the badges of services."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chalicelib.api import about
from chalicelib.aws.clients import client
from chalicelib.domain.badges import Badge, State
from chalicelib.domain.health import Health
from chalicelib.store.models import Service
from chalicelib.store.writes import change, commit
from infra import package
from infra.package import EXAMPLE, ROOT, write_application
from tests.support.client import Answer, Api
from tests.support.embedded import CLUSTER, MINUTE, Cloud, register, run_on_ecs
from tests.support.environment import QUEUE
from tests.support.sdk import Calls, Trouble

ANYONE: dict[str, str | None] = {"Authorization": None}


def test_health_names_the_version_and_the_commit_without_a_call(api: Api, calls: Calls) -> None:
    answer = api.get("/v1/health", headers=ANYONE)
    assert answer.status == 200
    assert answer.body == {
        "status": "ok",
        "version": about.VERSION,
        "commit": "unknown",
        "simulated": False,
    }
    assert calls.counted == {}


def test_a_package_names_the_commit_that_it_was_made_from(tmp_path: Path) -> None:
    write_application(tmp_path / "application", EXAMPLE)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    written = (tmp_path / "application/chalicelib/commit").read_text()
    assert written.removesuffix("-dirty") == head


def test_a_package_made_outside_a_clone_names_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert package.commit() is None
    write_application(tmp_path / "application", EXAMPLE)
    assert not (tmp_path / "application/chalicelib/commit").exists()


def test_the_api_is_ready_if_the_tables_and_the_queue_answer(api: Api) -> None:
    answer = api.get("/v1/ready", headers=ANYONE)
    ready = {"status": "ready", "checks": {"table": "ok", "queue": "ok"}}
    assert (answer.status, answer.body) == (200, ready)


def test_the_api_is_not_ready_without_its_queue(api: Api) -> None:
    url = client("sqs").get_queue_url(QueueName=QUEUE)["QueueUrl"]
    client("sqs").delete_queue(QueueUrl=url)
    answer = api.get("/v1/ready", headers=ANYONE)
    assert (answer.status, answer.body["status"]) == (503, "not_ready")
    assert answer.body["checks"] == {"table": "ok", "queue": "failed"}


def test_the_api_is_not_ready_without_its_tables(api: Api) -> None:
    Service.delete_table()
    answer = api.get("/v1/ready", headers=ANYONE)
    assert (answer.status, answer.body["checks"]) == (503, {"table": "failed", "queue": "ok"})
    assert "slipway-services" not in answer.text


def badge(cloud: Cloud) -> Answer:
    return cloud.api.get(f"/v1/services/{cloud.service_id}/badge.svg", headers=ANYONE)


def shown(cloud: Cloud) -> str:
    answer = badge(cloud)
    assert answer.status == 200
    title = ElementTree.fromstring(answer.text).find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    return title.text or ""


def test_a_badge_is_hidden_like_a_missing_service_unless_the_service_shows_it(
    cloud: Cloud,
) -> None:
    hidden = badge(cloud)
    missing = cloud.api.get("/v1/services/77/badge.svg", headers=ANYONE)
    assert hidden.status == missing.status == 404
    assert hidden.body["detail"] == missing.body["detail"].replace("77", str(cloud.service_id))
    cloud.change_service(badge=True)
    answer = badge(cloud)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "public, max-age=60"
    cloud.change_service(badge=False)
    assert badge(cloud).status == 404


def test_a_badge_shows_what_the_service_does(cloud: Cloud) -> None:
    cloud.change_service(badge=True)
    assert shown(cloud) == "hello: not deployed"
    cloud.release(1)
    assert shown(cloud) == "hello: running"
    cloud.begin_release(2)
    assert shown(cloud) == "hello: deploying"
    cloud.fail_rollout()
    assert shown(cloud) == "hello: deployment failed"
    row = Service.get(cloud.service_id)
    row.update(
        actions=[Service.health.set(Health(running=1, desired=2, since=1, why=None, reported=True))]
    )
    assert shown(cloud) == "hello: degraded"


def test_a_badge_shows_that_ecs_does_not_run_the_release(cloud: Cloud) -> None:
    cloud.change_service(badge=True)
    cloud.release(1)
    cloud.advance(MINUTE)
    run_on_ecs(register("hello", "hello:outside"))
    cloud.finish_rollout()
    cloud.tick()
    assert cloud.service()["drift"] is not None
    assert shown(cloud) == "hello: needs attention"


def test_a_badge_shows_that_the_ecs_service_is_gone(cloud: Cloud) -> None:
    cloud.change_service(badge=True)
    cloud.release(1)
    client("ecs").delete_service(cluster=CLUSTER, service="hello", force=True)
    cloud.advance(2 * 3600)
    cloud.tick()
    assert shown(cloud) == "hello: needs attention"


def test_a_badge_shows_that_an_operator_should_act(cloud: Cloud) -> None:
    cloud.change_service(badge=True)
    cloud.release(1)
    commit(change(Service.get(cloud.service_id), attention="the wake-up failed five times"))
    assert shown(cloud) == "hello: needs attention"


def test_a_badge_shows_a_failure_until_the_next_success(cloud: Cloud) -> None:
    cloud.change_service(badge=True)
    cloud.release(1)
    cloud.begin_release(2)
    cloud.fail_rollout()
    again = cloud.deploy_build(1)
    cloud.api.post(f"/v1/cicd/jobs/deploy-{again}/cancel")
    cloud.settle()
    assert shown(cloud) == "hello: deployment failed"


def test_the_badge_of_a_deleted_service_is_gone(cloud: Cloud) -> None:
    number = cloud.add_service("other", branch="spare", badge=True)
    assert cloud.api.get(f"/v1/services/{number}/badge.svg").status == 200
    assert cloud.api.request("DELETE", f"/v1/services/{number}").status == 204
    assert cloud.api.get(f"/v1/services/{number}/badge.svg").status == 404


@pytest.mark.parametrize(("number", "status"), [("x", 400), ("0", 404), ("9" * 30, 404)])
def test_a_badge_of_a_wrong_number_is_refused(cloud: Cloud, number: str, status: int) -> None:
    answer = cloud.api.get(f"/v1/services/{number}/badge.svg", headers=ANYONE)
    assert answer.status == status


def test_hostile_text_in_a_badge_is_only_text() -> None:
    svg = Badge('"><script>alert(1)</script>&', State.RUNNING).svg
    root = ElementTree.fromstring(svg)
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {
        "svg",
        "title",
        "rect",
        "g",
        "text",
    }


def test_the_database_does_not_answer_a_badge(cloud: Cloud, trouble: Trouble) -> None:
    cloud.change_service(badge=True)
    trouble.lose_answers("dynamodb.GetItem")
    assert badge(cloud).status == 503
