"""Several services of one image: a service deploys what another service builds (`image_from`)."""

from typing import Any

import pytest

from chalicelib.domain.service_settings import OF_SOURCE, ServiceSettings
from chalicelib.pipeline.commands.image_sources import MAX_DEPENDENTS
from chalicelib.store.services import get_service
from tests.support.client import Api
from tests.support.embedded import (
    CLUSTER,
    REPOSITORY,
    Cloud,
    create_ecs_service,
    create_image_repository,
    keep_secret,
    sha,
)
from tests.support.sdk import Calls

SOURCE = "https://github.com/acme/other.git"


def body_of(cloud: Cloud, name: str, **settings: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image_from": cloud.service_id,
        "ecs_cluster": CLUSTER,
        "ecs_service": name,
        "containers": ["app"],
        "auto_deploy": True,
        **settings,
    }


@pytest.fixture
def worker(cloud: Cloud) -> int:
    return cloud.add_dependent("worker")


def patch(cloud: Cloud, number: int, **changes: Any) -> Any:
    return cloud.api.patch(f"/v1/services/{number}", changes)


def changed(cloud: Cloud, number: int, **changes: Any) -> Any:
    answer = patch(cloud, number, **changes)
    assert answer.status == 200, answer.text
    return answer.body


def deploy(cloud: Cloud, number: int, image: str) -> Any:
    return cloud.api.post(f"/v1/cicd/services/{number}/deploy", {"image_tag": image})


def refusal(answer: Any) -> tuple[int, str, str]:
    return answer.status, answer.body["code"], answer.body.get("field", "")


def finish_rollouts(cloud: Cloud, *names: str) -> None:
    for name in names:
        cloud.finish_rollout(name, settle=False)
    cloud.settle()


def release(cloud: Cloud, number: int) -> Any:
    """Push and build commit `number`, and end the rollouts that follow; return the build."""
    build = cloud.begin_release(number)
    finish_rollouts(cloud, "hello", "worker")
    return cloud.build(build)


def own(build: Any, service: int) -> tuple[int | None, str | None]:
    """The deployment of a dependent that a build led to, or the reason why there is none."""
    (entry,) = (each for each in build["dependents"] if each["service_id"] == service)
    return entry["deployment_id"], entry["not_deployed"]


def test_one_build_of_a_push_is_deployed_to_all_its_services(cloud: Cloud, worker: int) -> None:
    job = cloud.add_dependent("job")
    build = release(cloud, 1)
    finish_rollouts(cloud, "job")
    assert len(cloud.builds_in_codebuild()) == 1
    numbers = [build["deployment_id"], own(build, worker)[0], own(build, job)[0]]
    assert len(set(numbers)) == 3
    for number, service in zip(numbers, (cloud.service_id, worker, job), strict=True):
        found = cloud.deployment(number)
        assert (found["status"], found["service_id"]) == ("success", service)
        assert (found["build_id"], found["commit_sha"]) == (build["id"], build["commit_sha"])
        assert (found["trigger"], found["requested_by"]) == ("push", build["requested_by"])
        assert found["image_digest"] == build["image_digest"]
    assert cloud.image_on_ecs("worker") == cloud.image_on_ecs("job") == cloud.image_on_ecs("hello")


def test_a_service_of_other_images_has_no_builds_of_its_own(cloud: Cloud, worker: int) -> None:
    shown = cloud.service(worker)
    assert shown["image_from"] == cloud.service_id
    assert shown["git_url"] == cloud.service()["git_url"]
    assert (shown["image_repository"], shown["branch"]) == ("hello", "main")
    for branch in ("main", "master"):
        answer = cloud.push(sha(1), branch=branch)
        started = [each["service_id"] for each in answer.body.get("builds", ())]
        assert started == ([cloud.service_id] if branch == "master" else [])
    asked = cloud.api.post(f"/v1/cicd/services/{worker}/build", {})
    assert refusal(asked) == (409, "no_own_builds", "")
    assert f"build service {cloud.service_id}" in asked.body["detail"]
    assert cloud.api.get(f"/v1/cicd/services/{worker}/builds").body["items"] == []


