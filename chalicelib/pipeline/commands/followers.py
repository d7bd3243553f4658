"""The followers of a repository: one row lists them, so that a push finds all in one read."""

from collections.abc import Collection

from chalicelib.domain.service_settings import ServiceSettings
from chalicelib.errors import Conflict
from chalicelib.store.claims import Follower, followers, set_followers
from chalicelib.store.models import Service
from chalicelib.store.writes import Write

MAX_FOLLOWERS = 30  # of one branch of one repository: their builds start in one transaction
MAX_FOLLOWERS_OF_ALL_BRANCHES = 100  # of one repository: they are one row, of 400 KB at most
MAX_SECRETS = 20  # of one repository: a delivery may have to be checked against each of them


def follow(
    service: Service, before: ServiceSettings | None, after: ServiceSettings | None
) -> list[Write]:
    """Follow the branch of `after` instead of that of `before`; None means no branch.

    Raises Conflict (too_many_services, too_many_webhook_secrets).
    """
    old, new = _followed(service, before), _followed(service, after)
    if old == new:
        return []
    writes = []
    if before is not None and (after is None or before.repository != after.repository):
        row, others = followers(before.repository)
        rest = {number: each for number, each in others.items() if number != service.id}
        writes.append(set_followers(row, before.repository, rest))
    if after is not None and new is not None:
        row, others = followers(after.repository)
        everybody = {**others, service.id: new[1]}
        _require_room(after.repository, new[1], everybody.values())
        writes.append(set_followers(row, after.repository, everybody))
    return writes


def _followed(service: Service, settings: ServiceSettings | None) -> tuple[str, Follower] | None:
    if settings is None:
        return None
    follower = Follower(service.project_id, settings.branch, settings.webhook_secret)
    return settings.repository, follower


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
    secrets = {each.webhook_secret for each in everybody} - {None}
    # GitHub allows as many webhooks of one repository ("Types of webhooks").
    if new.webhook_secret and len(secrets) > MAX_SECRETS:
        raise Conflict(
            f"services that follow {repository} have {MAX_SECRETS} webhook secrets of their own "
            "already; let some share one",
            code="too_many_webhook_secrets",
            field="webhook_secret",
        )
