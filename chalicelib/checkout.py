"""A checkout of Slipway is not an application that Chalice can deploy."""

import os
import sys
from pathlib import Path

# `make deploy` packages a copy of the application, which does not have this directory.
_ONLY_IN_A_CHECKOUT = Path(__file__).parents[1] / "infra"


def refuse_chalice_commands() -> None:
    """End this process if it is a command of Chalice, such as `chalice deploy`, in a checkout.

    The names in `.chalice/` are those of an example installation.
    """
    # Chalice's commands set this variable before they import app.py (1.34, chalice/cli).
    if "AWS_CHALICE_CLI_MODE" in os.environ and _ONLY_IN_A_CHECKOUT.exists():
        sys.stderr.write(
            "Nothing was done: .chalice/ describes an example installation, which is not yours.\n"
            "Run `make deploy STAGE=dev` to deploy to AWS, or `make run` to start Slipway here.\n"
        )
        sys.stderr.flush()
        # `chalice local` imports app.py in a thread. SystemExit would only end that thread.
        os._exit(1)
