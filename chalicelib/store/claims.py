"""Claims (unique strings, each owned by one row), counters, and the followers of a repository."""

import msgspec
from pynamodb.exceptions import UpdateError

from chalicelib import budget
from chalicelib.domain.heads import Heads
from chalicelib.store.models import Claim
from chalicelib.store.reads import failure, find
from chalicelib.store.schema import check_schema
from chalicelib.store.writes import Write, change, create, remove


class Follower(msgspec.Struct, frozen=True):
    """A service that follows a repository; `webhook_secret` is the reference to its own secret.

    `tags` is true if it also builds some tags.
    """

    project_id: int
    branch: str
    webhook_secret: str | None = None
    tags: bool = False


def next_number(counter: str, amount: int = 1) -> int:
    """The first of `amount` new numbers. A lost answer skips numbers; no number is used twice."""
    check_schema()
    budget.check()
    claim = Claim(f"counter:{counter}")
    try:
        claim.update(actions=[Claim.value.add(amount)], add_version_condition=False)
    except UpdateError as error:
        raise failure(error) from error
    return int(claim.value or 0) - amount + 1


def claim(name: str, owner: str) -> Write:
    """Claim `name` for `owner`; the commit fails if another row owns it."""
    return create(Claim(name, owner=owner))


def release(names: set[str]) -> list[Write]:
    """Release claims that are no longer needed; missing ones are ignored."""
    rows = [find(Claim, name) for name in sorted(names)]
    return [remove(row) for row in rows if row is not None]


def replace_claims(owner: str, before: set[str], after: set[str]) -> list[Write]:
    """Claim the names that only `after` has, and release those that only `before` has."""
    claims = [claim(name, owner) for name in sorted(after - before)]
    return [*claims, *release(before - after)]


def owner_of(name: str) -> str | None:
    """The present owner of `name`; None if it is not claimed."""
    row = find(Claim, name)
    return row.owner if row else None


def followers(repository: str) -> tuple[Claim | None, dict[int, Follower]]:
    """The services that follow a repository, by number, and the row that lists them."""
    row = find(Claim, f"repository:{repository}")
    stored = row.followers if row else None
    return row, {int(number): Follower(**each) for number, each in (stored or {}).items()}


def set_followers(row: Claim | None, repository: str, services: dict[int, Follower]) -> Write:
    """Store the followers of `repository`, on condition of the row that was read."""
    stored = {str(number): msgspec.structs.asdict(each) for number, each in services.items()}
    if row is None:
        return create(Claim(f"repository:{repository}", followers=stored))
    return change(row, followers=stored)


def heads_of(row: Claim | None) -> Heads | None:
    """What is known of the heads of a repository; None if none was ever looked at."""
    stored = row.heads if row else None
    return None if stored is None else msgspec.convert(stored, Heads, str_keys=True)


def set_heads(row: Claim, heads: Heads) -> Write:
    """Store what is known of the heads, on condition of the row that was read."""
    return change(row, heads=msgspec.to_builtins(heads, str_keys=True))
