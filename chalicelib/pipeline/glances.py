"""Looks at an ECS service for viewers, who share them for a few seconds.

Several viewers poll the same deployment. The loop never uses these looks.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from chalicelib import clock
from chalicelib.aws import ecs
from chalicelib.domain.deploy_failures import Event
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.tasks import Task

_T = TypeVar("_T")

# Seconds.
SHARED = 4
# A look has up to 200 tasks.
_MOST = 20
_looks: dict[tuple[str, EcsTarget], tuple[int, Any]] = {}


def events_of(target: EcsTarget, *, since: int = 0) -> tuple[Event, ...]:
    """`ecs.events_of`, at most a few seconds old, and not older than `since`."""
    return _look("events", target, lambda: ecs.events_of(target), since)


def some_tasks(target: EcsTarget, *, since: int = 0) -> list[Task]:
    """`ecs.some_tasks`, at most a few seconds old, and not older than `since`."""
    return _look("tasks", target, lambda: ecs.some_tasks(target), since)


def _look(kind: str, target: EcsTarget, look: Callable[[], _T], since: int) -> _T:
    now, key = clock.now(), (kind, target)
    kept = _looks.pop(key, None)
    if kept is None or not max(since, now - SHARED) <= kept[0] <= now:
        kept = now, look()
    _looks[key] = kept
    for oldest in list(_looks)[:-_MOST]:
        _looks.pop(oldest, None)
    found: _T = kept[1]
    return found
