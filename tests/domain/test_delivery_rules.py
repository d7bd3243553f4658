"""Merging several verdicts on one service."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.deliveries import Outcome, Verdict, merged, outcome_of

STARTED = Verdict(1, 1, Outcome.STARTED, "a build was started", 7)
DUPLICATE = Verdict(1, 1, Outcome.DUPLICATE, "this push had started its build before", 7)
OTHER_BRANCH = Verdict(1, 1, Outcome.IGNORED, "it follows the branch a")
REFUSED = Verdict(1, 1, Outcome.IGNORED, "this delivery was not signed with its secret")
OTHER_SERVICE = Verdict(2, 1, Outcome.IGNORED, "it follows the branch b")

NEWER = Verdict(1, 1, Outcome.STARTED, "a build was started", 8)

many = st.lists(st.sampled_from([STARTED, NEWER, DUPLICATE, OTHER_BRANCH, REFUSED, OTHER_SERVICE]))


def test_started_comes_before_duplicate_and_duplicate_before_ignored() -> None:
    assert merged([OTHER_BRANCH, DUPLICATE, STARTED, OTHER_SERVICE]) == [STARTED, OTHER_SERVICE]
    assert merged([REFUSED, DUPLICATE]) == [DUPLICATE]
    assert outcome_of([OTHER_SERVICE, DUPLICATE]) == "duplicate"
    assert outcome_of([]) == "ignored"


def test_without_a_build_all_reasons_are_shown() -> None:
    (verdict,) = merged([OTHER_BRANCH, REFUSED, OTHER_BRANCH])
    assert verdict.reason == "it follows the branch a; this delivery was not signed with its secret"
    assert (verdict.outcome, verdict.build_id) == ("ignored", None)


@given(many, st.randoms(use_true_random=False))
def test_order_and_repetition_of_verdicts_do_not_matter(
    verdicts: list[Verdict], chance: Any
) -> None:
    shuffled = [*verdicts, *verdicts]
    chance.shuffle(shuffled)
    assert merged(shuffled) == merged(verdicts)
    assert [verdict.service_id for verdict in merged(verdicts)] == sorted(
        {verdict.service_id for verdict in verdicts}
    )
