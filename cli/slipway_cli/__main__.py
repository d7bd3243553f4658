"""`slipway`, or `python -m slipway_cli`."""

import os
import signal
import sys
from typing import Any

from slipway_cli.errors import INTERRUPTED


def main() -> None:
    """Run the command of this process, and exit. SIGTERM ends it as Ctrl-C does."""
    ended_by = signal.SIGINT

    def terminate(*_: Any) -> None:
        nonlocal ended_by
        ended_by = signal.SIGTERM
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, terminate)
        # The imports take a part of a second, in which Ctrl-C would print a traceback.
        from slipway_cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        _end_by(ended_by)
    sys.exit(code)


def _end_by(number: signal.Signals) -> None:
    """End this process by a signal. After an exit code, even 130, a shell runs the next line of a
    script: Ctrl-C would not keep the script from deploying the next service.
    """
    if os.name == "posix":
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    # Also reached by the first process of a container, which Linux does not end by a signal.
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
