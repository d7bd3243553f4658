"""What all commands share: the login, the output, and what goes on after Ctrl-C."""

import os
import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from slipway_cli import credentials, shift_views, views
from slipway_cli.client import Client
from slipway_cli.errors import Failed, NoAccess, WrongUsage
from slipway_cli.following import Follower
from slipway_cli.names import JobName
from slipway_cli.output import Output

_P = ParamSpec("_P")
_T = TypeVar("_T")


class App:
    """One run of a command."""

    def __init__(self) -> None:
        self.insecure_http = False
        self.output = Output(as_json=False)
        # What happens without this command if it ends now, after Ctrl-C or a lost connection.
        self.goes_on = ""
        # The job that does it; empty until it is accepted.
        self.job_id = ""
        self._service = ""
        self._client: Client | None = None

    def use_json(self) -> None:
        """Print JSON on stdout from now on."""
        self.output = Output(as_json=True)

    @property
    def client(self) -> Client:
        """The API, with the login of the environment or the kept one."""
        if self._client is None:
            login = credentials.load(os.environ, insecure_http=self.insecure_http)
            self._client = self.client_of(login)
        return self._client

    def client_of(self, login: credentials.Login) -> Client:
        """The API with another login."""
        return Client(login.url, login.token, notice=lambda words: self.output.say(words, "dim"))

    def changes(self, service: str, *, repeat: str = "") -> None:
        """Note before a request that changes a service: its answer may get lost.

        `repeat` is the command that may be repeated then, if that is not the same one.
        """
        self._service = views.quoted(service)
        self.asks(f"slipway status {self._service}", repeat=repeat)

    def asks(self, look: str, *, repeat: str = "") -> None:
        """Note before a request that changes something how to look for its effect."""
        again = f"; repeat it only with: {repeat}" if repeat else ""
        self.goes_on = f"Slipway may have accepted the request; look with: {look}{again}"

    def wait(self, job: JobName) -> dict[str, Any]:
        """Follow a job to its end, and print it. Raises Ended unless it succeeds."""
        row = self.follow(job)
        if row["status"] != "success":
            self.output.say_parts(*views.failure(row))
            raise Ended
        return row

    def follow(
        self,
        job: JobName,
        *,
        accepted: str = "",
        until: Callable[[dict[str, Any]], bool] = lambda _: False,
    ) -> dict[str, Any]:
        """Follow a job to its end, or until its row is as wanted, and return its row. `accepted`
        is as for `accepted`.

        Raises NoAccess also for a job that disappears: the work was accepted.
        """
        self.accepted(job, accepted)
        hooks: set[str] = set()
        with self.output.progress(str(job)) as shown:

            def show(row: dict[str, Any]) -> None:
                shown.update(views.step_of(row), views.words_of(row), row["progress"])
                hook = shift_views.hook_of(row)
                if hook and hook not in hooks:
                    hooks.add(hook)
                    self.output.say(shift_views.how_to_answer(row), views.WARN)

            try:
                row = Follower(self.client).until_ended(job, show, until)
            except WrongUsage as error:
                raise NoAccess(
                    f"{job} was accepted, but cannot be seen any more: {error}", code=error.code
                ) from error
        if row["finished_at"] is not None:
            self.goes_on = f"{job} has ended: {views.status_of(row)}."
        self.output.document(row)
        return row

    def accepted(self, job: JobName, what: str = "") -> None:
        """Note that a job, or `what` was asked of it, goes on without this command."""
        self.job_id = str(job)
        is_release = job.kind == "deploy" and self._service
        how = f"status {self._service}" if is_release else f"logs -f {job}"
        self.goes_on = f"{what or f'{job} goes on'}; follow it with: slipway {how}"


class Ended(Failed):
    """A job or a test did not end as wanted. Everything about it is already printed."""

    def __init__(self) -> None:
        super().__init__("", code="job_failed")


def with_app(
    function: Callable[Concatenate[App, _P], _T],
) -> Callable[_P, _T]:
    """Give a command the App of this run as its first argument."""

    def command(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        app = click.get_current_context().find_object(App)
        assert app is not None  # noqa: S101  # `main` always gives it
        return function(app, *args, **kwargs)

    return update_wrapper(command, function)


def _use_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    app = context.find_object(App)
    if app is not None and value:
        app.use_json()


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_use_json,
    help="Print only JSON on stdout.",
)
wait_option = click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait for the end. With --no-wait, exit code 0 only says that the work was accepted.",
)
plan_option = click.option("--plan", is_flag=True, help="Show what would change. Change nothing.")
reason_option = click.option("--reason", help="Why, for the audit trail.")


def read_pair(text: str) -> tuple[str, str]:
    """NAME=VALUE; raises WrongUsage."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise WrongUsage("A value is given as NAME=VALUE", code="wrong_value")
    return name, value


def confirm(app: App, question: str, *, yes: bool, how: str) -> None:
    """Ask, and raise Failed for no; raises WrongUsage where nobody can answer."""
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and app.output.err.is_terminal):
        raise WrongUsage(
            f"Without a terminal nobody can confirm this; add --yes: {how}", code="not_confirmed"
        )
    if not click.confirm(question, err=True):
        raise Failed("Nothing was changed.", code="not_confirmed")
