"""Projects and services: their claims, the branches that they follow, and the audit records."""

import threading
from typing import Any

import pytest

from chalicelib.errors import Conflict, InvalidInput, NotFound
from chalicelib.pipeline.commands.followers import MAX_FOLLOWERS, MAX_FOLLOWERS_OF_ALL_BRANCHES
from chalicelib.pipeline.commands.projects import create_project
from chalicelib.pipeline.commands.services import create_service, delete_service, update_service
from chalicelib.store import claims
from chalicelib.store.claims import Follower, followers, owner_of, release, set_followers
from chalicelib.store.models import Claim, History, Project, Service
from chalicelib.store.writes import ConditionFailed, Write, add, change, commit, create, remove
from tests.support.sdk import Trouble
from tests.support.written import nothing_is_written

REPOSITORY = "github.com/codertocat/hello-world"


def settings_of(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "git_url": "https://github.com/Codertocat/Hello-World.git",
        "image_repository": "myapp",
        "ecs_cluster": "main",
        "ecs_service": name,
        "containers": ("app",),
        **changes,
    }


@pytest.fixture
def shop(aws: None, trouble: Trouble) -> Project:
    # ECS does not say which services it has, so each one is accepted.
    trouble.refuse("ecs.DescribeServices", "AccessDeniedException", times=20)
    return create_project("shop", actor="ann")


@pytest.fixture
def web(shop: Project) -> Service:
    return create_service(shop, settings_of("web"), actor="ann")


def followed_branches() -> dict[int, str]:
    """The branch of REPOSITORY that each service follows."""
    return {number: each.branch for number, each in followers(REPOSITORY)[1].items()}


def history_of(row_id: str) -> list[tuple[str, str, Any]]:
    """The actor, action and details of each audit record of a row."""
    return [(row.actor, row.action, row.details) for row in History.query(row_id)]


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[str, str]:
    """The code and field of the Conflict that a call raises; it must write no row."""
    with nothing_is_written(), pytest.raises(Conflict) as refused:
        call(*arguments, **named)
    return refused.value.code, refused.value.field


def test_a_project_name_is_unique_regardless_of_case(shop: Project) -> None:
    with pytest.raises(Conflict) as refused:
        create_project("Shop", actor="bob")
    assert (refused.value.code, refused.value.field) == ("name_taken", "name")
    assert [row.name for row in Project.scan()] == ["shop"]
    assert history_of("project-1") == [("ann", "project.created", {"name": "shop"})]


def test_a_new_service_claims_its_name_and_target_and_follows_its_branch(web: Service) -> None:
    assert owner_of("service:1/web") == owner_of("ecs:main/web") == f"service-{web.id}"
    assert followed_branches() == {web.id: "main"}
    assert [entry[:2] for entry in history_of("service-1")] == [("ann", "service.created")]


def test_two_services_of_a_project_cannot_share_a_name_or_a_target(
    shop: Project, web: Service
) -> None:
    with pytest.raises(Conflict, match="name") as refused:
        create_service(shop, settings_of("web", ecs_service="other"), actor="ann")
    assert (refused.value.code, refused.value.field) == ("name_taken", "name")
    with pytest.raises(Conflict) as refused:
        create_service(shop, settings_of("other", ecs_service="web"), actor="ann")
    assert (refused.value.code, refused.value.field) == ("ecs_service_taken", "ecs_service")
    assert f"belongs to service {web.id} (web) already" in refused.value.detail
    assert len(list(Service.scan())) == 1
    assert followed_branches() == {web.id: "main"}


def test_another_project_may_use_the_same_name(web: Service) -> None:
    other = create_project("other", actor="ann")
    create_service(other, settings_of("web", ecs_cluster="second"), actor="ann")


