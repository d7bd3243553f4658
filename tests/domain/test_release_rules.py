"""Where a rollback goes: always to what is different, always further back."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.releases import rollback_target


@dataclass(frozen=True)
class Release:
    number: int
    fingerprint: str | None
    rollback_to: int | None = None


def test_the_first_release_has_nothing_before_it() -> None:
    assert rollback_target(Release(1, "a"), replaced=None, restored=None) is None


def test_a_release_goes_back_to_the_one_it_replaced() -> None:
    assert rollback_target(Release(2, "b"), replaced=Release(1, "a"), restored=None) == 1


def test_an_equal_release_is_no_step_back() -> None:
    before = Release(2, "b", rollback_to=1)
    assert rollback_target(Release(3, "b"), replaced=before, restored=None) == 1


def test_a_rollback_goes_where_the_release_it_restored_would_go() -> None:
    restored, left = Release(2, "b", rollback_to=1), Release(3, "c", rollback_to=2)
    assert rollback_target(Release(4, "b"), replaced=left, restored=restored) == 1


class Ledger:
    """A service's releases; `deploy` and `roll_back` end well at once."""

    def __init__(self) -> None:
        self.releases: dict[int, Release] = {}
        self.current: Release | None = None

    @property
    def target(self) -> Release | None:
        """Where a rollback would go now."""
        return self.releases.get(self.current.rollback_to or 0) if self.current else None

    def deploy(self, fingerprint: str) -> None:
        self._record(fingerprint, restored=None)

    def roll_back(self) -> None:
        if self.target is not None:
            self._record(self.target.fingerprint, restored=self.target)

    def _record(self, fingerprint: str | None, *, restored: Release | None) -> None:
        made = Release(len(self.releases) + 1, fingerprint)
        back_to = rollback_target(made, replaced=self.current, restored=restored)
        self.current = self.releases[made.number] = replace(made, rollback_to=back_to)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Ledgers after any deployments of three images, and rollbacks (None) between them."""
    ledger = Ledger()
    for image in draw(st.lists(st.sampled_from("abc") | st.none(), max_size=30)):
        if image is None:
            ledger.roll_back()
        else:
            ledger.deploy(image)
    return ledger


@given(ledgers())
def test_a_rollback_never_brings_back_what_runs(ledger: Ledger) -> None:
    if ledger.current is not None and ledger.target is not None:
        assert ledger.target.fingerprint != ledger.current.fingerprint


@given(ledgers())
def test_walking_back_always_ends(ledger: Ledger) -> None:
    steps, releases = 0, len(ledger.releases)
    while ledger.target is not None:
        before = ledger.target.number
        ledger.roll_back()
        assert ledger.target is None or ledger.target.number < before
        steps += 1
    assert steps <= releases
