"""`channels`: where it is told what happens. All of them need an unrestricted admin token."""

import time
from collections.abc import Mapping
from typing import Any

import click
from rich.text import Text

from slipway_cli import channel_views, views
from slipway_cli.app import App, Ended, confirm, json_option, with_app
from slipway_cli.client import path_of
from slipway_cli.errors import Failed, Failure, WrongUsage
from slipway_cli.names import find_channel, find_project, find_service, full_name
from slipway_cli.text import one_line

# How often the result of a test is looked for, with a second in between. A test takes at most some
# seconds, and longer only if many messages wait.
_LOOKS = 60


@click.group(
    invoke_without_command=True,
    subcommand_metavar="[list | show | kinds | create | update | test | remove] …",
)
@json_option
@click.pass_context
def channels(context: click.Context) -> None:
    """Show and change the channels: GitHub, chats and programs that are told what happens.

    CHANNEL is its number, or its name if no other channel has it. All of this needs an admin token
    for all projects.

    \b
    slipway channels
    slipway channels kinds
    slipway channels create slack --name Team --secret secretsmanager:…
    slipway channels test Team
    """
    if context.invoked_subcommand is None:
        context.invoke(list_channels)


@channels.command("list")
@json_option
@with_app
def list_channels(app: App) -> None:
    """List the channels: whom they tell, of what, and whether they work."""
    found = list(app.client.pages(path_of("channels"), limit=100))
    app.output.document({"channels": found})
    if found:
        scopes = _scopes(app, found)
        app.output.show(channel_views.table(found, scopes))
    else:
        app.output.say("No channels. To see what each kind needs: slipway channels kinds")


@channels.command()
@click.argument("channel")
@json_option
@with_app
def show(app: App, channel: str) -> None:
    """Show a channel, and what to do if it does not work."""
    row = find_channel(app.client, channel)
    _show(app, row)
    if row["trouble"]:
        app.output.say_parts(*_mend(app, row))


@channels.command()
@click.option("--project", help="For a channel of this project instead of all projects.")
@json_option
@with_app
def kinds(app: App, project: str | None) -> None:
    """List the kinds of channels: what each needs, and the AWS command that creates it."""
    number = None if project is None else find_project(app.client, project)["id"]
    found = _kinds(app, number)
    app.output.document(found)
    app.output.show(*channel_views.kinds(found, _scope_options(project, None)))


def _choosing(command: Any) -> Any:
    for option in reversed(
        (
            click.option("--secret", metavar="NAME", help="The name of the secret, not its text."),
            click.option("--target", help="The ARN of a topic, or the name of an event bus."),
            click.option(
                "--event",
                "events",
                multiple=True,
                help="Tell this event. Repeat it for more; without it the usual ones are told.",
            ),
            click.option(
                "--branch",
                "branches",
                multiple=True,
                metavar="PATTERN",
                help="Tell only of branches like release/**. Repeat it for more.",
            ),
        )
    ):
        command = option(command)
    return command


@channels.command()
@click.argument("kind")
@click.option("--name", help="Its name. Without it: the kind.")
@_choosing
@click.option("--project", help="Tell only of this project.")
@click.option("--service", help="Tell only of this service.")
@json_option
@with_app
def create(
    app: App,
    /,
    kind: str,
    name: str | None,
    project: str | None,
    service: str | None,
    **values: Any,
) -> None:
    """Create a channel. The secret itself stays in AWS Secrets Manager.

    \b
    KIND                    needs
    github                  nothing with a GitHub App, else --secret: a token
    slack, discord, teams   --secret: the URL of an incoming webhook
    webhook                 --secret: a URL, a space, and a key (whsec_…)
    sns                     --target: the ARN of a topic
    eventbridge             --target: the name of an event bus

    `slipway channels kinds` shows the AWS commands that create them. Without --project and
    --service it is told of all projects.
    """
    scope, number = _scope(app, project, service)
    body = {"kind": kind, "name": name or kind, **_given(values), **scope}
    app.asks("slipway channels")
    try:
        row = app.client.post(path_of("channels"), body)
    except WrongUsage as refusal:
        if refusal.code != "missing_field":
            raise
        app.output.document({"error": {"code": refusal.code, "message": str(refusal)}})
        options = [*(["--name", name] if name else []), *_scope_options(project, service)]
        shown = channel_views.how_to_create(_kind(app, kind, number), options)
        app.output.say_parts(Text(str(refusal), views.BAD), *shown)
        raise WrongUsage("", code=refusal.code) from refusal
    app.goes_on = f"Channel {row['id']} is created."
    app.output.document(row)
    app.output.show(Text(f"Channel {row['id']} is created: {one_line(row['name'])}."))
    app.output.say(f"To test it: slipway channels test {row['id']}")


def _scope(app: App, project: str | None, service: str | None) -> tuple[dict[str, Any], int | None]:
    """What a new channel is told of, and the project whose secrets it uses."""
    if service is not None:
        overview = find_service(app.client, service)
        if project is not None and project.lower() != str(overview["project"]).lower():
            raise WrongUsage(
                f"{full_name(overview)} is not in the project {one_line(project, 80)}",
                code="other_project",
            )
        return {"service_id": overview["id"]}, overview["project_id"]
    if project is not None:
        number = find_project(app.client, project)["id"]
        return {"project_id": number}, number
    return {}, None