def test_each_service_decides_for_itself_whether_a_build_is_deployed(
    cloud: Cloud, worker: int
) -> None:
    cloud.change_service(auto_deploy=False)
    build = release(cloud, 1)
    assert build["not_deployed"] == "auto_deploy is off"
    assert own(build, worker)[0] is not None
    changed(cloud, worker, auto_deploy=False)
    cloud.change_service(auto_deploy=True)
    build = release(cloud, 2)
    assert build["deployment_id"] is not None
    assert own(build, worker) == (None, "auto_deploy is off")
    changed(cloud, worker, auto_deploy=True)
    assert cloud.api.post(f"/v1/cicd/services/{worker}/rollback", {}).status == 409
    build = release(cloud, 3)
    back = cloud.api.post(f"/v1/cicd/services/{worker}/rollback", {})
    assert back.status == 202, back.text
    cloud.settle()
    finish_rollouts(cloud, "worker")
    assert cloud.image_on_ecs("worker") != cloud.image_on_ecs("hello")
    build = release(cloud, 4)
    assert build["deployment_id"] is not None
    number, reason = own(build, worker)
    assert number is None
    assert (reason or "").startswith("auto-deploy is paused: deployment")


def test_a_push_before_an_explicit_deployment_is_not_deployed_over_it(
    cloud: Cloud, worker: int
) -> None:
    first = release(cloud, 1)
    build = int(cloud.push(sha(2)).body["builds"][0]["build_id"])
    cloud.settle()
    again = deploy(cloud, worker, first["image_tag"])
    assert again.status == 202, again.text
    cloud.settle()
    cloud.finish_build(build)
    finish_rollouts(cloud, "worker", "hello")
    found = cloud.build(build)
    assert found["deployment_id"] is not None
    assert own(found, worker) == (None, "a manual deployment or rollback came after this push")


def test_a_build_requested_by_a_caller_is_deployed_nowhere(cloud: Cloud, worker: int) -> None:
    build = cloud.ask_for_build()
    cloud.settle()
    cloud.finish_build(build)
    reason = "builds requested manually are deployed manually"
    assert own(cloud.build(build), worker) == (None, reason)


def test_the_image_of_an_older_push_is_deployed_nowhere(cloud: Cloud, worker: int) -> None:
    cloud.seconds_before_push = 1
    cloud.change_service(supersede_builds=False)
    builds = [cloud.push(sha(number)).body["builds"][0]["build_id"] for number in (1, 2)]
    cloud.settle()
    for build in reversed(builds):
        cloud.finish_build(build)
    finish_rollouts(cloud, "hello", "worker")
    late = cloud.build(builds[0])
    reason = f"build {builds[1]} of a later push was built already"
    assert (late["not_deployed"], own(late, worker)) == (reason, (None, reason))
    assert cloud.image_on_ecs("worker").endswith(cloud.build(builds[1])["image_digest"])


def test_two_retries_of_one_push_are_deployed_once_to_each_service(
    cloud: Cloud, worker: int
) -> None:
    first = int(cloud.push(sha(1)).body["builds"][0]["build_id"])
    cloud.settle()
    cloud.end_build(first, "FAILED")
    path = f"/v1/cicd/builds/{first}/retry"
    retries = [int(cloud.api.post(path).body["build_id"]) for _ in range(2)]
    # The source stays out, so only the dependent knows that the push was deployed.
    cloud.change_service(auto_deploy=False)
    cloud.settle()
    for build in retries:
        cloud.finish_build(build)
    assert own(cloud.build(retries[0]), worker)[0] is not None
    reason = f"build {retries[0]} of this push was deployed already"
    assert own(cloud.build(retries[1]), worker) == (None, reason)


def test_an_image_of_the_source_is_deployed_by_its_tag(cloud: Cloud, worker: int) -> None:
    changed(cloud, worker, auto_deploy=False)
    build = release(cloud, 1)
    answer = deploy(cloud, worker, build["image_tag"])
    assert answer.status == 202, answer.text
    cloud.settle()
    finish_rollouts(cloud, "worker")
    found = cloud.deployment(answer.body["deployment_id"])
    assert (found["status"], found["build_id"]) == ("success", build["id"])
    assert found["commit_sha"] == build["commit_sha"]


def test_a_tag_of_a_third_service_is_refused(cloud: Cloud, worker: int) -> None:
    other = cloud.add_service("other", branch="develop", image_repository="hello")
    path = f"/v1/cicd/services/{other}/build"
    build = int(cloud.api.post(path, {}).body["build_id"])
    cloud.settle()
    cloud.finish_build(build)
    answer = deploy(cloud, worker, cloud.build(build)["image_tag"])
    assert refusal(answer) == (403, "image_not_allowed", "image_tag")


