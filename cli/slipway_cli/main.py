"""The command line: its commands, and the exit code of each end."""

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from slipway_cli import VERSION
from slipway_cli.app import App, Ended, with_app
from slipway_cli.commands import access, approvals, channels, config, look, pausing, rollout, work
from slipway_cli.errors import Failed, Failure, Interrupted, NoAccess, WrongUsage


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="slipway")
@click.option(
    "--insecure-http",
    is_flag=True,
    envvar="SLIPWAY_INSECURE_HTTP",
    help="Allow http:// to another machine. It sends the token unprotected.",
)
@with_app
def cli(app: App, insecure_http: bool) -> None:
    """Slipway: see what runs, what broke, and go back.

    SERVICE is project/name, or only its name if no other service has it.

    \b
    Exit codes: 0 what you asked for has really happened; with --wait, a release runs
                1 it failed or was refused, and the cause is shown
                2 the command line is wrong
                3 Slipway is not reachable or denies the access
              130 Ctrl-C, or 143 SIGTERM; the last line says what goes on
    """
    app.insecure_http = insecure_http


for _command in (
    look.status,
    look.services,
    look.history,
    look.logs,
    work.deploy,
    work.rollback,
    approvals.approve,
    approvals.reject,
    work.build,
    work.retry,
    work.cancel,
    pausing.pause,
    pausing.resume,
    config.config,
    rollout.rollout,
    channels.channels,
    look.open_page,
    access.login,
    access.logout,
    access.whoami,
):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code. Without stdout it does nothing: nobody would see it."""
    closed = sys.stdout is None
    # Python has None for a stream that the caller has closed.
    sys.stdout, sys.stderr = (each or _nowhere() for each in (sys.stdout, sys.stderr))
    app = App()
    try:
        if closed:
            raise OSError(errno.EBADF, "stdout is closed")
        code = _run(app, arguments)
        sys.stdout.flush()
    except OSError as error:
        code = Failed.exit_code
        app.output.say(f"The output cannot be written: {error.strerror or error}", "bold red")
        if app.goes_on:
            app.output.say(app.goes_on)
    for stream in (sys.stdout, sys.stderr):
        _give_up_unwritten(stream)
    return code


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _give_up_unwritten(stream: TextIO) -> None:
    """Drop what a stream cannot write. Python tries again at its exit, with another exit code."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _run(app: App, arguments: Sequence[str]) -> int:
    try:
        cli.main(list(arguments), prog_name="slipway", standalone_mode=False, obj=app)
    except Ended as ended:
        return ended.exit_code
    except Failure as failure:
        return _refuse(app, failure)
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        # click ends at a wrong option before it reads --json.
        if "--json" in arguments:
            app.use_json()
        app.output.document({"error": {"code": "wrong_usage", "message": error.format_message()}})
        return WrongUsage.exit_code
    except (KeyboardInterrupt, click.Abort):
        words = "Interrupted." if app.goes_on else "Interrupted; nothing was changed."
        return _refuse(app, Interrupted(words, code="interrupted", uncertain=True))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        return _refuse(app, _not_understood(error))
    return 0


def _not_understood(error: Exception) -> NoAccess:
    """The error for JSON without the fields of this API: another program, or another version."""
    return NoAccess(
        f"This answer is not one of Slipway ({type(error).__name__}: {error}). Check the address "
        "(with its stage, such as https://host/api), and that the command has the version of the "
        "API.",
        code="not_slipway",
        uncertain=True,
    )


def _refuse(app: App, failure: Failure) -> int:
    """Print an error for people on stderr, and with --json for programs on stdout."""
    if str(failure):
        app.output.say(str(failure), "bold red")
    error: dict[str, Any] = {"code": failure.code, "message": str(failure)}
    if app.goes_on and (failure.uncertain or (app.job_id and isinstance(failure, NoAccess))):
        app.output.say(app.goes_on)
        error["uncertain"] = True
    if app.job_id:
        error["job_id"] = app.job_id
    if not app.output.answered:
        app.output.document({"error": error})
    return failure.exit_code
