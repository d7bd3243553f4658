"""`make bench` prints all figures, and what has changed since the last run."""

import argparse
from collections.abc import Iterator
from itertools import chain

from tests.bench import beside, cold, cost, embedded, history, memory, telling, units, warm
from tests.bench.figures import Figure

# Seconds to measure a warm request, and the size at which a share of a processor is checked.
SECONDS = 2.0
CHECKED_MB = 512


def main() -> None:
    """Measure, and print each figure."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=10, help="processes of each kind")
    runs = parser.parse_args().runs
    found = []
    parts = (
        units.measure(),
        telling.measure(),
        cost.measure(),
        cold.measure(runs),
        _warm(),
        embedded.measure(),
        beside.measure(),
    )
    for figure in chain.from_iterable(parts):
        print(figure, flush=True)
        if isinstance(figure, Figure):
            found.append(figure)
    for line in history.add(found):
        print(line)


def _warm() -> Iterator[Figure | str]:
    results = warm.run(SECONDS)
    yield from warm.measure(results)
    yield Figure("peak memory", max(each["peak"] for each in results.values()), "MB")
    (page,) = [each for name, each in results.items() if name.endswith(" services")]
    computed = memory.milliseconds(min(page["times"]), 0, CHECKED_MB)
    yield Figure(f"page of 50 services, {CHECKED_MB} MB: at least, computed", computed, "ms")
    try:
        limited = warm.run(SECONDS, "services", memory.share(CHECKED_MB))
    except OSError as error:
        yield f"This user may not limit a process to a part of a processor: {error}"
        return
    (page,) = limited.values()
    yield Figure(f"page of 50 services, {CHECKED_MB} MB: with the share", page["wall"], "ms")


if __name__ == "__main__":
    main()
