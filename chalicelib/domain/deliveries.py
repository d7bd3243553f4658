"""What a delivery of the webhook led to, service by service."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a delivery led to, for one service or in all: the first of these that is true."""

    STARTED = "started"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Verdict:
    """What a delivery meant to one service: the build it started or had started, or why none."""

    service_id: int
    project_id: int
    outcome: Outcome
    reason: str
    build_id: int | None = None


def merged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each service, however often it was judged: what led furthest.

    Where nothing was ever started all the reasons stand, since no order of them is known.
    """
    services: dict[int, list[Verdict]] = {}
    for verdict in verdicts:
        services.setdefault(verdict.service_id, []).append(verdict)
    return [_best(services[number]) for number in sorted(services)]


def outcome_of(verdicts: Iterable[Verdict]) -> Outcome:
    """What a delivery led to in all."""
    outcomes = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in Outcome if outcome in outcomes), Outcome.IGNORED)


def _best(verdicts: list[Verdict]) -> Verdict:
    outcome = outcome_of(verdicts)
    best = [verdict for verdict in verdicts if verdict.outcome == outcome]
    reason = "; ".join(sorted({verdict.reason for verdict in best}))
    newest = max(best, key=lambda verdict: verdict.build_id or 0)
    return Verdict(newest.service_id, newest.project_id, outcome, reason, newest.build_id)
