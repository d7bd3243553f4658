"""`config SERVICE`: show and change a service's variables, references to secrets, and sizes."""

from typing import Any

import click
from rich.text import Text

from slipway_cli import views
from slipway_cli.app import (
    App,
    json_option,
    plan_option,
    read_pair,
    reason_option,
    wait_option,
    with_app,
)
from slipway_cli.client import path_of
from slipway_cli.commands.work import finish_deployment, show_plan
from slipway_cli.errors import Failed, WrongUsage
from slipway_cli.names import find_service, full_name
from slipway_cli.text import one_line

_SIZES = ("cpu", "memory", "desired_count")


class _OfService(click.Group):
    """A group whose commands follow the name of a service; without a command it is `show`."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        # `--json` before the command, too: click takes an option there as the command's name.
        options = [each for each in args[:2] if each == "--json"]
        args = [each for each in args[:2] if each != "--json"] + args[2:]
        if len(args) == 1 and not args[0].startswith("-"):
            args.append("show")
        return super().parse_args(context, options + args)


@click.group(cls=_OfService, subcommand_metavar="[show | set … | unset …]")
@click.argument("service")
@json_option
@click.pass_context
def config(context: click.Context, service: str) -> None:
    """Show or change a service's configuration.

    \b
    slipway config shop/web
    slipway config shop/web set LOG_LEVEL=debug --cpu 512
    slipway config shop/web unset LOG_LEVEL
    """
    context.meta["service"] = service


@config.command()
@json_option
@with_app
def show(app: App) -> None:
    """Show the configuration, with the values of variables."""
    shown = app.client.get(_path(_service(app)))
    app.output.document(shown)
    words = list(views.config(shown))
    app.output.show(*words)
    if not words:
        app.output.say("No configuration of Slipway.")
    if not shown["released"]:
        by = shown["deployment_id"]
        note = f"deploy-{by} brings this configuration." if by else "Not released yet."
        app.output.say(note, views.WARN)


def _changing(command: Any) -> Any:
    for option in (
        json_option,
        wait_option,
        plan_option,
        reason_option,
        click.option(
            "--deploy/--no-deploy",
            default=True,
            show_default=True,
            help="Deploy the change now, or leave it to the next release.",
        ),
    ):
        command = option(command)
    return command


@config.command("set")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--secret", "secrets", multiple=True, metavar="NAME=ARN", help="A reference.")
@click.option("--cpu", type=int, help="CPU units of the task.")
@click.option("--memory", type=int, help="MiB of the task.")
@click.option("--desired-count", type=int, help="How many tasks a deployment asks ECS for.")
@_changing
@with_app
def set_values(
    app: App,
    /,
    values: tuple[str, ...],
    secrets: tuple[str, ...],
    cpu: int | None,
    memory: int | None,
    desired_count: int | None,
    **options: Any,
) -> None:
    """Set variables, references to secrets, and sizes. All others stay."""
    sizes = dict(zip(_SIZES, (cpu, memory, desired_count), strict=True))
    changes: dict[str, Any] = {
        "environment": dict(map(read_pair, values)),
        "secrets": dict(map(read_pair, secrets)),
        **{name: value for name, value in sizes.items() if value is not None},
    }
    _change(app, _service(app), changes, **options)


@config.command("unset")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--cpu", is_flag=True)
@click.option("--memory", is_flag=True)
@click.option("--desired-count", is_flag=True)
@_changing
@with_app
def unset(
    app: App,
    /,
    names: tuple[str, ...],
    cpu: bool,
    memory: bool,
    desired_count: bool,
    **options: Any,
) -> None:
    """Remove variables and references to secrets by name, and sizes."""
    overview = _service(app)
    shown = app.client.get(_path(overview))
    missing = [name for name in names if name not in {*shown["environment"], *shown["secrets"]}]
    if missing:
        raise WrongUsage(f"The configuration has no {', '.join(missing)}", code="no_such_name")
    sizes = zip(_SIZES, (cpu, memory, desired_count), strict=True)
    changes: dict[str, Any] = {
        "environment": {name: None for name in names if name in shown["environment"]},
        "secrets": {name: None for name in names if name in shown["secrets"]},
        **{name: None for name, chosen in sizes if chosen},
    }
    _change(app, overview, changes, **options)


def _change(
    app: App,
    overview: dict[str, Any],
    changes: dict[str, Any],
    *,
    deploy: bool,
    plan: bool,
    wait: bool,
    reason: str | None,
) -> None:
    changes = {name: value for name, value in changes.items() if value != {}}
    if not changes:
        raise WrongUsage("Name what to change, such as LOG_LEVEL=debug", code="no_change")
    name = full_name(overview)
    body = {**changes, "deploy": deploy, **({"reason": reason} if reason else {})}
    if plan:
        made = app.client.patch(_path(overview), body, dry_run=True)
        if "possible" in made:
            return show_plan(app, made, f"Change the configuration of {name}")
    else:
        app.changes(name)
        made = app.client.patch(_path(overview), body)
        app.goes_on = f"The configuration of {name} is changed."
    if made["deployment_id"] is not None and deploy and not plan:
        return finish_deployment(app, made, overview, wait=wait)
    app.output.document(made)
    if made["deployment_id"] is not None:
        brings = "would bring" if plan else "brings"
        return app.output.show(Text(one_line(f"deploy-{made['deployment_id']} {brings} it.")))
    words = f"Nothing {'would be' if plan else 'is'} deployed: {one_line(made['not_deployed'])}."
    # With `deploy` it is unchanged only if it is released, too.
    if deploy and made["code"] != "unchanged":
        raise Failed(words, code="not_deployed")
    return app.output.show(Text(words))


def _service(app: App) -> dict[str, Any]:
    return find_service(app.client, click.get_current_context().meta["service"])


def _path(overview: dict[str, Any]) -> str:
    return path_of("services", overview["id"], "config")
