"""The target of a rollback: always a different release, and always further back."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.releases import rollback_target


@dataclass(frozen=True)
class Release:
    number: int
    fingerprint: str | None
    rollback_to: int | None = None


def test_the_first_release_has_no_rollback_target() -> None:
    assert rollback_target(Release(1, "a"), replaced=None, restored=None) is None


def test_a_rollback_goes_to_the_replaced_release() -> None:
    assert rollback_target(Release(2, "b"), replaced=Release(1, "a"), restored=None) == 1


def test_a_replaced_release_with_the_same_fingerprint_is_skipped() -> None:
    before = Release(2, "b", rollback_to=1)
    assert rollback_target(Release(3, "b"), replaced=before, restored=None) == 1


def test_a_second_rollback_goes_further_back() -> None:
    restored, left = Release(2, "b", rollback_to=1), Release(3, "c", rollback_to=2)
    assert rollback_target(Release(4, "b"), replaced=left, restored=restored) == 1


class Ledger:
    """A service's releases. `deploy` and `roll_back` succeed at once."""

    def __init__(self) -> None:
        self.releases: dict[int, Release] = {}
        self.current: Release | None = None

    @property
    def target(self) -> Release | None:
        """The target of a rollback now."""
        return self.releases.get(self.current.rollback_to or 0) if self.current else None

    def deploy(self, fingerprint: str) -> None:
        self._record(fingerprint, restored=None)

    def roll_back(self) -> None:
        if self.target is not None:
            self._record(self.target.fingerprint, restored=self.target)

    def _record(self, fingerprint: str | None, *, restored: Release | None) -> None:
        release = Release(len(self.releases) + 1, fingerprint)
        target = rollback_target(release, replaced=self.current, restored=restored)
        self.current = self.releases[release.number] = replace(release, rollback_to=target)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Ledgers after random deployments of three images, with rollbacks (None) between them."""
    ledger = Ledger()
    for image in draw(st.lists(st.sampled_from("abc") | st.none(), max_size=30)):
        if image is None:
            ledger.roll_back()
        else:
            ledger.deploy(image)
    return ledger


@given(ledgers())
def test_a_rollback_never_restores_the_running_release(ledger: Ledger) -> None:
    if ledger.current is not None and ledger.target is not None:
        assert ledger.target.fingerprint != ledger.current.fingerprint


@given(ledgers())
def test_repeated_rollbacks_go_further_back_and_end(ledger: Ledger) -> None:
    steps, releases = 0, len(ledger.releases)
    while ledger.target is not None:
        before = ledger.target.number
        ledger.roll_back()
        assert ledger.target is None or ledger.target.number < before
        steps += 1
    assert steps <= releases
