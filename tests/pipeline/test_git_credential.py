"""A project's git credential: an admin sets it, and each build keeps the one it starts with.

StartBuild passes its ARN as a variable of type SECRETS_MANAGER.
"""

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
OTHER_ARN = ARN.replace("shop", "other")


def change_project(api: Api, **changes: Any) -> Any:
    answer = api.patch("/v1/projects/1", changes)
    assert answer.status == 200, answer.text
    return answer.body


def secrets_sent(calls: Calls) -> list[dict[str, str]]:
    """The SECRETS_MANAGER variables of each StartBuild, by name."""
    return [
        {v["name"]: v["value"] for v in request["environmentVariablesOverride"] if is_secret(v)}
        for request in calls.to("codebuild.StartBuild")
    ]


def is_secret(variable: dict[str, str]) -> bool:
    return variable["type"] != "PLAINTEXT"


def test_a_new_project_shows_its_credential(api: Api) -> None:
    created = api.post("/v1/projects", {"name": "shop", "git_credential": ARN})
    assert created.status == 201, created.text
    assert created.body["git_credential"] == ARN
    assert api.get("/v1/projects/1").body == created.body
    assert api.post("/v1/projects", {"name": "open"}).body["git_credential"] is None


def test_a_change_of_a_project_changes_only_the_named_fields_and_is_audited(
    api: Api, project: int
) -> None:
    before = api.get(f"/v1/projects/{project}").body
    assert change_project(api, git_credential=ARN) == {**before, "git_credential": ARN}
    assert change_project(api, name="store") == {**before, "git_credential": ARN, "name": "store"}
    assert change_project(api, git_credential=None) == {**before, "name": "store"}
    audited = [row.details for row in History.query("project-1") if row.action == "project.updated"]
    assert audited == [
        {"before": {"git_credential": None}, "after": {"git_credential": ARN}},
        {"before": {"name": "shop"}, "after": {"name": "store"}},
        {"before": {"git_credential": ARN}, "after": {"git_credential": None}},
    ]


def test_a_change_to_the_same_values_writes_no_row(api: Api, project: int) -> None:
    change_project(api, git_credential=ARN)
    with nothing_is_written():
        change_project(api, git_credential=ARN, name="shop")
        change_project(api)


def test_a_project_can_take_only_a_free_name(api: Api, project: int) -> None:
    api.post("/v1/projects", {"name": "other"})
    with nothing_is_written():
        refused = api.patch("/v1/projects/1", {"name": "OTHER"})
    assert (refused.status, refused.body["code"]) == (409, "name_taken")
    change_project(api, name="SHOP")
    change_project(api, name="store")
    assert api.post("/v1/projects", {"name": "shop"}).status == 201


@pytest.mark.parametrize("body", [{"git_credential": "ghp_x"}, {"git_credential": 7}])
def test_a_credential_that_is_no_arn_of_a_secret_is_refused(
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


def test_an_admin_of_one_project_cannot_change_its_credential(api: Api, project: int) -> None:
    body = {"name": "x", "role": Role.ADMIN, "project_id": project}
    restricted = api.as_holder_of(api.post("/v1/tokens", body).body["token"])
    assert restricted.get("/v1/projects/1").status == 200
    with nothing_is_written():
        assert restricted.patch("/v1/projects/1", {"git_credential": ARN}).status == 403
        assert restricted.patch("/v1/projects/77", {"git_credential": ARN}).status == 403


def test_two_concurrent_changes_of_a_project_are_both_kept(
    api: Api, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    concurrent = iter([{"git_credential": ARN}])

    def read_and_change(number: int) -> Project:
        """Another change is written right after the first read."""
        project = get_project(number)
        for changes in concurrent:
            commit(change(get_project(number), **changes))
        return project

    monkeypatch.setattr("chalicelib.pipeline.commands.projects.get_project", read_and_change)
    assert change_project(api, name="store")["git_credential"] == ARN
    assert api.get("/v1/projects/1").body["name"] == "store"


def test_a_build_gets_the_credential_that_its_project_has(cloud: Cloud, calls: Calls) -> None:
    cloud.push(sha(1))
    cloud.settle()
    change_project(cloud.api, git_credential=ARN)
    cloud.push(sha(2))
    cloud.settle()
    change_project(cloud.api, git_credential=None)
    assert secrets_sent(calls) == [{}, {"GIT_CREDENTIAL": ARN}]


def test_a_repeated_start_build_keeps_the_first_credential(
    cloud: Cloud, calls: Calls, trouble: Trouble
) -> None:
    change_project(cloud.api, git_credential=ARN)
    cloud.push(sha(1))
    trouble.lose_answers("codebuild.StartBuild")
    reconcile("build-1")
    change_project(cloud.api, git_credential=OTHER_ARN)
    cloud.tick()
    first, *again = calls.to("codebuild.StartBuild")
    assert again
    assert all(request == first for request in again)
    assert cloud.builds_in_codebuild() == ["build-1"]
    assert cloud.build(1)["codebuild_id"] is not None


@pytest.mark.parametrize(
    "reason",
    [
        "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/slipway-builds/x is "
        f"not authorized to perform: secretsmanager:GetSecretValue on resource: {ARN}",
    ],
)
def test_a_build_with_an_unreadable_credential_fails_with_the_reason(
    cloud: Cloud, reason: str
) -> None:
    change_project(cloud.api, git_credential=ARN)
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
