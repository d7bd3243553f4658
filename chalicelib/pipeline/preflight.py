"""Looks at AWS for preflight: once for each release, with few and bounded calls.

A request is checked when it is accepted, and again before its rollout begins.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from chalicelib import budget
from chalicelib.aws import ecr, ecs, iam, logs, references
from chalicelib.domain.approval_findings import approval_findings
from chalicelib.domain.config import Overlay
from chalicelib.domain.definitions import differs
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.manifests import parse_manifest, platform_of
from chalicelib.domain.preflight import (
    MOST_LOOKS,
    Finding,
    FoundImage,
    Kind,
    Need,
    NoValue,
    Refusal,
    Release,
    Unknown,
    World,
    has_value,
    needs,
    other_images,
    preflight,
)
from chalicelib.domain.rollouts import Rollout
from chalicelib.domain.strategy_findings import strategy_findings
from chalicelib.errors import Rejected, Unavailable
from chalicelib.store.definitions import registered_for
from chalicelib.store.models import Service

_T = TypeVar("_T")
Definition = Mapping[str, Any]

# Codes of `ecs.observe` that prove that ECS cannot deploy the service, so no release runs there.
NO_SERVICE = {"ecs_service_missing", "ecs_controller_unsupported", "ClusterNotFoundException"}
# Looks begin within these seconds. The last one takes up to two more: a second each to connect and
# to read, and no second try. A worker lives for 30 seconds.
_SECONDS = 8.0
# An HTTP request keeps so much of its time: for the last look, and to begin its writes.
_KEEP = 2.5


class Look:
    """Makes calls that only look, within some seconds. A refused one has an Unknown result.

    So has one that AWS does not answer, and then no further call is made: a caller waits for the
    answer, and the rollout's own preflight looks again, unless this is the last one. With `waits`
    Unavailable is raised instead.
    """

    def __init__(self, *, waits: bool = False, is_last: bool = False) -> None:
        self._budget = budget.part(_SECONDS, keep=_KEEP, tries=1)
        self._waits = waits
        self._again = "" if is_last else "; this is checked again before the rollout"
        self._silence: Unknown | None = None

    def __call__(self, call: Callable[[], _T]) -> _T | Unknown:
        if self._silence is not None:
            return self._silence
        try:
            with budget.spending(self._budget):
                return call()
        except Rejected as refusal:
            return Unknown(refusal.detail, is_denied=True)
        except Unavailable as trouble:
            if self._waits:
                raise
            self._silence = Unknown(f"AWS did not answer ({trouble.detail}){self._again}")
            return self._silence


def look_at_service(look: Look, target: EcsTarget) -> Rollout | Refusal | Unknown:
    """What ECS runs, or why it cannot deploy the service."""

    def observe() -> Rollout | Refusal:
        try:
            return ecs.observe(target, wanted=None, follows=False)
        except Rejected as refusal:
            if refusal.code in NO_SERVICE:
                return Refusal(refusal.code, refusal.detail)
            raise

    return look(observe)


def look_at_definition(
    look: Look, rollout: Rollout | Refusal | Unknown
) -> dict[str, Any] | Unknown:
    """The definition that ECS runs, with its tags as "tags"."""
    if isinstance(rollout, Rollout):
        return look(partial(ecs.describe_task_definition, rollout.task_definition))
    return rollout if isinstance(rollout, Unknown) else Unknown(rollout.text)


def look_at_image(look: Look, repository: str, digest: str) -> str | Unknown | None:
    """The imageStatus of an image; None if ECR does not have the image."""
    return look(partial(ecr.status_of, repository, digest))


def check(
    look: Look,
    release: Release,
    *,
    service: Service,
    runs: Rollout | Refusal | Unknown,
    image: str | Unknown | None,
    arn: str | None,
) -> tuple[Finding, ...]:
    """All findings about a release of a service.

    `runs` and `image` are the results of the looks at the ECS service and the image. `arn` is that
    of the definition that `release` has, or is made from. With containers the image is put into
    what ECS runs; a rollback has none.
    """
    definition = release.definition
    newer: str | Unknown | None = None
    found: Mapping[Need, bool | NoValue | Unknown] = {}
    further: Mapping[Kind, int] = {}
    known = _known_image(look, release, image)
    if not isinstance(definition, Unknown):
        region, account = arn.split(":")[3:5] if arn else ("", "")
        wanted = [
            *needs(definition, region=region, account=account),
            *other_images(release),
        ]
        found = _found(look, wanted)
        further = Counter(need.kind for need in wanted if need not in found)
        if release.containers:
            newer = look(partial(_newer, definition, release.containers, release.overlay))
    rollout = runs if isinstance(runs, Rollout) else None
    world = World(
        image=known,
        service=None if isinstance(runs, Rollout) else runs,
        found=found,
        further=further,
        newer=newer,
        desired=rollout.all_desired if rollout is not None else None,
        is_daemon=rollout is not None and rollout.is_daemon,
    )
    is_rollback = not release.containers
    more = _of_rollout(service, rollout, is_rollback=is_rollback) if rollout is not None else ()
    return preflight(release, world, more)


def _of_rollout(service: Service, rollout: Rollout, *, is_rollback: bool) -> Iterator[Finding]:
    """How ECS would move to the release, and whether it would wait for an approval."""
    settings, added = service.settings, service.hook_minutes
    yield from strategy_findings(rollout, settings.strategy, added=added)
    if settings.approval_for(is_rollback=is_rollback) is not None:
        yield from approval_findings(rollout, settings.strategy, added=added)


def _known_image(
    look: Look, release: Release, status: str | Unknown | None
) -> FoundImage | Unknown | None:
    if status is None or isinstance(status, Unknown):
        return status
    # ECR gives out nothing of an archived image.
    return _image(look, release) if status == "ACTIVE" else FoundImage(status)


def _image(look: Look, release: Release) -> FoundImage:
    repository = release.repository

    def read() -> FoundImage:
        try:
            manifest = parse_manifest(*ecr.manifest(repository, release.digest))
        except ValueError as error:
            raise Rejected(f"the image's manifest cannot be read: {error}") from error
        if manifest.other or not manifest.config:
            return FoundImage(other=manifest.other, platforms=_stated(manifest.platforms))
        return FoundImage(platforms=look(partial(_of_config, repository, manifest.config)))

    found = look(read)
    return FoundImage(platforms=found) if isinstance(found, Unknown) else found


def _stated(platforms: frozenset[str]) -> frozenset[str] | Unknown:
    return platforms or Unknown("the image's index does not name the platforms of all its images")


def _of_config(repository: str, digest: str) -> frozenset[str]:
    try:
        return frozenset({platform_of(ecr.config(repository, digest))})
    except ValueError as error:
        raise Rejected(f"the image's config cannot be read: {error}") from error


def _found(look: Look, wanted: Iterable[Need]) -> dict[Need, bool | NoValue | Unknown]:
    """Whether the things exist, in the order of `wanted`; those beyond MOST_LOOKS are left out."""
    found: dict[Need, bool | NoValue | Unknown] = {}
    by_kind: dict[Kind, list[Need]] = {kind: [] for kind in Kind}
    for need in wanted:
        looked_for = by_kind[need.kind]
        if need.unseen or len(looked_for) < MOST_LOOKS[need.kind]:
            found[need] = Unknown(need.unseen)  # keeps the order
            looked_for += [] if need.unseen else [need]
    for need in by_kind[Kind.ROLE]:
        found[need] = look(partial(iam.has_role, need.name))
    for need in by_kind[Kind.SECRET]:
        found[need] = _secret(look, need)
    for need in by_kind[Kind.LOG_GROUP]:
        found[need] = look(partial(logs.has_group, need.name))
    for need in by_kind[Kind.IMAGE]:
        found[need] = look(partial(_can_be_pulled, need.name))
    names = [need.name for need in by_kind[Kind.PARAMETER]]
    existing = look(partial(references.existing_parameters, names)) if names else set[str]()
    for need in by_kind[Kind.PARAMETER]:
        found[need] = existing if isinstance(existing, Unknown) else need.name in existing
    return found


def _can_be_pulled(image: str) -> bool:
    """Whether ECR gives out an image: it has it, and has not archived it."""
    separator = "@" if "@" in image else ":"
    repository, _, mark = image.partition(separator)
    return ecr.status_of(repository, mark) == "ACTIVE"


def _secret(look: Look, need: Need) -> bool | NoValue | Unknown:
    labels = look(partial(references.labels_of, need.name))
    if labels is None or isinstance(labels, Unknown):
        return False if labels is None else labels
    return has_value(need, labels)


def _newer(running: Definition, containers: Collection[str], overlay: Overlay | None) -> str | None:
    """The ARN of the family's latest revision, if another party registered it after the one that
    runs, and it differs in more than its images and the service's config.
    """
    newest = ecs.describe_task_definition(running["family"])
    arn: str = newest["taskDefinitionArn"]
    if newest["revision"] <= running["revision"]:
        return None
    newest = newest if overlay is None else overlay.over(newest)
    if not differs(running, newest, containers=containers) or registered_for(arn) is not None:
        return None
    return arn
