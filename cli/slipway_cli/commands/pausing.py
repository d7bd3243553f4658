"""`pause`, `resume`: whether a push is deployed by itself."""

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
@json_option
@with_app
def pause(app: App, service: str) -> None:
    """Stop auto-deploy: pushes are built, but not deployed. Needs role admin."""
    changed, name = _set_auto_deploy(app, service, on=False)
    app.output.document(changed)
    app.output.show(Text(f"Auto-deploy of {name} is off."))
    app.output.say(f"To deploy pushes again: slipway resume {quoted(name)}")


@click.command()
@click.argument("service")
@json_option
@with_app
def resume(app: App, service: str) -> None:
    """Switch auto-deploy on, also after a rollback has paused it. Needs role admin."""
    changed, name = _set_auto_deploy(app, service, on=True)
    app.output.document(changed)
    branch = one_line(changed["branch"])
    app.output.show(Text(f"Auto-deploy of {name} is on: the next build of {branch} is deployed."))


def _set_auto_deploy(app: App, service: str, *, on: bool) -> tuple[dict[str, Any], str]:
    """The changed service, and its name."""
    overview = find_service(app.client, service)
    name = full_name(overview)
    app.changes(name)
    if on and not overview["auto_deploy"]:
        app.output.say(f"Auto-deploy of {name} was off, not paused.")
    path = path_of("services", overview["id"])
    changed: dict[str, Any] = app.client.patch(path, {"auto_deploy": on})
    app.goes_on = f"Auto-deploy of {name} is {'on' if on else 'off'}."
    return changed, name