def test_a_rollback_of_one_service_leaves_the_other_alone(cloud: Cloud, worker: int) -> None:
    first, second = release(cloud, 1), release(cloud, 2)
    cloud.roll_back()
    cloud.settle()
    finish_rollouts(cloud, "hello")
    assert cloud.image_on_ecs("hello").endswith(first["image_digest"])
    assert cloud.image_on_ecs("worker").endswith(second["image_digest"])
    assert cloud.service(worker)["auto_deploy_paused"] is None


def test_a_waiting_deployment_of_a_dependent_is_superseded(cloud: Cloud, worker: int) -> None:
    cloud.begin_release(1)
    cloud.finish_rollout()
    cloud.begin_release(2)
    cloud.finish_rollout()
    waiting = cloud.service(worker)["waiting_deployment_id"]
    assert waiting == own(cloud.build(2), worker)[0]
    cloud.begin_release(3)
    assert cloud.statuses(waiting) == ["superseded"]
    assert cloud.service(worker)["waiting_deployment_id"] == own(cloud.build(3), worker)[0]


def test_a_source_has_at_most_ten_dependents_and_ends_with_all_of_them_at_once(
    cloud: Cloud,
) -> None:
    names = [f"w{number}" for number in range(MAX_DEPENDENTS)]
    numbers = [cloud.add_dependent(name) for name in names]
    path = f"/v1/projects/{cloud.project}/services"
    create_ecs_service("more")
    more = body_of(cloud, "more")
    assert refusal(cloud.api.post(path, more)) == (409, "too_many_dependents", "image_from")
    # Each has a rollout, and a deployment that waits for its end.
    for number in (1, 2, 3):
        build = cloud.build(cloud.begin_release(number))
    deployments = [own(build, number)[0] for number in numbers]
    assert None not in deployments
    finish_rollouts(cloud, "hello", *names)
    finish_rollouts(cloud, "hello", *names)
    assert {cloud.deployment(number or 0)["status"] for number in deployments} == {"success"}
    for _ in range(2):
        cloud.tick()
    assert cloud.api.delete(f"/v1/services/{numbers[0]}").status == 204
    assert cloud.api.post(path, more).status == 201


def test_a_source_cannot_have_a_source(cloud: Cloud, worker: int) -> None:
    create_ecs_service("job")
    path = f"/v1/projects/{cloud.project}/services"
    chained = cloud.api.post(path, body_of(cloud, "job", image_from=worker))
    assert refusal(chained) == (409, "image_from_chain", "image_from")
    assert f"set image_from to {cloud.service_id}" in chained.body["detail"]
    other = cloud.add_service("other", branch="develop")
    answer = patch(cloud, cloud.service_id, image_from=other)
    assert refusal(answer) == (409, "has_dependents", "image_from")
    itself = patch(cloud, other, image_from=other)
    assert refusal(itself) == (409, "image_from_itself", "image_from")


def test_a_source_is_a_service_of_the_same_project(cloud: Cloud) -> None:
    gone = cloud.add_service("gone", branch="develop")
    assert cloud.api.delete(f"/v1/services/{gone}").status == 204
    first = cloud.project
    cloud.project = cloud.api.post("/v1/projects", {"name": "elsewhere"}).body["id"]
    elsewhere = cloud.add_service("elsewhere", branch="develop")
    for number in (gone, elsewhere, 99):
        body = body_of(cloud, "worker", image_from=number)
        answer = cloud.api.post(f"/v1/projects/{first}/services", body)
        assert refusal(answer) == (404, "not_found", "image_from")


def test_a_source_with_dependents_is_not_deleted_and_keeps_its_repository(
    cloud: Cloud, worker: int
) -> None:
    path = f"/v1/services/{cloud.service_id}"
    refused = cloud.api.delete(path)
    assert refusal(refused) == (409, "has_dependents", "")
    assert f"({worker})" in refused.body["detail"]
    create_image_repository("new")
    moved = cloud.api.patch(path, {"image_repository": "new"})
    assert refusal(moved) == (409, "has_dependents", "image_repository")
    assert cloud.api.delete(f"/v1/services/{worker}").status == 204
    assert cloud.api.patch(path, {"image_repository": "new"}).status == 200
    assert cloud.api.delete(path).status == 204


