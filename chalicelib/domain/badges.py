"""The badge of a service: a small picture of its state, for a README."""

from enum import StrEnum
from html import escape

import msgspec


class State(StrEnum):
    """The state of a service, as its badge says it."""

    DEPLOYING = "deploying"
    DEGRADED = "degraded"  # tasks of the current release are missing
    FAILED = "deployment failed"  # since then no deployment has succeeded
    ATTENTION = "needs attention"  # ECS may not run the release, or an operator should act
    RUNNING = "running"
    NOT_DEPLOYED = "not deployed"


# White text on each of them has a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
_COLOURS = {
    State.DEPLOYING: "#1d5fad",
    State.DEGRADED: "#9a5b00",
    State.FAILED: "#b3261e",
    State.ATTENTION: "#9a5b00",
    State.RUNNING: "#1f7a3d",
    State.NOT_DEPLOYED: "#5f6368",
}
_LEFT = "#3c4043"
# Of a character at this size, rounded up: a wider box is better than text that is cut.
_WIDTH, _PADDING = 7, 6


class Badge(msgspec.Struct, frozen=True):
    """What a badge shows: the service's name and its state."""

    name: str
    state: State

    @property
    def svg(self) -> str:
        """The picture. It loads nothing and runs no script."""
        left, right = (len(each) * _WIDTH + 2 * _PADDING for each in (self.name, self.state))
        name, state = escape(self.name), escape(self.state)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" '
            f'role="img" aria-label="{name}: {state}"><title>{name}: {state}</title>'
            f'<rect width="{left + right}" height="20" rx="3" fill="{_LEFT}"/>'
            f'<rect x="{left}" width="{right}" height="20" rx="3" fill="{_COLOURS[self.state]}"/>'
            f'<rect x="{left}" width="3" height="20" fill="{_COLOURS[self.state]}"/>'
            '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
            'text-anchor="middle">'
            f'<text x="{left / 2:g}" y="14">{name}</text>'
            f'<text x="{left + right / 2:g}" y="14">{state}</text></g></svg>'
        )


def state_of(
    *,
    has_active: bool,
    has_current: bool,
    is_degraded: bool,
    has_failed: bool,
    needs_attention: bool,
) -> State:
    """The state of a service. What goes on now comes first, and a problem before what runs."""
    if has_active:
        return State.DEPLOYING
    if is_degraded:
        return State.DEGRADED
    if has_failed:
        return State.FAILED
    if needs_attention:
        return State.ATTENTION
    return State.RUNNING if has_current else State.NOT_DEPLOYED