def test_an_incomplete_ecs_target_is_refused(shop: Project, web: Service) -> None:
    with nothing_is_written():
        with pytest.raises(InvalidInput) as refused:
            create_service(shop, settings_of("x", containers=None), actor="ann")
        assert (refused.value.code, refused.value.field) == ("incomplete_ecs_target", "containers")
        with pytest.raises(InvalidInput):
            update_service(web, {"ecs_cluster": None}, actor="ann")
        with pytest.raises(InvalidInput):
            update_service(web, {"ecs_cluster": None, "ecs_service": "x"}, actor="ann")


def test_a_service_without_a_target_accepts_only_a_complete_one(shop: Project) -> None:
    settings = settings_of("job", ecs_cluster=None, ecs_service=None, containers=None)
    job = create_service(shop, settings, actor="ann")
    with nothing_is_written(), pytest.raises(Conflict) as refused:
        update_service(job, {"ecs_service": "job"}, actor="ann")
    assert (refused.value.code, refused.value.field) == ("incomplete_ecs_target", "ecs_cluster")
    target = {"ecs_cluster": "main", "ecs_service": "job", "containers": ("app",)}
    assert update_service(job, target, actor="ann").settings.containers == ("app",)


def test_a_service_without_a_target_claims_none(shop: Project) -> None:
    settings = settings_of("job", ecs_cluster=None, ecs_service=None, containers=None)
    service = create_service(shop, settings, actor="ann")
    assert not [row.id for row in Claim.scan() if row.id.startswith("ecs:")]
    update_service(
        service, {"ecs_cluster": "a", "ecs_service": "b", "containers": ("c",)}, actor="ann"
    )
    assert owner_of("ecs:a/b") == "service-1"


def test_the_number_of_services_that_follow_one_branch_is_limited(
    shop: Project, web: Service
) -> None:
    claim, _ = followers(REPOSITORY)
    assert claim is not None
    many = {100 + number: Follower(shop.id, "main") for number in range(MAX_FOLLOWERS)}
    commit(set_followers(claim, REPOSITORY, many))
    with pytest.raises(Conflict) as refused:
        create_service(shop, settings_of("late"), actor="ann")
    assert (refused.value.code, refused.value.field) == ("too_many_services", "branch")
    create_service(shop, settings_of("beside", branch="next"), actor="ann")


def test_the_number_of_services_that_follow_one_repository_is_limited(
    shop: Project, web: Service
) -> None:
    claim, _ = followers(REPOSITORY)
    several = range(MAX_FOLLOWERS_OF_ALL_BRANCHES)
    many = {100 + number: Follower(shop.id, f"branch-{number}") for number in several}
    commit(set_followers(claim, REPOSITORY, many))
    with pytest.raises(Conflict) as refused:
        create_service(shop, settings_of("late", branch="another"), actor="ann")
    assert (refused.value.code, refused.value.field) == ("too_many_services", "git_url")


def test_a_change_is_audited_with_the_old_and_the_new_values(web: Service) -> None:
    changes = {"build_args": {"KEY": "secret"}, "branch": "main", "build_minutes": 60}
    changed = update_service(web, changes, actor="bob")
    assert (changed.settings.build_args, changed.settings.build_minutes) == ({"KEY": "secret"}, 60)
    entry = next(entry for entry in history_of("service-1") if entry[1] == "service.updated")
    assert entry == (
        "bob",
        "service.updated",
        {
            "before": {"build_args": [], "build_minutes": 30},
            "after": {"build_args": ["KEY"], "build_minutes": 60},
        },
    )


def test_a_change_to_the_same_values_writes_no_row(web: Service) -> None:
    with nothing_is_written():
        update_service(web, {"branch": "main", "name": "web"}, actor="bob")


def test_a_renamed_service_releases_its_old_name(shop: Project, web: Service) -> None:
    update_service(web, {"name": "site"}, actor="ann")
    assert owner_of("service:1/web") is None
    assert owner_of("service:1/site") == "service-1"
    create_service(shop, settings_of("web", ecs_service="new"), actor="ann")
    assert refusal(update_service, web, {"name": "web"}, actor="ann") == ("name_taken", "name")


