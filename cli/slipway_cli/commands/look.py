"""`services`, `status`, `history`, `logs`, `open`: they change nothing."""

import contextlib
import itertools
import os
import sys
import webbrowser
from collections.abc import Iterator, Mapping
from typing import Any, cast

import click
from rich.text import Text

from slipway_cli import views
from slipway_cli.app import App, json_option, with_app
from slipway_cli.client import path_of
from slipway_cli.errors import Failure
from slipway_cli.following import Follower
from slipway_cli.names import JobName, find_service, read_job
from slipway_cli.text import one_line


@click.command()
@json_option
@with_app
def services(app: App) -> None:
    """List all services: what runs, its health, and what is under way."""
    found = list(app.client.pages(path_of("services"), limit=50))
    app.output.document({"services": found})
    _list(app, found, empty="No services. Create one: see the README, or the page.")


@click.command()
@click.argument("service", required=False)
@json_option
@with_app
def status(app: App, service: str | None) -> None:
    """Show what runs, what broke and why, and how to go back.

    Without SERVICE: the services that need attention, that have something under way, or whose
    release before cannot be restored.
    """
    if service is not None:
        return _status(app, find_service(app.client, service))
    found = list(app.client.pages(path_of("services"), limit=50))
    wrong = [each for each in found if views.problems(each)]
    busy = [each for each in found if views.under_way(each)]
    shown = [
        each for each in found if each in wrong or each in busy or each.get("rollback_trouble")
    ]
    app.output.document({"services": shown})
    count = f"{len(found)} service{'' if len(found) == 1 else 's'}"
    words = f"{count}, {len(wrong)} with problems, {len(busy)} with work under way"
    awaiting = sum(views.awaiting(each) is not None for each in found)
    words += f", {awaiting} with a deployment that awaits approval" if awaiting else ""
    app.output.show(Text(words, views.BAD if wrong else views.GOOD))
    _list(app, shown, empty="")
    return None


def _list(app: App, found: list[dict[str, Any]], *, empty: str) -> None:
    if found and app.output.is_narrow:
        app.output.show(*views.services_list(found))
    elif found:
        app.output.show(views.services_table(found))
    elif empty:
        app.output.say(empty)


def _status(app: App, overview: dict[str, Any]) -> None:
    found = [_if_answered(app, job.path) for job in _failed(overview)]
    failures = [row for row in found if row is not None]
    back = _if_answered(app, path_of("cicd", "services", overview["id"], "rollback"))
    document = {"service": overview, "failures": failures, "rollback": back}
    app.output.document(document)
    app.output.show(views.status(overview, failures, back))


def _if_answered(app: App, path: str) -> dict[str, Any] | None:
    """A resource that only adds to an answer: ECS, which it may ask, can be down in an incident."""
    with contextlib.suppress(Failure):
        return cast(dict[str, Any], app.client.get(path))
    return None


def _failed(overview: Mapping[str, Any]) -> Iterator[JobName]:
    for job in views.failed_jobs(overview):
        yield read_job(job["job_id"])


@click.command()
@click.argument("service")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@json_option
@with_app
def history(app: App, service: str, limit: int) -> None:
    """List a service's builds and deployments, newest first."""
    number = find_service(app.client, service)["id"]
    rows = [
        row
        for kind in ("builds", "deployments")
        for row in itertools.islice(
            app.client.pages(path_of("cicd", "services", number, kind), limit=limit), limit
        )
    ]
    rows.sort(key=lambda row: (row["created_at"], row["id"]), reverse=True)
    app.output.document({"jobs": rows[:limit]})
    if rows:
        shown = rows[:limit]
        if app.output.is_too_narrow_for_history:
            app.output.show(*views.history_list(shown))
        else:
            app.output.show(views.history_table(shown))
    else:
        app.output.say("No builds and no deployments yet.")


@click.command()
@click.argument("job", metavar="BUILD|DEPLOYMENT")
@click.option("-f", "--follow", is_flag=True, help="Go on until the log is complete.")
@click.option("--tail", type=click.IntRange(1, 10_000), help="Begin with the last N lines.")
@json_option
@with_app
def logs(app: App, job: str, follow: bool, tail: int | None) -> None:
    """Print the log of build-12, or what ECS did for deploy-45.

    With -f and --json: one JSON object for each line.
    """
    name = read_job(job)
    as_document = app.output.as_json and not follow
    lines: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    has_lines = False
    for page in Follower(app.client).log(name, tail=tail, follow=follow):
        has_lines |= bool(page["lines"])
        if as_document:
            lines += page["lines"]
        else:
            app.output.lines(page["lines"], as_events=app.output.as_json)
    if as_document:
        app.output.document({**page, "lines": lines})
    if page["expired"]:
        app.output.say("This log has expired: CloudWatch has deleted its lines.")
    elif not has_lines:
        row = app.client.get(name.path)
        why = one_line(row["error"]) if row["error"] else views.words_of(row)
        app.output.say(f"{name} has no log{'' if page['complete'] else ' yet'}: {why}")
    elif not page["complete"]:
        app.output.say(f"More lines may follow: slipway logs -f {name}")


@click.command("open")
@click.argument("service", required=False)
@with_app
def open_page(app: App, service: str | None) -> None:
    """Open the page of Slipway, or of a service, in the browser. Its URL is printed."""
    url = f"{app.client.url}/"
    if service is not None:
        url += f"#/services/{find_service(app.client, service)['id']}"
    click.echo(url)
    if not (_has_browser() and webbrowser.open(url)):
        app.output.say("No browser here: open the URL yourself.")


def _has_browser() -> bool:
    """Whether a browser can show itself: on Linux without a display a text browser would start."""
    if "BROWSER" in os.environ or not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