def test_a_new_git_url_of_the_source_is_that_of_its_dependents(cloud: Cloud, worker: int) -> None:
    cloud.change_service(git_url=SOURCE)
    assert cloud.service(worker)["git_url"] == SOURCE
    entry = cloud.api.get(f"/v1/audit?service_id={worker}").body["items"][0]
    assert entry["action"] == "service.updated"
    assert entry["details"]["after"] == {"git_url": SOURCE}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("git_url", SOURCE),
        ("image_repository", "hello"),
        ("branch", "develop"),
        ("platforms", ["linux/arm64"]),
        ("tags", ["v*"]),
        ("build_minutes", 40),
    ],
)
def test_settings_of_builds_are_those_of_the_source(
    cloud: Cloud, worker: int, field: str, value: Any
) -> None:
    path = f"/v1/projects/{cloud.project}/services"
    new = cloud.api.post(path, body_of(cloud, "new", **{field: value}))
    assert refusal(new) == (400, "not_with_image_from", field)
    if field != "image_repository":
        assert refusal(patch(cloud, worker, **{field: value})) == (
            409,
            "not_with_image_from",
            field,
        )
    # A client may send back what it got.
    assert patch(cloud, worker, **{field: cloud.service(worker)[field]}).status == 200


def test_a_service_without_a_source_needs_its_repositories(cloud: Cloud) -> None:
    path = f"/v1/projects/{cloud.project}/services"
    body = {"name": "new", "git_url": SOURCE, "image_repository": "hello"}
    for field in ("git_url", "image_repository"):
        answer = cloud.api.post(path, {name: body[name] for name in body if name != field})
        assert refusal(answer) == (400, "missing_field", field)
        assert "without image_from" in answer.body["detail"]


def test_a_service_with_builds_may_take_the_images_of_another_one(cloud: Cloud) -> None:
    other = cloud.add_service("worker", tags=["v*"], build_minutes=40)
    shown = changed(cloud, other, image_from=cloud.service_id)
    assert (shown["image_repository"], shown["branch"]) == ("hello", "main")
    assert (shown["tags"], shown["build_minutes"]) == ([], 30)
    answer = cloud.push(sha(1))
    assert [each["service_id"] for each in answer.body["builds"]] == [cloud.service_id]
    cloud.settle()
    cloud.finish_build(1)
    finish_rollouts(cloud, "hello", "worker")
    assert own(cloud.build(1), other)[0] is not None
    for _ in range(2):
        cloud.tick()
    incomplete = patch(cloud, other, image_from=None)
    assert refusal(incomplete) == (409, "missing_field", "git_url")
    url = f"https://github.com/{REPOSITORY}.git"
    back = changed(
        cloud, other, image_from=None, git_url=url, image_repository="worker", branch="master"
    )
    assert back["image_from"] is None
    assert get_service(cloud.service_id).dependents is None
    answer = cloud.push(sha(2))
    assert [each["service_id"] for each in answer.body["builds"]] == [cloud.service_id, other]


# A value other than the default for each setting that has one, besides image_from.
OTHER_VALUES: dict[str, Any] = {
    "context_path": "app",
    "dockerfile": "docker/Dockerfile",
    "target": "production",
    "platforms": ["linux/arm64"],
    "build_args": {"LEVEL": "debug"},
    "submodules": True,
    "lfs": True,
    "history": True,
    "secrets": {"npm": "secretsmanager:slipway/build/1/npm"},
    "provenance": False,
    "sbom": False,
    "also_push_to": {"docker.io/acme/web": "secretsmanager:slipway/build/1/hub"},
    "also_push_required": True,
    "queued_minutes": 61,
    "build_minutes": 31,
    "branch": "develop",
    "auto_build": False,
    "paths": ["src/**"],
    "tags": ["v*"],
    "build_pull_requests": True,
    "ecs_cluster": CLUSTER,
    "ecs_service": "other",
    "containers": ["app"],
    "webhook_secret": "secretsmanager:slipway/webhook/other",
    "auto_deploy": True,
    "require_checks": ["test"],
    "checks_minutes": 61,
    "max_open_builds": 19,
    "supersede_builds": False,
    "deploy_minutes": 21,
    "strategy": {"type": "CANARY", "percent": 5.5, "step_minutes": 7, "bake_minutes": 8},
    "release_command": ["migrate"],
    "release_command_minutes": 16,
    "approval": True,
    "approval_minutes": 60,
    "approve_own": True,
    "badge": True,
    "environment_name": "production",
    "environment_url": "https://shop.example/",
}
OWN_SETTINGS = {
    "ecs_cluster",
    "ecs_service",
    "containers",
    "auto_deploy",
    "require_checks",
    "checks_minutes",
    "deploy_minutes",
    "strategy",
    "release_command",
    "release_command_minutes",
    "approval",
    "approval_minutes",
    "approve_own",
    "badge",
    "environment_name",
    "environment_url",
}


