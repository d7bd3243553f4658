"""A project's git credential: an admin sets it, and each build keeps the one it starts with.

StartBuild passes its ARN; the build reads the secret itself.
"""

from typing import Any

import pytest

from chalicelib.domain.tokens import Role
from chalicelib.pipeline.reconcilers.loop import reconcile
from chalicelib.store.models import History, Project
from chalicelib.store.projects import get_project
from chalicelib.store.writes import change, commit
from tests.support.client import Api
from tests.support.embedded import Cloud, sha
from tests.support.sdk import Calls, Trouble
from tests.support.written import nothing_is_written

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slipway/git/1/shop-a1B2c3"
OTHER_ARN = ARN.replace("shop", "other")


def change_project(api: Api, **changes: Any) -> Any:
    answer = api.patch("/v1/projects/1", changes)
    assert answer.status == 200, answer.text
    return answer.body


def credentials_sent(calls: Calls) -> list[str]:
    """The git credential of each StartBuild; empty for none."""
    return [
        variable["value"]
        for request in calls.to("codebuild.StartBuild")
        for variable in request["environmentVariablesOverride"]
        if variable["name"] == "GIT_CREDENTIAL"
    ]


def test_a_project_gets_its_credential_after_its_creation(api: Api) -> None:
    """The secret's name contains the project's id, which is not known before."""
    assert api.post("/v1/projects", {"name": "open"}).body["git_credential"] is None
    with nothing_is_written():
        refused = api.post("/v1/projects", {"name": "shop", "git_credential": ARN})
    assert (refused.status, refused.body["field"]) == (400, "git_credential")
    changed = change_project(api, git_credential=ARN)
    assert changed["git_credential"] == ARN
    assert api.get("/v1/projects/1").body == changed


@pytest.mark.parametrize("path", ["slipway/git/2/", "slipway/git/11/", "slipway-prod/git/1/"])
def test_a_project_can_name_only_a_secret_below_its_own_path(
    api: Api, project: int, path: str
) -> None:
    with nothing_is_written():
        refused = api.patch(
            "/v1/projects/1", {"git_credential": ARN.replace("slipway/git/1/", path)}
        )
    expected = (400, "invalid_git_credential") if "prod" in path else (403, "secret_not_allowed")
    assert (refused.status, refused.body["code"]) == expected
    assert "slipway/git/" in refused.body["detail"]


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
        answer = api.patch("/v1/projects/1", body)
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


def test_an_admin_of_one_project_cannot_let_its_builds_reach_further(
    api: Api, project: int, service: int
) -> None:
    """Submodules use the git credential for more repositories, copies leave the registry."""
    body = {"name": "x", "role": Role.ADMIN, "project_id": project}
    restricted = api.as_holder_of(api.post("/v1/tokens", body).body["token"])
    assert restricted.get(f"/v1/services/{service}").status == 200
    copy = {"docker.io/acme/web": f"secretsmanager:slipway/build/{project}/hub"}
    with nothing_is_written():
        for changes in ({"submodules": True}, {"also_push_to": copy}):
            assert restricted.patch(f"/v1/services/{service}", changes).status == 403
    of_service = {"name": "y", "role": Role.ADMIN, "service_id": service}
    narrow = api.as_holder_of(api.post("/v1/tokens", of_service).body["token"])
    assert narrow.get(f"/v1/services/{service}").status == 200
    own = {"secrets": {"NPM": f"secretsmanager:slipway/build/{project}/npm"}, "lfs": True}
    with nothing_is_written():
        assert narrow.patch(f"/v1/services/{service}", own).status == 403
    assert restricted.patch(f"/v1/services/{service}", own).status == 200
    assert api.patch(f"/v1/services/{service}", {"submodules": True}).status == 200


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
    assert credentials_sent(calls) == ["", ARN]


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


def test_a_credential_of_an_older_version_fails_the_build_with_the_next_step(
    cloud: Cloud, calls: Calls
) -> None:
    """Projects could once name any secret below slipway/git/."""
    commit(change(get_project(1), git_credential=ARN.replace("git/1/", "git/")))
    cloud.push(sha(1))
    cloud.settle()
    build = cloud.build(1)
    assert build["status"] == "failed"
    assert "read only secrets below slipway/git/1/" in build["error"]
    assert "change the project's git_credential" in build["failure"]["next_step"]
    assert calls.to("codebuild.StartBuild") == []
