"""An ending of a rollout is played while a tool waits for it: time passes only on this stage."""

from collections.abc import Callable, Mapping

Step = Callable[[], object]


def nothing() -> None:
    """No step."""


class Stage:
    """Plays the steps of an ending, by the seconds since the rollout began."""

    def __init__(
        self, steps: Mapping[int, Step], advance: Callable[[float], None], after: Step = nothing
    ) -> None:
        """`advance` moves the clock of the cloud; `after` follows each step."""
        self._left = sorted(steps.items(), key=lambda step: step[0])
        self._advance = advance
        self._after = after
        self.seconds = 0.0

    def let_pass(self, seconds: float) -> None:
        """Let time pass, with the steps that are due."""
        end = self.seconds + seconds
        while self._left and self._left[0][0] <= end:
            at, step = self._left.pop(0)
            self._go_to(at)
            step()
            self._after()
        self._go_to(end)

    @property
    def over(self) -> bool:
        """Whether all steps were played."""
        return not self._left

    def finish(self) -> None:
        """Play the steps that are left."""
        while self._left:
            self.let_pass(self._left[0][0] - self.seconds)

    def _go_to(self, seconds: float) -> None:
        self._advance(seconds - self.seconds)
        self.seconds = seconds
