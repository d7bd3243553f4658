"""The result of a webhook delivery for each service."""

from collections.abc import Iterable
from enum import StrEnum
from itertools import groupby
from operator import attrgetter

import msgspec

_SERVICE, _OUTCOME = attrgetter("service_id"), attrgetter("outcome")


class Outcome(StrEnum):
    """The result of a delivery, for one service or in total. The first member that applies wins."""

    STARTED = "started"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


class Verdict(msgspec.Struct, frozen=True):
    """The result for one service: the build that this push started, or the reason for none."""

    service_id: int
    project_id: int
    outcome: Outcome
    reason: str
    build_id: int | None = None


def merged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each service: the one with the first outcome in the order of `Outcome`.

    It names the newest build. All reasons of that outcome are joined, because the order of the
    verdicts is not known.
    """
    ordered = sorted(verdicts, key=_SERVICE)
    if len(set(map(_SERVICE, ordered))) == len(ordered):
        return ordered
    groups = (list(group) for _, group in groupby(ordered, key=_SERVICE))
    return [each[0] if len(each) == 1 else _best(each) for each in groups]


def outcome_of(verdicts: Iterable[Verdict]) -> Outcome:
    """The outcome of a delivery in total."""
    outcomes = list(map(_OUTCOME, verdicts))
    return next((outcome for outcome in Outcome if outcome in outcomes), Outcome.IGNORED)


def _best(verdicts: list[Verdict]) -> Verdict:
    outcome = outcome_of(verdicts)
    best = [verdict for verdict in verdicts if verdict.outcome == outcome]
    reason = "; ".join(sorted({verdict.reason for verdict in best}))
    newest = max(best, key=lambda verdict: verdict.build_id or 0)
    return Verdict(newest.service_id, newest.project_id, outcome, reason, newest.build_id)
