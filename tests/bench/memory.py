"""Which memory size a function should have: Lambda gives it so much of a processor.

Lambda has no machine here. Times are computed: the processor's time divided by the share, and the
waiting for AWS, which `prices` assumes. `limited` gives a process such a share, to check that.

The rule: the smallest size at which

- twice the memory fits that the process of `make bench` has had at most,
- the API shows a page of 50 services within `PAGE_GOAL`, while people wait,
- the pipeline's functions compute no longer than they wait for AWS. All three have the size that
  one of them needs, because each of them can do each step. With less a run takes longer for hardly
  less money.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

# Sizes to choose from, in MB, and the size with one whole processor ("Configure Lambda function
# memory").
SIZES = (256, 512, 1024, 1769)
WHOLE_PROCESSOR = 1769
# Measured by `make bench` on 2026-11-28, with a whole processor: "warm 50 services: all code" (the
# shortest of the repetitions), its calls of DynamoDB, "cold push: first request" and "peak memory".
# The memory is that of these requests over plain HTTP: the largest delivery and the longest log
# were not among them.
PAGE_MS, PAGE_CALLS = 16, 5
COLD_MS, COLD_CALLS = 20, 6
PEAK_MB = 47
# Milliseconds. Within a tenth of a second an answer feels as if it came at once (J. Nielsen,
# "Response Times: The 3 Important Limits").
PAGE_GOAL = 100
_V1, _V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
_PERIOD = 20_000  # microseconds


def share(size: int) -> float:
    """The part of a processor that a function of so many MB gets."""
    return min(1, size / WHOLE_PROCESSOR)


def milliseconds(computing: float, waiting: float, size: int) -> float:
    """The time of a run: computing is that of a whole processor."""
    return computing / share(size) + waiting


def api_size(wait: float) -> int:
    """The size of the API's function; `wait` are the milliseconds of a call of DynamoDB."""
    return next(
        size
        for size in SIZES
        if size >= 2 * PEAK_MB and milliseconds(PAGE_MS, PAGE_CALLS * wait, size) <= PAGE_GOAL
    )


def pipeline_size(runs: Mapping[str, tuple[float, float]]) -> int:
    """The size of the other functions, from the ms that each computes and waits."""
    return next(
        size
        for size in SIZES
        if size >= 2 * PEAK_MB
        and all(computing / share(size) <= waiting for computing, waiting in runs.values())
    )


@contextmanager
def limited(share: float) -> Iterator[Callable[[], None] | None]:
    """What a new process calls first to get a share of a processor; None for a whole one.

    Raises OSError where this user may not make a control group.
    """
    if share >= 1:
        yield None
        return
    quota = int(share * _PERIOD)
    home = (_V1 if _V1.is_dir() else _V2) / f"slipway-bench-{os.getpid()}"
    home.mkdir()
    try:
        if _V1.is_dir():
            (home / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (home / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (home / "cpu.max").write_text(f"{quota} {_PERIOD}")
        yield partial(_enter, home)
    finally:
        home.rmdir()


def _enter(home: Path) -> None:
    (home / "cgroup.procs").write_text("0")
