"""`login`, `logout`, `whoami`."""

import os
import sys
from typing import Any

import click
from rich.text import Text

from slipway_cli import credentials, views
from slipway_cli.address import read_address
from slipway_cli.app import App, json_option, with_app
from slipway_cli.client import path_of
from slipway_cli.text import one_line


@click.command()
@click.argument("url", required=False)
@json_option
@with_app
def login(app: App, url: str | None) -> None:
    """Keep the address of Slipway and a token.

    The token is asked for without showing it, or read from stdin. It is checked, and kept in this
    system's keyring if that works, else in a file that only you can read. SLIPWAY_URL and
    SLIPWAY_TOKEN win over both.
    """
    given = url or os.environ.get("SLIPWAY_URL") or _ask("Address of Slipway")
    address = read_address(given, insecure_http=app.insecure_http)
    token = credentials.read_token(_ask(f"Token for {address}", hide_input=True))
    kept = credentials.Login(address, token)
    caller = app.client_of(kept).get(path_of("whoami"))
    words = _words(caller)
    where = credentials.save(kept, os.environ, insecure_http=app.insecure_http)
    app.output.document({"url": address, **caller})
    app.output.show(Text(f"Logged in to {address} as {words}."))
    app.output.say(f"The token is in {where}.")
    if caller["expires_at"]:
        app.output.say(f"It expires at {one_line(caller['expires_at'])}.")
    for name, own in (("SLIPWAY_URL", {given, address}), ("SLIPWAY_TOKEN", {token})):
        if os.environ.get(name) and os.environ[name] not in own:
            app.output.say(f"{name} is set and wins over this login: unset {name} to use it.")


@click.command()
@with_app
def logout(app: App) -> None:
    """Forget the address and the token. The token itself stays valid."""
    url = credentials.forget(os.environ)
    app.output.say(f"Logged out of {url}." if url else "There was no login.")


@click.command()
@json_option
@with_app
def whoami(app: App) -> None:
    """Show the address and whose token it is."""
    caller = app.client.get(path_of("whoami"))
    app.output.document({"url": app.client.url, **caller})
    app.output.show(
        views.facts(
            [
                ("Address", app.client.url),
                ("Token", f"{caller['name']} (token {caller['token_id']})"),
                ("Role", caller["role"]),
                ("Reaches", _reach(caller)),
                ("Expires", caller["expires_at"] or "never"),
            ]
        )
    )


def _ask(question: str, *, hide_input: bool = False) -> str:
    if sys.stdin is None:
        return ""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    return str(click.prompt(question, hide_input=hide_input, err=True))


def _words(caller: dict[str, Any]) -> str:
    return f"{one_line(caller['name'])}, {one_line(caller['role'])}, {_reach(caller)}"


def _reach(caller: dict[str, Any]) -> str:
    if caller["service_id"] is not None:
        return "one service"
    return "one project" if caller["project_id"] is not None else "all projects"
