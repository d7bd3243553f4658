"""The command line: its commands, and the exit code of each end."""

from collections.abc import Sequence

import click

from slipway_cli import VERSION
from slipway_cli.app import App, Ended, with_app
from slipway_cli.commands import access, config, look, work
from slipway_cli.errors import INTERRUPTED, Failure, NoAccess, WrongUsage


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
              130 Ctrl-C; the last line says what goes on
    """
    app.insecure_http = insecure_http


for _command in (
    look.status,
    look.services,
    look.history,
    look.logs,
    work.deploy,
    work.rollback,
    work.build,
    work.retry,
    work.cancel,
    config.config,
    look.open_page,
    access.login,
    access.logout,
    access.whoami,
):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    app = App()
    try:
        cli.main(list(arguments), prog_name="slipway", standalone_mode=False, obj=app)
    except Ended as ended:
        return ended.exit_code
    except Failure as failure:
        return _refuse(app, failure)
    except click.ClickException as error:
        error.show()
        app.output.document({"error": {"code": "wrong_usage", "message": error.format_message()}})
        return WrongUsage.exit_code
    except (KeyboardInterrupt, click.Abort):
        app.output.say(f"\n{app.goes_on or 'Interrupted; nothing was changed.'}")
        return INTERRUPTED
    except (AttributeError, KeyError, TypeError) as error:
        return _refuse(app, _not_understood(app, error))
    return 0


def _not_understood(app: App, error: Exception) -> NoAccess:
    """The error for JSON without the fields of this API: another program, or another version."""
    return NoAccess(
        f"This answer is not one of Slipway ({type(error).__name__}: {error}). Check the address "
        "(with its stage, such as https://host/api), and that the command has the version of the "
        "API.",
        code="not_slipway",
        uncertain=bool(app.goes_on),
    )


def _refuse(app: App, failure: Failure) -> int:
    """Print an error for people on stderr, and with --json for programs on stdout."""
    if str(failure):
        app.output.say(str(failure), "bold red")
    is_lost = failure.uncertain or (app.is_accepted and isinstance(failure, NoAccess))
    if is_lost and app.goes_on:
        app.output.say(app.goes_on)
    if not app.output.answered:
        error = {"code": failure.code, "message": str(failure)}
        app.output.document({"error": error | ({"uncertain": True} if is_lost else {})})
    return failure.exit_code
