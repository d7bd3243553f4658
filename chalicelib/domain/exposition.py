"""Metrics in the text form of Prometheus ("Exposition formats" in the Prometheus documentation)."""

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from chalicelib.domain.metrics import (
    BOUNDS,
    BUILD_ENDS,
    DEPLOYMENT_ENDS,
    Timing,
    histogram,
    sum_of,
)

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HISTOGRAMS = {
    Timing.QUEUE: ("build_queue", "Time of builds from their request to their start."),
    Timing.BUILD: ("build", "Time of successful builds from their start to their end."),
    Timing.DEPLOY: ("deployment", "Time of successful deployments from their rollout's begin."),
    Timing.LEAD: ("lead_time", "Time from a push to the success of its deployment."),
    Timing.RESTORE: ("time_to_restore", "Time from a failed deployment to the next success."),
}
# Of five buckets one line: a reader of the text needs no more.
_STEP = 5


def exposition(counts: Counter[str], *, queued: int, oldest_seconds: int | None) -> Iterator[str]:
    """The lines of the text: counters and histograms of the sums, and the queue as it is now."""
    for kind, ends in (("builds", BUILD_ENDS), ("deployments", DEPLOYMENT_ENDS)):
        yield from _head(f"{kind}_total", "counter", f"Ended {kind}, by status.")
        for end in map(str, ends):
            yield f'slipway_{kind}_total{{status="{end}"}} {counts[f"{kind}_{end}"]}'
    for timing, (name, meaning) in _HISTOGRAMS.items():
        yield from _head(f"{name}_seconds", "histogram", meaning)
        yield from _histogram(counts, timing, f"slipway_{name}_seconds")
    yield from _head("queue_depth", "gauge", "Builds that wait now.")
    yield f"slipway_queue_depth {queued}"
    yield from _head("queue_oldest_seconds", "gauge", "How long the oldest of them has waited.")
    yield f"slipway_queue_oldest_seconds {oldest_seconds or 0}"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP slipway_{name} {meaning}"
    yield f"# TYPE slipway_{name} {kind}"


def _histogram(counts: Counter[str], timing: Timing, name: str) -> Iterator[str]:
    below = list(accumulate(histogram(counts, timing)))
    for bound, count in list(zip(BOUNDS, below, strict=False))[::_STEP]:
        yield f'{name}_bucket{{le="{bound}"}} {count}'
    yield f'{name}_bucket{{le="+Inf"}} {below[-1]}'
    yield f"{name}_sum {sum_of(counts, timing)}"
    yield f"{name}_count {below[-1]}"
