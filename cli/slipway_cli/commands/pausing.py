"""`pause`, `resume`: whether pushes are deployed, or built, automatically."""

from typing import Any

import click
from rich.text import Text

from slipway_cli.app import App, json_option, with_app
from slipway_cli.client import path_of
from slipway_cli.names import find_service, full_name
from slipway_cli.text import one_line
from slipway_cli.views import quoted


@click.command()
@click.argument("service")
@click.option("--builds", is_flag=True, help="Do not build pushes either: set auto_build.")
@json_option
@with_app
def pause(app: App, service: str, builds: bool) -> None:
    """Switch auto-deploy off: pushes are built, but not deployed. Needs role admin."""
    changed, name = _switch(app, service, builds=builds, on=False)
    app.output.document(changed)
    if builds:
        app.output.show(Text(f"Pushes to {name} are not built, and so not deployed."))
    else:
        app.output.show(Text(f"Auto-deploy of {name} is off."))
    option = " --builds" if builds else ""
    app.output.say(f"To undo this: slipway resume {quoted(name)}{option}")


@click.command()
@click.argument("service")
@click.option("--builds", is_flag=True, help="Build pushes again: set auto_build.")
@json_option
@with_app
def resume(app: App, service: str, builds: bool) -> None:
    """Switch auto-deploy on, also after a rollback has paused it. Needs role admin."""
    changed, name = _switch(app, service, builds=builds, on=True)
    app.output.document(changed)
    branch = one_line(changed["branch"])
    if builds:
        app.output.show(Text(f"The next push to {branch} is built for {name}."))
        return
    app.output.show(Text(f"Auto-deploy of {name} is on: the next build of {branch} is deployed."))
    if not changed["auto_build"]:
        app.output.say(
            f"Pushes are not built. To build them: slipway resume {quoted(name)} --builds"
        )


def _switch(app: App, service: str, *, builds: bool, on: bool) -> tuple[dict[str, Any], str]:
    """Change `auto_build` or `auto_deploy`; the changed service, and its name."""
    overview = find_service(app.client, service)
    name = full_name(overview)
    app.changes(name)
    if on and not builds and not overview["auto_deploy"]:
        app.output.say(f"Auto-deploy of {name} was off, not paused.")
    path = path_of("services", overview["id"])
    setting = "auto_build" if builds else "auto_deploy"
    changed: dict[str, Any] = app.client.patch(path, {setting: on})
    app.goes_on = f"{setting} of {name} is {'on' if on else 'off'}."
    return changed, name
