"""`make bench` prints all figures."""

import argparse
from itertools import chain

from tests.bench import cold, embedded, units


def main() -> None:
    """Measure, and print each figure."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=10, help="processes of each kind")
    runs = parser.parse_args().runs
    for figure in chain(units.measure(), cold.measure(runs), embedded.measure()):
        print(figure, flush=True)


if __name__ == "__main__":
    main()
