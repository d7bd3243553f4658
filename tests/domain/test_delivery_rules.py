"""What several verdicts on one service come to."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.deliveries import Outcome, Verdict, merged, outcome_of

STARTED = Verdict(1, 1, Outcome.STARTED, "a build was started", 7)
AGAIN = Verdict(1, 1, Outcome.DUPLICATE, "this push had started its build before", 7)
OTHER_BRANCH = Verdict(1, 1, Outcome.IGNORED, "it follows the branch a")
REFUSED = Verdict(1, 1, Outcome.IGNORED, "it has a webhook secret of its own")
NEIGHBOUR = Verdict(2, 1, Outcome.IGNORED, "it follows the branch b")

NEWER = Verdict(1, 1, Outcome.STARTED, "a build was started", 8)

many = st.lists(st.sampled_from([STARTED, NEWER, AGAIN, OTHER_BRANCH, REFUSED, NEIGHBOUR]))


def test_what_led_furthest_stands() -> None:
    assert merged([OTHER_BRANCH, AGAIN, STARTED, NEIGHBOUR]) == [STARTED, NEIGHBOUR]
    assert merged([REFUSED, AGAIN]) == [AGAIN]
    assert outcome_of([NEIGHBOUR, AGAIN]) == "duplicate"
    assert outcome_of([]) == "ignored"


def test_where_nothing_was_started_every_reason_stands() -> None:
    (verdict,) = merged([OTHER_BRANCH, REFUSED, OTHER_BRANCH])
    assert verdict.reason == "it follows the branch a; it has a webhook secret of its own"
    assert (verdict.outcome, verdict.build_id) == ("ignored", None)


@given(many, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_matters(verdicts: list[Verdict], chance: Any) -> None:
    shuffled = [*verdicts, *verdicts]
    chance.shuffle(shuffled)
    assert merged(shuffled) == merged(verdicts)
    assert [verdict.service_id for verdict in merged(verdicts)] == sorted(
        {verdict.service_id for verdict in verdicts}
    )
