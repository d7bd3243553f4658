"""The trace of a delivery: what it led to, service by service, and in whose lists it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chalicelib.domain.pushes import Outcome
from chalicelib.store.moves import MAX_MOVES, Move, commit
from chalicelib.store.receipts import audience, find_delivery, note_delivery

# What a delivery is about: what comes again under its id says the same.
_ABOUT = ("event", "repository", "ref", "sha", "pushed_at")


@dataclass(frozen=True)
class Verdict:
    """What a delivery meant to one service: the build it started or had started, or why none."""

    service_id: int
    project_id: int
    outcome: Outcome
    reason: str
    build_id: int | None = None


def commit_with_trace(
    delivery: str, told: Mapping[str, Any], verdicts: Iterable[Verdict], *moves: Move
) -> None:
    """Write `moves`, what the delivery led to, and the lists that show it, in one transaction.

    A delivery that comes again is counted, and keeps what it had meant to services that it means
    nothing to any more. Its id is not signed: it stays with the payload that it came with first,
    and what comes with another leaves no trace. Raises what `commit` raises.
    """
    noted = find_delivery(delivery)
    before = None if noted is None else noted.outcome
    if before is not None and any(before.get(name) != told.get(name) for name in _ABOUT):
        if moves:
            commit(*moves)
        return
    known = [] if before is None else before["services"]
    services = _merged(known, verdicts)
    noting = note_delivery(
        delivery,
        {**told, "services": services},
        before=noted,
        news=before is None or _builds(known) != _builds(services),
        audiences=_audiences(services),
    )
    _commit(noting[1:], *moves, noting[0])


def _merged(known: Sequence[Mapping[str, Any]], verdicts: Iterable[Verdict]) -> list[Any]:
    """The newest verdict on each service, but the one that names a build before others."""
    merged = {verdict["service_id"]: dict(verdict) for verdict in known}
    for verdict in verdicts:
        before = merged.get(verdict.service_id)
        if before is None or before["build_id"] is None or verdict.build_id is not None:
            merged[verdict.service_id] = asdict(verdict)
    return [merged[service] for service in sorted(merged)]


def _builds(services: Iterable[Mapping[str, Any]]) -> list[tuple[int, int | None]]:
    return [(verdict["service_id"], verdict["build_id"]) for verdict in services]


def _audiences(services: Iterable[Mapping[str, Any]]) -> list[str]:
    """Those who see a part, and this in it."""
    return sorted(
        {
            audience(project_id=verdict["project_id"], service_id=service)
            for verdict in services
            for service in (None, verdict["service_id"])
        }
    )


def _commit(listing: Sequence[Move], *moves: Move) -> None:
    """Of the listing, what the transaction has no room for is written ahead, and shown with it."""
    room = MAX_MOVES - len(moves)
    for first in range(room, len(listing), MAX_MOVES):
        commit(*listing[first : first + MAX_MOVES])
    commit(*moves, *listing[:room])