def _scope_options(project: str | None, service: str | None) -> list[str]:
    given = (("--project", project), ("--service", service))
    return [word for name, value in given if value is not None for word in (name, value)]


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value not in {None, ()}
    }


@channels.command()
@click.argument("channel")
@click.option("--name", help="Another name.")
@_choosing
@click.option("--usual-events", is_flag=True, help="Tell the usual events.")
@click.option("--all-branches", is_flag=True, help="Tell of all branches.")
@json_option
@with_app
def update(
    app: App,
    /,
    channel: str,
    usual_events: bool,
    all_branches: bool,
    **values: Any,
) -> None:
    """Change a channel. What is not named stays.

    A new secret under the same name needs no change here.
    """
    changes = _given(values)
    for chosen, option, field in (
        (usual_events, "--usual-events and --event", "events"),
        (all_branches, "--all-branches and --branch", "branches"),
    ):
        if chosen and field in changes:
            raise WrongUsage(f"{option} exclude each other", code="wrong_value")
        if chosen:
            changes[field] = []
    if not changes:
        raise WrongUsage("Name what to change, such as --name Team", code="no_change")
    row = find_channel(app.client, channel)
    app.asks(f"slipway channels show {row['id']}")
    changed = app.client.patch(path_of("channels", row["id"]), changes)
    app.goes_on = f"Channel {row['id']} is changed."
    _show(app, changed)


@channels.command()
@click.argument("channel")
@json_option
@with_app
def test(app: App, channel: str) -> None:
    """Test a channel, wait for the result and show it.

    A chat or a program gets a test message; GitHub is asked for the repositories. A success
    switches a channel on again that was off. Exit code 1 if the receiver does not answer well.
    """
    before = find_channel(app.client, channel)
    app.asks(f"slipway channels show {before['id']}")
    app.client.post(path_of("channels", before["id"], "test"))
    app.goes_on = f"The test goes on; look with: slipway channels show {before['id']}"
    row = _tested(app, before)
    app.output.document(row)
    if row["trouble"]:
        app.output.say_parts(*channel_views.failed_test(row), *_mend(app, row))
        raise Ended
    app.output.show(*channel_views.good_test(row, was_off=before["off_since"] is not None))


def _tested(app: App, before: Mapping[str, Any]) -> dict[str, Any]:
    """The channel after the test. Raises Failed without a result."""
    for _ in range(_LOOKS):
        row: dict[str, Any] = app.client.get(path_of("channels", before["id"]))
        if row["tested_at"] != before["tested_at"]:
            return row
        time.sleep(1)
    raise Failed("The test has no result yet.", code="no_result", uncertain=True)


@channels.command()
@click.argument("channel")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@with_app
def remove(app: App, channel: str, yes: bool) -> None:
    """Delete a channel. It is told nothing any more. The secret in AWS stays."""
    row = find_channel(app.client, channel)
    name = f"channel {row['id']}, {one_line(row['name'])}"
    again = f"slipway channels remove {row['id']} --yes"
    confirm(app, f"Delete {name}?", yes=yes, how=again)
    app.asks("slipway channels")
    app.client.delete(path_of("channels", row["id"]))
    app.goes_on = f"Channel {row['id']} is deleted."
    app.output.document(row)
    app.output.show(Text(f"Deleted: {name}."))
    if row["secret"]:
        app.output.say(f"Its secret stays in AWS: {one_line(row['secret'])}")


def _show(app: App, row: dict[str, Any]) -> None:
    app.output.document(row)
    app.output.show(channel_views.details(row, _scopes(app, [row])[row["id"]]))


def _scopes(app: App, found: list[dict[str, Any]]) -> dict[int, str]:
    """What each channel is told of, by its number."""
    names: dict[int, str] = {}
    projects: dict[int, str] = {}
    if any(each["project_id"] is not None for each in found):
        for service in app.client.pages(path_of("services"), limit=50):
            names[service["id"]] = full_name(service)
            projects[service["project_id"]] = str(service["project"])
    return {each["id"]: channel_views.scope(each, projects, names) for each in found}


def _mend(app: App, row: Mapping[str, Any]) -> tuple[Text, ...]:
    """What to do about a channel that does not work. It only adds to what is said already."""
    try:
        kind = _kind(app, row["kind"], row["project_id"])
    except Failure:
        return ()
    return tuple(channel_views.mend(row, kind))


def _kinds(app: App, project: int | None) -> dict[str, Any]:
    found: dict[str, Any] = app.client.get(path_of("channels", "kinds"), project_id=project)
    return found


def _kind(app: App, wanted: str, project: int | None) -> dict[str, Any]:
    found = (each for each in _kinds(app, project)["items"] if each["kind"] == wanted)
    kind: dict[str, Any] | None = next(found, None)
    if kind is None:
        raise WrongUsage(f"There is no kind {one_line(wanted, 60)}", code="invalid_kind")
    return kind
