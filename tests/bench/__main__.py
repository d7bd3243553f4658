"""`make bench` prints all figures."""

import argparse
from itertools import chain

from tests.bench import cold, units


def main() -> None:
    """Measure, and print each figure."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=10, help="processes of each kind")
    for figure in chain(units.measure(), cold.measure(parser.parse_args().runs)):
        print(figure, flush=True)


if __name__ == "__main__":
    main()
