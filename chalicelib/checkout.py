"""Chalice's commands in a checkout of Slipway."""

import os
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
# Chalice packages a copy of the application, which does not have this directory.
_ONLY_IN_A_CHECKOUT = _ROOT / "infra"
# `make configure STAGE=dev` writes a directory with this file: infra/configure.py.
_CONFIGURED = ".chalice/stages/*/place.json"
# The SDK prefers these to AWS_PROFILE, but a profile that was asked for to these.
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def take_over_chalice_commands() -> None:
    """End this process if it is a command of Chalice, such as `chalice package`, in a checkout.

    The names in `.chalice/` are those of an example installation. `chalice deploy` of a configured
    stage goes on with the settings of that stage. All other commands are refused.
    """
    # Chalice's commands set this variable before they import app.py (1.34, chalice/cli).
    if "AWS_CHALICE_CLI_MODE" in os.environ and _ONLY_IN_A_CHECKOUT.exists():
        status = _deploy_or_refuse()
        sys.stdout.flush()
        sys.stderr.flush()
        # `chalice local` imports app.py in a thread. SystemExit would only end that thread.
        os._exit(status)


def _deploy_or_refuse() -> int:
    # Chalice has imported it. Lambda does not have it.
    import click

    context: Any = click.get_current_context(silent=True)
    if context is None or context.command.name != "deploy":
        return _refuse(
            ".chalice/ describes an example installation, which is not yours.",
            "Run `make deploy STAGE=dev` to deploy to AWS, or `make run` to start Slipway here.",
        )
    options = context.params
    stage, profile = options.pop("stage"), options.pop("profile")
    configured = [path.parent.name for path in _ROOT.glob(_CONFIGURED)]
    if stage not in configured:
        return _refuse(
            f"this checkout is not configured for the stage {stage}.",
            f"Run `make configure STAGE={stage}` first, or `make deploy STAGE={stage}` instead.",
        )
    if any(each is not None for each in options.values()):
        return _refuse(
            "only --stage and --profile can be chosen; make configure sets the rest.",
            f"Run `chalice deploy --stage {stage}`.",
        )
    return _deploy(stage, profile)


def _deploy(stage: str, profile: str | None) -> int:
    # Import late: no function on Lambda needs it.
    import subprocess

    environment = dict(os.environ)
    if profile:
        environment["AWS_PROFILE"] = profile
        for key in _KEYS:
            environment.pop(key, None)
    command = [sys.executable, "-m", "infra.configure", stage, "--chalice"]
    return subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode


def _refuse(cause: str, fix: str) -> int:
    sys.stderr.write(f"Nothing was done: {cause}\n{fix}\n")
    return 1
