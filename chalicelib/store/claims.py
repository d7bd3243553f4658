"""Strings that one owner holds, counters, and who follows which repository."""

from dataclasses import dataclass

from pynamodb.exceptions import UpdateError

from chalicelib import budget
from chalicelib.store.models import Claim
from chalicelib.store.moves import Move, change, create
from chalicelib.store.reads import failure, find


@dataclass(frozen=True)
class Follower:
    """What a service follows of a repository, and where a webhook secret of its own is kept."""

    branch: str
    webhook_secret: str | None = None


def next_number(counter: str, amount: int = 1) -> int:
    """The first of `amount` new numbers; a lost answer leaves a gap, never a number used twice."""
    budget.check()
    claim = Claim(f"counter:{counter}")
    try:
        claim.update(actions=[Claim.value.add(amount)], add_version_condition=False)
    except UpdateError as error:
        raise failure(error) from error
    return int(claim.value or 0) - amount + 1


def take(name: str, owner: str) -> Move:
    """Hold `name`; committing fails when somebody holds it already."""
    return create(Claim(name, owner=owner))


def owner_of(name: str) -> str | None:
    """Who holds `name` now."""
    claim = find(Claim, name)
    return claim.owner if claim else None


def followers(repository: str) -> tuple[Claim | None, dict[int, Follower]]:
    """Services that follow a repository, and the row that says so."""
    claim = find(Claim, f"repository:{repository}")
    if claim is None:
        return None, {}
    own = claim.webhook_secrets or {}
    return claim, {
        int(service): Follower(branch, own.get(service))
        for service, branch in (claim.followers or {}).items()
    }


def set_followers(claim: Claim | None, repository: str, services: dict[int, Follower]) -> Move:
    """Write who follows `repository`, provided nobody else changed it since it was read."""
    branches = {str(number): each.branch for number, each in services.items()}
    own = {str(n): each.webhook_secret for n, each in services.items() if each.webhook_secret}
    if claim is None:
        return create(
            Claim(f"repository:{repository}", followers=branches, webhook_secrets=own or None)
        )
    return change(
        claim,
        Claim.followers.set(branches),
        Claim.webhook_secrets.set(own) if own else Claim.webhook_secrets.remove(),
    )
