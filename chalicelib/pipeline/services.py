"""Projects and services: creating, changing and deleting them, each in one transaction.

Names and ECS targets are claims, so two requests at once cannot both get one. Who follows which
repository is kept beside the services, so that a push finds them all in one read.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from chalicelib import clock
from chalicelib.domain.timing import SILENCE
from chalicelib.errors import Conflict, InvalidInput
from chalicelib.pipeline.once import Once, remembered
from chalicelib.pipeline.retries import again_if_lost, living_service
from chalicelib.store.claims import Follower, followers, next_number, set_followers, take
from chalicelib.store.history import record
from chalicelib.store.models import Claim, Project, Service
from chalicelib.store.moves import Action, ConditionFailed, Move, change, commit, create, remove
from chalicelib.store.projects import get_project
from chalicelib.store.reads import find

_T = TypeVar("_T")

MAX_FOLLOWERS = 30  # of one branch of one repository: their builds start in one transaction
MAX_FOLLOWERS_OF_ALL_BRANCHES = 100  # of one repository: they are one row, of 400 KB at most
MAX_SECRETS = 20  # of one repository, each of which a delivery may have to be tried with

_TARGET = ("ecs_cluster", "ecs_service", "container")
_NOT_WHILE_BUSY = frozenset({*_TARGET, "image_repository"})


def create_project(
    name: str, *, actor: str, git_credential: str | None = None, once: Once | None = None
) -> Project:
    """Create a project; raises Conflict (name_taken), whatever the case of the letters."""
    now = clock.now()
    project = Project(
        next_number("projects"), name=name, git_credential=git_credential, created_at=now
    )
    shown = {"git_credential": git_credential} if git_credential else {}

    def write() -> None:
        commit(
            create(project),
            take(f"project:{name.lower()}", _subject(project)),
            _recorded(project, "project.created", actor, {"name": name, **shown}),
            *remembered(once, project.id),
        )

    again_if_lost(_refusing_what_is_taken(write))
    return project


def update_project(project: Project, changes: Mapping[str, Any], *, actor: str) -> Project:
    """Change a project's columns, and answer with the project as it is then.

    A build that CodeBuild was asked for already keeps its git credential. Raises Conflict
    (name_taken).
    """

    def write() -> Project:
        fresh = get_project(project.id)
        before = {name: getattr(fresh, name) for name in changes}
        news = {name: value for name, value in changes.items() if before[name] != value}
        if not news:
            return fresh
        commit(
            change(fresh, *_set(Project, news)),
            *_exchange(
                _subject(fresh),
                {f"project:{fresh.name.lower()}"},
                {f"project:{news.get('name', fresh.name).lower()}"},
            ),
            _recorded(
                fresh,
                "project.updated",
                actor,
                {"before": {name: before[name] for name in news}, "after": news},
            ),
        )

        # What was written is known: reading it again could only fail what is done.
        for name, value in news.items():
            setattr(fresh, name, value)
        return fresh

    return again_if_lost(_refusing_what_is_taken(write))


def create_service(
    project: Project, values: Mapping[str, Any], *, actor: str, once: Once | None = None
) -> Service:
    """Create a service with these columns.

    Raises InvalidInput (incomplete_ecs_target) and Conflict (name_taken, ecs_service_taken,
    too_many_services, too_many_webhook_secrets).
    """
    _require_whole_target(values)
    now = clock.now()
    service = Service(
        next_number("services"),
        project_id=project.id,
        listed_in=project.id,
        created_at=now,
        updated_at=now,
        **{name: value for name, value in values.items() if value is not None},
    )

    def write() -> None:
        commit(
            create(service),
            *_exchange(_subject(service), set(), _claims(service, values)),
            *_follow(service, None, _followed(service, values)),
            _recorded(service, "service.created", actor, _audited(values)),
            *remembered(once, service.id),
        )

    again_if_lost(_refusing_what_is_taken(write))
    return service


def update_service(service: Service, changes: Mapping[str, Any], *, actor: str) -> Service:
    """Change columns of a service, and answer with the service as it is then.

    Switching auto-deploy on also ends its pause. Another ECS service has no release of ours yet, so
    moving the target forgets which one is current. Raises what `create_service` raises, and
    Conflict (service_busy, incomplete_ecs_target).
    """
    _require_whole_removal(changes)

    def write() -> Service:
        fresh = living_service(service.id)
        before = {name: getattr(fresh, name) for name in _COLUMNS}
        news = {name: value for name, value in changes.items() if before[name] != value}
        resumes = changes.get("auto_deploy") is True and fresh.auto_deploy_paused is not None
        if not news and not resumes:
            return fresh
        after = {**before, **news}
        _require_rest_of_target(fresh, after)
        if news.keys() & _NOT_WHILE_BUSY:
            _require_idle(fresh)
        commit(
            change(fresh, *_updates(news, resumes=resumes)),
            *_exchange(_subject(fresh), _claims(fresh, before), _claims(fresh, after)),
            *_follow(fresh, _followed(fresh, before), _followed(fresh, after)),
            _recorded(
                fresh,
                "service.updated",
                actor,
                {
                    "before": _audited({name: before[name] for name in news}),
                    "after": _audited(news),
                    **({"resumed": fresh.auto_deploy_paused} if resumes else {}),
                },
            ),
        )
        # What was written is known: reading it again could only fail what is done.
        for name, value in _written(news, resumes=resumes).items():
            setattr(fresh, name, value)
        return fresh

    return again_if_lost(_refusing_what_is_taken(write))


def delete_service(service: Service, *, actor: str) -> None:
    """Delete a service and free its claims; its row and history stay.

    Raises Conflict (service_busy).
    """

    def write() -> None:
        fresh = living_service(service.id)
        _require_idle(fresh)
        values = {name: getattr(fresh, name) for name in _COLUMNS}
        commit(
            change(fresh, Service.deleted_at.set(clock.now()), Service.listed_in.remove()),
            *_exchange(_subject(fresh), _claims(fresh, values), set()),
            *_follow(fresh, _followed(fresh, values), None),
            _recorded(fresh, "service.deleted", actor, {"name": fresh.name}),
        )

    again_if_lost(_refusing_what_is_taken(write))


_COLUMNS = (
    "name",
    "git_url",
    "repository",
    "branch",
    "submodules",
    "context_path",
    "dockerfile",
    "platforms",
    "build_args",
    "image_repository",
    *_TARGET,
    "webhook_secret",
    "auto_deploy",
    "queued_minutes",
    "build_minutes",
    "deploy_minutes",
)


def _refusing_what_is_taken(write: Callable[[], _T]) -> Callable[[], _T]:
    def run() -> _T:
        try:
            return write()
        except ConditionFailed as lost:
            _refuse_if_taken(lost)
            raise

    return run


def _refuse_if_taken(lost: ConditionFailed) -> None:
    """A claim that could not be taken is held by somebody: trying again cannot help."""
    names = {row.id for row in lost.rows if isinstance(row, Claim)}
    if any(name.startswith("ecs:") for name in names):
        raise Conflict(
            "this ECS service belongs to another service already",
            code="ecs_service_taken",
            field="ecs_service",
        ) from lost
    if any(name.startswith(("project:", "service:")) for name in names):
        raise Conflict("this name is taken", code="name_taken", field="name") from lost


def _require_whole_target(values: Mapping[str, Any]) -> None:
    missing = _missing_of_target(values)
    if missing:
        raise _incomplete_target(missing)


def _require_whole_removal(changes: Mapping[str, Any]) -> None:
    removed = [name for name in _TARGET if name in changes and changes[name] is None]
    if removed and len(removed) < len(_TARGET):
        raise _incomplete_target(removed)


def _require_rest_of_target(service: Service, values: Mapping[str, Any]) -> None:
    """What a change does not name must be there already."""
    missing = _missing_of_target(values)
    if missing:
        raise Conflict(
            f"service {service.id} has no ECS target yet: give {', '.join(_TARGET)} together",
            code="incomplete_ecs_target",
            field=missing[0],
        )


def _missing_of_target(values: Mapping[str, Any]) -> list[str]:
    missing = [name for name in _TARGET if values.get(name) is None]
    return missing if len(missing) < len(_TARGET) else []


def _incomplete_target(missing: list[str]) -> InvalidInput:
    return InvalidInput(
        f"{', '.join(_TARGET)} are given together or not at all",
        code="incomplete_ecs_target",
        field=missing[0],
    )


def _require_idle(service: Service) -> None:
    if service.deploying is not None or service.waiting is not None or service.open_builds:
        raise Conflict(
            f"service {service.id} has builds or deployments under way; wait until they have ended",
            code="service_busy",
        )
    released = service.current is not None or service.baseline is not None
    if released and _may_be_rolling(service):
        raise Conflict(
            f"ECS is still on its way to what service {service.id} should run; "
            "try again in a minute or two",
            code="service_busy",
        )


def _may_be_rolling(service: Service) -> bool:
    """Whether a rollout of ours may be under way; where nobody may look, for a while only."""
    claimed_at = service.claimed_at
    shown = service.drift is not None
    return claimed_at is not None and not (shown and clock.now() - claimed_at > SILENCE)


def _updates(news: Mapping[str, Any], *, resumes: bool) -> list[Action]:
    return _set(Service, _written(news, resumes=resumes))


def _written(news: Mapping[str, Any], *, resumes: bool) -> dict[str, Any]:
    """Every column that a change writes; None removes one."""
    written = {**news, "updated_at": clock.now()}
    if resumes:
        written["auto_deploy_paused"] = None
    if news.keys() & {"ecs_cluster", "ecs_service"}:
        written |= {"current": None, "baseline": None, "drift": None}
    return written


def _set(model: type[Project | Service], news: Mapping[str, Any]) -> list[Action]:
    columns = {name: getattr(model, name) for name in news}
    return [
        columns[name].remove() if value is None else columns[name].set(value)
        for name, value in news.items()
    ]


def _claims(service: Service, values: Mapping[str, Any]) -> set[str]:
    claims = {f"service:{service.project_id}/{values['name']}"}
    if values.get("ecs_service") is not None:
        claims.add(f"ecs:{values['ecs_cluster']}/{values['ecs_service']}")
    return claims


def _exchange(owner: str, before: set[str], after: set[str]) -> list[Move]:
    """Take the claims that are new, and free those that are not needed any more."""
    taken = [take(name, owner) for name in sorted(after - before)]
    held = [find(Claim, name) for name in sorted(before - after)]
    return [*taken, *(remove(claim) for claim in held if claim is not None)]


def _followed(service: Service, values: Mapping[str, Any]) -> tuple[str, Follower]:
    follower = Follower(service.project_id, values["branch"], values.get("webhook_secret"))
    return values["repository"], follower


def _follow(
    service: Service, before: tuple[str, Follower] | None, after: tuple[str, Follower] | None
) -> list[Move]:
    """Follow a branch of a repository instead of another."""
    if before == after:
        return []
    moves = []
    if before is not None and (after is None or before[0] != after[0]):
        claim, others = followers(before[0])
        rest = {other: its for other, its in others.items() if other != service.id}
        moves.append(set_followers(claim, before[0], rest))
    if after is not None:
        repository, follower = after
        claim, others = followers(repository)
        everybody = {**others, service.id: follower}
        _require_room(repository, follower, everybody.values())
        moves.append(set_followers(claim, repository, everybody))
    return moves


def _require_room(repository: str, new: Follower, everybody: Collection[Follower]) -> None:
    branches = [each.branch for each in everybody]
    if branches.count(new.branch) > MAX_FOLLOWERS:
        raise Conflict(
            f"{MAX_FOLLOWERS} services follow {new.branch} of {repository} already",
            code="too_many_services",
            field="branch",
        )
    if len(everybody) > MAX_FOLLOWERS_OF_ALL_BRANCHES:
        raise Conflict(
            f"{MAX_FOLLOWERS_OF_ALL_BRANCHES} services build {repository} already",
            code="too_many_services",
            field="git_url",
        )
    # GitHub has room for as many webhooks of one repository ("Types of webhooks").
    if (
        new.webhook_secret
        and len({each.webhook_secret for each in everybody} - {None}) > MAX_SECRETS
    ):
        raise Conflict(
            f"services that follow {repository} have {MAX_SECRETS} webhook secrets of their own "
            "already; let some share one",
            code="too_many_webhook_secrets",
            field="webhook_secret",
        )


def _audited(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for the audit trail; of build arguments the names alone: values may be secret."""
    shown = {**values}
    if "build_args" in shown:
        shown["build_args"] = sorted(shown["build_args"])
    return shown


def _subject(row: Project | Service) -> str:
    """How claims and the audit trail name a row."""
    return f"{'project' if isinstance(row, Project) else 'service'}-{row.id}"


def _recorded(row: Project | Service, action: str, actor: str, details: dict[str, Any]) -> Move:
    service = row if isinstance(row, Service) else None
    return record(
        _subject(row),
        action,
        at=clock.now(),
        actor=actor,
        project_id=service.project_id if service else row.id,
        service_id=service.id if service else None,
        **details,
    )
