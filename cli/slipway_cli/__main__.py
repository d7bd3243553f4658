"""`slipway`, or `python -m slipway_cli`."""

import sys


def main() -> None:
    """Run the command of this process, and exit."""
    try:
        # The imports take a part of a second, in which Ctrl-C would print a traceback.
        from slipway_cli.main import run
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