def test_a_changed_service_follows_its_new_branch_or_repository(web: Service) -> None:
    update_service(web, {"branch": "next"}, actor="ann")
    assert followed_branches() == {web.id: "next"}
    update_service(web, {"git_url": "https://github.com/a/b.git"}, actor="ann")
    assert followed_branches() == {}
    assert followers("github.com/a/b")[1] == {web.id: Follower(web.project_id, "next")}


def test_a_service_with_a_new_target_has_no_current_release(web: Service) -> None:
    commit(change(web, current=7, drift="x"))
    moved = update_service(web, {"ecs_service": "new"}, actor="ann")
    assert moved.current is None
    assert moved.drift is None
    assert owner_of("ecs:main/web") is None
    assert owner_of("ecs:main/new") == "service-1"


@pytest.mark.parametrize(
    "work",
    [{"active": 1}, {"waiting": 1}, {"open_builds": add(1)}],
    ids=["deploying", "waiting", "building"],
)
def test_a_busy_service_cannot_change_its_target_or_images_or_be_deleted(
    web: Service, work: Any
) -> None:
    commit(change(web, **work))
    for changes in ({"ecs_service": "new"}, {"containers": ("c",)}, {"image_repository": "other"}):
        assert refusal(update_service, web, changes, actor="ann") == ("service_busy", "")
    assert refusal(delete_service, web, actor="ann") == ("service_busy", "")
    assert update_service(web, {"branch": "next"}, actor="ann").settings.branch == "next"


def test_switching_auto_deploy_on_ends_its_pause(web: Service) -> None:
    update_service(web, {"auto_deploy": True}, actor="ann")
    commit(change(Service.get(web.id), auto_deploy_paused="rolled back"))
    update_service(web, {"branch": "next"}, actor="ann")
    assert update_service(web, {"auto_deploy": False}, actor="ann").auto_deploy_paused
    resumed = update_service(web, {"auto_deploy": True}, actor="ann")
    assert resumed.settings.auto_deploy
    assert resumed.auto_deploy_paused is None
    details = [entry[2] for entry in history_of("service-1") if "resumed" in entry[2]]
    assert details[0]["resumed"] == "rolled back"


def test_a_deleted_service_releases_its_claims_and_keeps_its_row(
    shop: Project, web: Service
) -> None:
    delete_service(web, actor="ann")
    assert Service.get(web.id).deleted_at
    assert followed_branches() == {}
    assert owner_of("service:1/web") is owner_of("ecs:main/web") is None
    with pytest.raises(NotFound):
        update_service(web, {"branch": "x"}, actor="ann")
    with pytest.raises(NotFound):
        delete_service(web, actor="ann")
    create_service(shop, settings_of("web"), actor="ann")


def test_services_created_at_once_all_follow_the_repository(shop: Project) -> None:
    names = ["a", "b", "c"]
    threads = [
        threading.Thread(
            target=create_service, args=(shop, settings_of(name)), kwargs={"actor": name}
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created = {row.id for row in Service.scan()}
    assert len(created) == len(names)
    assert set(followed_branches()) == created


def test_a_stale_removal_names_the_changed_row(shop: Project, web: Service) -> None:
    read = Claim.get("ecs:main/web")
    stale = Claim.get("ecs:main/web")
    commit(change(read, owner="service-9"))
    with pytest.raises(ConditionFailed) as failed:
        commit(create(Claim("free")), remove(stale), change(shop, name="x"))
    assert failed.value.rows == (stale,)
    with pytest.raises(ValueError, match="exclude each other"):
        commit(remove(read), change(read, owner="x"))


def test_of_two_deletions_at_once_the_second_finds_no_service(
    web: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(names: set[str]) -> list[Write]:
        released = release(names)
        monkeypatch.setattr(claims, "release", release)
        delete_service(web, actor="bob")
        return released

    monkeypatch.setattr(claims, "release", overtaken)
    with pytest.raises(NotFound):
        delete_service(web, actor="ann")
    assert [row.action for row in History.query(f"service-{web.id}")].count("service.deleted") == 1
