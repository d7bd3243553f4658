"""Plans: what a deployment or a rollback would change, without any value of a variable."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from chalicelib.domain.config import SIZES, Config
from chalicelib.domain.definitions import same_task_definition
from chalicelib.domain.preflight import Finding
from chalicelib.domain.repositories import repository_of
from chalicelib.domain.strategies import StrategyType

Definition = Mapping[str, Any]
# What an accepted request would do to auto-deploy.
AutoDeploy = Literal["unchanged", "paused", "resumed"]

_GITHUB = "github.com"
# Members of a container definition that the plan shows in another way.
_SHOWN = {"name", "image", "environment", "secrets"}


class PlannedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image, and the release that it belongs to, as far as Slipway knows them. `image` is its
    name as the task definition has it or a request may name it.
    """

    image: str
    image_digest: str | None = None
    image_tag: str | None = None
    commit_sha: str | None = None
    build_id: int | None = None
    deployment_id: int | None = None


class Commits(msgspec.Struct, frozen=True, kw_only=True):
    """The commit that runs now and the wanted one. `compare_url` shows the commits between them, in
    a rollback those that it takes back. It is null for other hosts than GitHub.
    """

    now: str
    then: str
    compare_url: str | None


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Names of variables that a release adds, removes, or gives another value."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class ContainerChange(msgspec.Struct, frozen=True, kw_only=True):
    """A container that changes. `settings` are names of its other members that differ."""

    name: str
    image_now: str | None
    image_then: str | None
    environment: Names
    secrets: Names
    settings: tuple[str, ...]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of two task definitions. `settings` are names of members that differ, such
    as `cpu`.
    """

    containers: tuple[ContainerChange, ...] = ()
    settings: tuple[str, ...] = ()


class ConfigChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What changes in a service's config. `sizes` are names, of `cpu`, `memory` and
    `desired_count`.
    """

    environment: Names
    secrets: Names
    sizes: tuple[str, ...]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that the request would end, and its status after that."""

    deployment_id: int
    status: Literal["superseded", "rolled_back"]


class PlannedApproval(msgspec.Struct, frozen=True, kw_only=True):
    """The approvals that a deployment would need: one before its tasks get each percentage of the
    production `traffic`. ECS waits `minutes` for each, and then takes the rollout back.
    """

    minutes: int
    traffic: tuple[float, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a request would do, made without doing it. `possible` says whether it would be accepted;
    if not, `findings` say why. `image_now` and `changes` are null if ECS does not show what runs,
    and `commits` if a commit is unknown. No value of a variable is shown. The deployment would
    begin after the end of `starts_after`, and start from what ECS runs then. It would run the
    `release_command` before its rollout. ECS would move to it with `strategy`, and wait at least
    `waits_minutes`, without hooks: both are null if ECS does not show the service. `approval` is
    null if no person must approve it, as for each rollback. `desired_count` is the number of tasks
    that it asks ECS for; null if it leaves the number. `config` is what the request itself changes
    in the service's config: a change of it, or a rollback. `expected` is the active deployment, or
    else the current one: a deployment or a rollback with it in its body is refused if another one
    took its place.
    """

    possible: bool
    image_now: PlannedImage | None
    image_then: PlannedImage
    commits: Commits | None
    changes: Changes | None
    findings: tuple[Finding, ...]
    ends: tuple[Ending, ...]
    starts_after: int | None
    expected: int | None
    auto_deploy: AutoDeploy
    release_command: tuple[str, ...] | None = None
    strategy: StrategyType | None = None
    waits_minutes: int | None = None
    approval: PlannedApproval | None = None
    desired_count: int | None
    config: ConfigChanges | None


def config_changes(before: Config, after: Config) -> ConfigChanges:
    """The differences of two configs, by name."""
    return ConfigChanges(
        environment=_names(before.environment, after.environment),
        secrets=_names(before.secrets, after.secrets),
        sizes=tuple(name for name in SIZES if getattr(before, name) != getattr(after, name)),
    )


def commits_between(
    now: str | None, then: str | None, *, git_url: str, back: bool
) -> Commits | None:
    """The commits of two releases; None if one is unknown. `back` is true for a rollback.

    GitHub shows the commits of the second side that the first one has not ("Comparing commits"), so
    for a rollback the sides are exchanged.
    """
    if not now or not then:
        return None
    return Commits(now=now, then=then, compare_url=_compare_url(git_url, now, then, back=back))


def _compare_url(git_url: str, now: str, then: str, *, back: bool) -> str | None:
    try:
        repository = repository_of(git_url)
    except ValueError:  # stored before a rule became stricter
        return None
    if repository.host != _GITHUB or now == then:
        return None
    first, second = (then, now) if back else (now, then)
    path = f"{repository.owner}/{repository.name}"
    return f"https://{_GITHUB}/{path}/compare/{first}...{second}"


def image_in(definition: Definition, container: str) -> str | None:
    """The image of a container of a task definition; None if it has no such container."""
    found = _containers(definition).get(container)
    return None if found is None else found.get("image")


def changes(now: Definition, then: Definition) -> Changes:
    """The differences of two task definitions, described ones or those of requests."""
    now, then = same_task_definition(now), same_task_definition(then)
    before, after = _containers(now), _containers(then)
    names = dict.fromkeys([*before, *after])
    found = [_change(name, before.get(name), after.get(name)) for name in names]
    return Changes(
        containers=tuple(each for each in found if each is not None),
        settings=_different(now, then, without={"containerDefinitions", "tags"}),
    )


def _change(
    name: str, now: Mapping[str, Any] | None, then: Mapping[str, Any] | None
) -> ContainerChange | None:
    before, after = now or {}, then or {}
    change = ContainerChange(
        name=name,
        image_now=before.get("image"),
        image_then=after.get("image"),
        environment=_names(*_values(before, after, "environment", "value")),
        secrets=_names(*_values(before, after, "secrets", "valueFrom")),
        settings=_different(before, after, without=_SHOWN),
    )
    unchanged = Names()
    same = change.image_now == change.image_then and not change.settings
    return None if same and change.environment == change.secrets == unchanged else change


def _values(
    now: Mapping[str, Any], then: Mapping[str, Any], member: str, value: str
) -> Iterator[dict[str, Any]]:
    for container in (now, then):
        yield {each["name"]: each.get(value) for each in container.get(member, [])}


def _names(before: Mapping[str, Any], after: Mapping[str, Any]) -> Names:
    both = before.keys() & after.keys()
    return Names(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in both if before[name] != after[name])),
    )


def _different(
    now: Mapping[str, Any], then: Mapping[str, Any], *, without: Iterable[str]
) -> tuple[str, ...]:
    """Names of members that differ. An empty value means the same as none."""
    empty: tuple[Any, ...] = (None, "", [], {})
    names = {
        name
        for name in now.keys() | then.keys()
        if now.get(name) != then.get(name)
        and not (now.get(name) in empty and then.get(name) in empty)
    }
    return tuple(sorted(names - set(without)))


def _containers(definition: Definition) -> dict[str, Mapping[str, Any]]:
    return {each["name"]: each for each in definition["containerDefinitions"]}
