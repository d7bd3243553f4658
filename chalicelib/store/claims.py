"""Strings that one owner holds, counters, and who follows which repository."""

from dataclasses import asdict, dataclass

from pynamodb.exceptions import UpdateError

from chalicelib import budget
from chalicelib.store.models import Claim
from chalicelib.store.moves import Move, change, create
from chalicelib.store.reads import failure, find


@dataclass(frozen=True)
class Follower:
    """What a service follows of a repository, and where a webhook secret of its own is kept."""

    project_id: int
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
    known = claim.followers if claim else None
    return claim, {int(service): Follower(**its) for service, its in (known or {}).items()}


def set_followers(claim: Claim | None, repository: str, services: dict[int, Follower]) -> Move:
    """Write who follows `repository`, provided nobody else changed it since it was read."""
    told = {str(number): asdict(each) for number, each in services.items()}
    if claim is None:
        return create(Claim(f"repository:{repository}", followers=told))
    return change(claim, Claim.followers.set(told))
