"""A project's git credential: set by an admin, frozen on the build, passed as a secret."""

from typing import Any

import pytest

from chalicelib.domain.tokens import Role
from chalicelib.pipeline.reconcilers.loop import reconcile
from chalicelib.store.models import History, Project
from chalicelib.store.projects import get_project
from chalicelib.store.writes import change, commit
from infra.local.aws import codebuild
from tests.support.client import Api
from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls, Trouble
from tests.support.written import nothing_is_written

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/shop-a1B2c3"
OTHER = ARN.replace("shop", "other")


def changed(api: Api, **changes: Any) -> Any:
    answer = api.patch("/v1/projects/1", changes)
    assert answer.status == 200, answer.text
    return answer.body


def sent(calls: Calls) -> list[dict[str, str]]:
    """The variables of type SECRETS_MANAGER of each StartBuild."""
    return [
        {v["name"]: v["value"] for v in request["environmentVariablesOverride"] if is_secret(v)}
        for request in calls.to("codebuild.StartBuild")
    ]


def is_secret(variable: dict[str, str]) -> bool:
    return variable["type"] != "PLAINTEXT"


def test_a_project_is_created_with_its_credential_and_shows_it(api: Api) -> None:
    created = api.post("/v1/projects", {"name": "shop", "git_credential": ARN})
    assert created.status == 201, created.text
    assert created.body["git_credential"] == ARN
    assert api.get("/v1/projects/1").body == created.body
    assert api.post("/v1/projects", {"name": "open"}).body["git_credential"] is None


def test_a_project_is_changed_in_what_is_named_alone_and_the_trail_says_how(
    api: Api, project: int
) -> None:
    before = api.get(f"/v1/projects/{project}").body
    assert changed(api, git_credential=ARN) == {**before, "git_credential": ARN}
    assert changed(api, name="store") == {**before, "git_credential": ARN, "name": "store"}
    assert changed(api, git_credential=None) == {**before, "name": "store"}
    told = [row.details for row in History.query("project-1") if row.action == "project.updated"]
    assert told == [
        {"before": {"git_credential": None}, "after": {"git_credential": ARN}},
        {"before": {"name": "shop"}, "after": {"name": "store"}},
        {"before": {"git_credential": ARN}, "after": {"git_credential": None}},
    ]


def test_a_change_that_changes_nothing_writes_nothing(api: Api, project: int) -> None:
    changed(api, git_credential=ARN)
    with nothing_is_written():
        changed(api, git_credential=ARN, name="shop")
        changed(api)


def test_a_name_that_is_free_again_may_be_taken_and_one_that_is_taken_may_not(
    api: Api, project: int
) -> None:
    api.post("/v1/projects", {"name": "other"})
    with nothing_is_written():
        refused = api.patch("/v1/projects/1", {"name": "OTHER"})
    assert (refused.status, refused.body["code"]) == (409, "name_taken")
    changed(api, name="SHOP")
    changed(api, name="store")
    assert api.post("/v1/projects", {"name": "shop"}).status == 201


@pytest.mark.parametrize("body", [{"git_credential": "ghp_x"}, {"git_credential": 7}])
def test_what_names_no_secret_of_ours_is_refused_before_and_after(
    api: Api, project: int, body: dict[str, Any]
) -> None:
    with nothing_is_written():
        for answer in (
            api.post("/v1/projects", {"name": "new", **body}),
            api.patch("/v1/projects/1", body),
        ):
            assert answer.status == 400
            assert answer.body["code"] == "invalid_git_credential"
            assert answer.body["field"] == "git_credential"
            assert "ghp_x" not in answer.text


def test_whoever_administers_a_project_alone_cannot_choose_its_secret(
    api: Api, project: int
) -> None:
    body = {"name": "x", "role": Role.ADMIN, "project_id": project}
    restricted = api.as_holder_of(api.post("/v1/tokens", body).body["token"])
    assert restricted.get("/v1/projects/1").status == 200
    with nothing_is_written():
        assert restricted.patch("/v1/projects/1", {"git_credential": ARN}).status == 403
        assert restricted.patch("/v1/projects/77", {"git_credential": ARN}).status == 403


def test_changes_that_come_at_once_are_both_made(
    api: Api, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = get_project
    others = iter([{"git_credential": ARN}])

    def overtaken(number: int) -> Project:
        mine = read(number)
        for other in others:
            commit(change(read(number), **other))
        return mine

    monkeypatch.setattr("chalicelib.pipeline.commands.projects.get_project", overtaken)
    assert changed(api, name="store")["git_credential"] == ARN
    assert api.get("/v1/projects/1").body["name"] == "store"


def test_a_build_is_started_with_its_project_s_credential_and_only_if_there_is_one(
    cloud: Cloud, calls: Calls
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    changed(cloud.api, git_credential=ARN)
    cloud.push(sha(2))
    cloud.settle()
    changed(cloud.api, git_credential=None)
    assert sent(calls) == [{}, {"GIT_CREDENTIAL": ARN}]


def test_a_call_that_is_repeated_is_the_same_call_whatever_the_project_says_by_then(
    cloud: Cloud, calls: Calls, trouble: Trouble
) -> None:
    changed(cloud.api, git_credential=ARN)
    cloud.push(sha(1))
    trouble.lose_answers("codebuild.StartBuild")
    reconcile("build-1")
    changed(cloud.api, git_credential=OTHER)
    cloud.tick()
    first, *again = calls.to("codebuild.StartBuild")
    assert again
    assert all(request == first for request in again)
    assert cloud.builds_in_codebuild() == ["build-1"]
    assert cloud.build(1)["status"] == "building"


@pytest.mark.parametrize(
    "reason",
    [
        "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/slipway-builds/x is "
        f"not authorized to perform: secretsmanager:GetSecretValue on resource: {ARN}",
    ],
)
def test_a_secret_that_cannot_be_read_fails_the_build_and_says_which_and_why(
    cloud: Cloud, reason: str
) -> None:
    changed(cloud.api, git_credential=ARN)
    cloud.push(sha(1))
    cloud.settle()
    codebuild.engine().run_to(
        cloud.build(1)["codebuild_id"],
        "FAILED",
        fail_phase="DOWNLOAD_SOURCE",
        message=f"Secrets Manager Error: {reason}",
    )
    cloud.settle()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert build["error"].startswith("CodeBuild could not read the project's git_credential")
    assert reason in build["error"]
