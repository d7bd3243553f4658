"""The followers of a repository. One row lists all, so that a push finds them in one read."""

from collections.abc import Collection

from chalicelib.domain.service_settings import ServiceSettings
from chalicelib.errors import Conflict
from chalicelib.store.claims import Follower, followers, set_followers
from chalicelib.store.models import Service
from chalicelib.store.writes import Write

# Of one branch of a repository, and of its tags: one transaction starts their builds.
MAX_FOLLOWERS = 30
# Of one repository: one row lists them, and DynamoDB allows 400 KB.
MAX_FOLLOWERS_OF_ALL_BRANCHES = 100
# Of one repository: each secret may have to be checked for a delivery.
MAX_SECRETS = 20


def follow(
    service: Service, before: ServiceSettings | None, after: ServiceSettings | None
) -> list[Write]:
    """Follow the branch and tags of `after` instead of those of `before`; None means nothing.

    A service without builds of its own follows nothing.

    Raises Conflict (too_many_services, too_many_webhook_secrets).
    """
    old, new = _followed(service, before), _followed(service, after)
    if old == new:
        return []
    writes = []
    if old is not None and (new is None or old[0] != new[0]):
        row, others = followers(old[0])
        rest = {number: each for number, each in others.items() if number != service.id}
        writes.append(set_followers(row, old[0], rest))
    if new is not None:
        row, others = followers(new[0])
        together = {**others, service.id: new[1]}
        _require_room(new[0], new[1], together.values())
        writes.append(set_followers(row, new[0], together))
    return writes


def _followed(service: Service, settings: ServiceSettings | None) -> tuple[str, Follower] | None:
    if settings is None or settings.image_from is not None:
        return None
    follower = Follower(
        service.project_id, settings.branch, settings.webhook_secret, bool(settings.tags)
    )
    return settings.repository, follower


def _require_room(repository: str, new: Follower, together: Collection[Follower]) -> None:
    branches = [each.branch for each in together]
    if branches.count(new.branch) > MAX_FOLLOWERS:
        raise Conflict(
            f"{MAX_FOLLOWERS} services follow {new.branch} of {repository} already",
            code="too_many_services",
            field="branch",
        )
    # One tag may match the patterns of all of them.
    if new.tags and sum(each.tags for each in together) > MAX_FOLLOWERS:
        raise Conflict(
            f"{MAX_FOLLOWERS} services build tags of {repository} already",
            code="too_many_services",
            field="tags",
        )
    if len(together) > MAX_FOLLOWERS_OF_ALL_BRANCHES:
        raise Conflict(
            f"{MAX_FOLLOWERS_OF_ALL_BRANCHES} services build {repository} already",
            code="too_many_services",
            field="git_url",
        )
    secrets = {each.webhook_secret for each in together} - {None}
    # GitHub allows 20 webhooks of one repository for an event, too ("Types of webhooks").
    if new.webhook_secret and len(secrets) > MAX_SECRETS:
        raise Conflict(
            f"services that follow {repository} have {MAX_SECRETS} different webhook secrets "
            "already; some must share one",
            code="too_many_webhook_secrets",
            field="webhook_secret",
        )
