"""`rollout`: the settings that say how releases of a service are rolled out."""

from typing import Any

import click

from slipway_cli import shift_views, views
from slipway_cli.app import App, json_option, with_app
from slipway_cli.client import path_of
from slipway_cli.errors import WrongUsage
from slipway_cli.names import find_service, full_name

# Each option of a strategy, with its name in the setting.
_PARTS = ("percent", "step_minutes", "bake_minutes")


@click.command()
@click.argument("service")
@click.option(
    "--strategy",
    type=click.Choice(["ecs", "rolling", "blue_green", "linear", "canary"], case_sensitive=False),
    help="ecs: as the ECS service has it.",
)
@click.option("--percent", type=float, help="Traffic of the canary, or of each linear step.")
@click.option("--step-minutes", type=int, help="Wait after the canary, or after each linear step.")
@click.option("--bake-minutes", type=int, help="How long the old tasks stay after the shift.")
@click.option("--approval/--no-approval", default=None, help="Await approval before traffic.")
@click.option("--approval-minutes", type=int, help="Without an answer ECS goes back after these.")
@click.option(
    "--approve-own/--no-approve-own",
    default=None,
    help="May the token that asked for a deployment approve it?",
)
@json_option
@with_app
def rollout(app: App, /, service: str, **given: Any) -> None:
    """Show how releases are rolled out: strategy and approval. Options change it.

    A change holds for deployments that begin from then on, and needs role admin.
    """
    overview = find_service(app.client, service)
    path = path_of("services", overview["id"])
    shown = app.client.get(path)
    changes = _changes(shown, given)
    if changes:
        app.changes(full_name(overview))
        shown = app.client.patch(path, changes)
        app.goes_on = f"The settings of {full_name(overview)} are changed."
    app.output.document(shown)
    app.output.show(views.facts([("Service", full_name(overview)), *shift_views.rollout(shown)]))
    if changes:
        app.output.say("Deployments that begin from now on are rolled out like this.")


def _changes(service: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings to change. A part of a strategy without its type belongs to the present one."""
    parts = {name: given.pop(name) for name in _PARTS}
    parts = {name: value for name, value in parts.items() if value is not None}
    kind = given.pop("strategy")
    changes = {name: value for name, value in given.items() if value is not None}
    if kind == "ecs":
        if parts:
            raise WrongUsage(
                "--strategy ecs has no options: the ECS service decides", code="wrong_value"
            )
        return {**changes, "strategy": None}
    if kind is not None:
        return {**changes, "strategy": {"type": kind.upper(), **parts}}
    if not parts:
        return changes
    present = service["strategy"]
    if present is None:
        raise WrongUsage("Name a strategy, such as --strategy canary", code="wrong_value")
    kept = {name: value for name, value in present.items() if value is not None}
    return {**changes, "strategy": {**kept, **parts}}