def test_a_service_that_takes_other_images_keeps_all_settings_but_those_of_builds(
    cloud: Cloud,
) -> None:
    names = set(ServiceSettings.__struct_fields__) - {"name", "image_from", *OF_SOURCE}
    assert set(OTHER_VALUES) == names
    secret = keep_secret("a token", "slipway/tell/all/github")
    channel = {"kind": "github", "name": "GitHub", "secret": secret}
    assert cloud.api.post("/v1/channels", channel).status == 201
    other = cloud.add_service("other", **OTHER_VALUES)
    before = cloud.service(other)
    after = changed(cloud, other, image_from=cloud.service_id)
    assert {name for name in names if after[name] == before[name]} == OWN_SETTINGS


def test_a_service_of_other_images_has_a_release_command_of_its_own(
    cloud: Cloud, worker: int
) -> None:
    own: dict[str, Any] = {"release_command": ["migrate"], "release_command_minutes": 16}
    shown = changed(cloud, worker, **own)
    assert {name: shown[name] for name in own} == own
    job = cloud.service(cloud.add_dependent("job", **own))
    assert {name: job[name] for name in own} == own
    assert cloud.service()["release_command"] is None


def test_a_service_takes_other_images_only_while_it_is_idle(cloud: Cloud) -> None:
    other = cloud.add_service("worker")
    cloud.push(sha(1))
    assert refusal(patch(cloud, other, image_from=cloud.service_id))[:2] == (409, "service_busy")


def test_a_failed_build_of_before_is_not_retried(cloud: Cloud) -> None:
    other = cloud.add_service("worker", branch="develop")
    build = int(cloud.push(sha(1), branch="develop").body["builds"][0]["build_id"])
    cloud.settle()
    cloud.end_build(build, "FAILED")
    changed(cloud, other, image_from=cloud.service_id)
    answer = cloud.api.post(f"/v1/cicd/builds/{build}/retry")
    assert refusal(answer) == (409, "no_own_builds", "")


def caller_with(cloud: Cloud, role: str = "admin", **restriction: int) -> Api:
    body = {"name": "x", "role": role, **restriction}
    return cloud.api.as_holder_of(cloud.api.post("/v1/tokens", body).body["token"])


def test_a_restricted_token_names_only_services_that_it_sees(cloud: Cloud, worker: int) -> None:
    other = cloud.add_service("other", branch="develop")
    of_service = caller_with(cloud, service_id=worker)
    hidden = of_service.patch(f"/v1/services/{worker}", {"image_from": other})
    missing = of_service.patch(f"/v1/services/{worker}", {"image_from": 99})
    assert (hidden.status, missing.status) == (404, 404)
    assert hidden.body["detail"].replace(str(other), "99") == missing.body["detail"]
    of_project = caller_with(cloud, project_id=cloud.project)
    answer = of_project.patch(f"/v1/services/{worker}", {"image_from": other})
    assert answer.status == 200, answer.text
    detach = {"image_from": None, "git_url": SOURCE, "image_repository": "hello"}
    assert of_project.patch(f"/v1/services/{worker}", detach).status == 403


def test_a_token_of_the_source_does_not_see_the_dependents(cloud: Cloud, worker: int) -> None:
    build = release(cloud, 1)
    assert [each["service_id"] for each in build["dependents"]] == [worker]
    of_source = caller_with(cloud, service_id=cloud.service_id)
    shown = of_source.get("/v1/cicd/builds/1").body
    assert (shown["dependents"], shown["deployment_id"]) == ([], build["deployment_id"])
    (listed,) = of_source.get(f"/v1/cicd/services/{cloud.service_id}/builds").body["items"]
    assert listed["dependents"] == []
    refused = of_source.delete(f"/v1/services/{cloud.service_id}")
    assert refused.status == 403
    assert str(worker) not in refused.body["detail"]


def test_a_new_dependent_reads_its_source_twice(cloud: Cloud, calls: Calls) -> None:
    """For its own settings, and for the list of the source, which the transaction changes."""
    calls.clear()
    body = {"name": "worker", "image_from": cloud.service_id}
    assert cloud.api.post(f"/v1/projects/{cloud.project}/services", body).status == 201
    reads = [call for call in calls.to("dynamodb.GetItem") if "services" in call["TableName"]]
    assert len(reads) == 2
