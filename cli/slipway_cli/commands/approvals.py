"""`approve` and `reject`: a person's answer before production traffic moves to a release."""

from typing import Any

import click
from rich.text import Text

from slipway_cli import shift_views, views
from slipway_cli.app import App, confirm, json_option, reason_option, wait_option, with_app
from slipway_cli.client import path_of
from slipway_cli.commands import work
from slipway_cli.errors import Failed, WrongUsage
from slipway_cli.names import JobName, find_service, full_name, is_job, read_job
from slipway_cli.text import one_line

_step_option = click.option(
    "--step", type=int, help="Only if this step awaits approval now, as a repeat needs it."
)
_yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("named", metavar="[DEPLOYMENT|SERVICE]", required=False)
@click.option("--all", "steps", flag_value="all", help="Approve the later steps, too.")
@_step_option
@reason_option
@_yes_option
@wait_option
@json_option
@with_app
def approve(
    app: App,
    named: str | None,
    steps: str | None,
    step: int | None,
    reason: str | None,
    yes: bool,
    wait: bool,
) -> None:
    """Let production traffic move to a deployment that awaits approval.

    Shows the deployment and asks. Without a name: the only deployment that awaits approval. The
    answer is for what was shown: it is refused if another step awaits approval meanwhile. Waits
    for the end, or for the next step that awaits approval.
    """
    job, overview, row = _find(app, named, step)
    what = "all steps of " if steps else ""
    _show(app, f"Approve {what}{job} of {full_name(overview)}", overview, row)
    how = _repeat(f"approve {job}{' --all' if steps else ''}", row)
    confirm(app, f"Approve {what}{job}?", yes=yes, how=how)
    hook = shift_views.hook_of(row)
    app.changes(full_name(overview), repeat=how)
    body = {"hook_id": hook, "steps": steps or "next"}
    accepted = _answer(app, job, "approve", body, reason)
    words = f"The approval of {job} is accepted"
    if not wait:
        app.accepted(job, words)
        app.output.document(accepted)
        app.output.show(Text(f"{words}."))
        return app.output.say(app.goes_on)
    row = app.follow(
        job, accepted=words, until=lambda row: shift_views.hook_of(row) not in {"", hook}
    )
    if row["finished_at"] is None:
        words = f"The step is approved. {job} awaits approval of the next one."
        return app.output.show(Text(words, views.GOOD))
    return work.conclude(app, job, row, overview)


@click.command()
@click.argument("named", metavar="[DEPLOYMENT|SERVICE]", required=False)
@_step_option
@reason_option
@_yes_option
@json_option
@with_app
def reject(app: App, named: str | None, step: int | None, reason: str | None, yes: bool) -> None:
    """End a deployment that awaits approval. ECS then returns to the release before.

    Shows the deployment and asks. Without a name: the only deployment that awaits approval.
    """
    job, overview, row = _find(app, named, step)
    _show(app, f"Reject {job} of {full_name(overview)}", overview, row)
    how = _repeat(f"reject {job}", row)
    confirm(app, f"Reject {job}?", yes=yes, how=how)
    app.changes(full_name(overview), repeat=how)
    body = {"hook_id": shift_views.hook_of(row)}
    rejected = _answer(app, job, "reject", body, reason)
    app.goes_on = f"{job} is rejected."
    app.output.document(rejected)
    app.output.show(Text(f"{job} is rejected. ECS returns to the release before."))


def _repeat(command: str, row: dict[str, Any]) -> str:
    """The command that answers only this step. Without it a repeat could answer the next one."""
    return f"slipway {command} --step {one_line(row['approval']['number'])} --yes"


def _answer(
    app: App, job: JobName, verb: str, body: dict[str, Any], reason: str | None
) -> dict[str, Any]:
    given = {**body, **({"reason": reason} if reason else {})}
    answer: dict[str, Any] = app.client.post(
        path_of("cicd", "deployments", job.number, verb), given
    )
    return answer


def _find(
    app: App, named: str | None, step: int | None
) -> tuple[JobName, dict[str, Any], dict[str, Any]]:
    """The deployment that awaits approval, its service and its row.

    Raises WrongUsage, and Failed if it does not await approval, or not of this step.
    """
    if named is not None and (named.isdecimal() or is_job(named, "deploy")):
        job = read_job(named, "deploy")
        row = app.client.get(job.path)
        overview = _service_of(app, row)
    else:
        overview, job = _awaiting(app, named)
        row = app.client.get(job.path)
    if not shift_views.awaits_approval(row):
        raise Failed(
            f"{job} of {full_name(overview)} does not await approval: {_state(job, row)}",
            code="not_awaiting_approval",
        )
    now = row["approval"]["number"]
    if step not in {None, now}:
        raise Failed(
            f"{job} of {full_name(overview)} awaits approval of step {one_line(now)}, "
            f"not of step {step}.",
            code="other_hook",
        )
    return job, overview, row


def _state(job: JobName, row: dict[str, Any]) -> str:
    """What a deployment does instead, or how it has ended."""
    if not row["finished_at"]:
        return f"{views.step_of(row)}. To end it: slipway cancel {job}"
    error = f": {one_line(row['error'])}" if row.get("error") else ""
    return f"{views.status_of(row)}{error}"


def _service_of(app: App, row: dict[str, Any]) -> dict[str, Any]:
    for overview in app.client.pages(path_of("services"), limit=50):
        if overview["id"] == row["service_id"]:
            return overview
    raise WrongUsage(f"The service of {views.job_id(row)} is deleted.", code="no_service")


def _awaiting(app: App, named: str | None) -> tuple[dict[str, Any], JobName]:
    """The only deployment that awaits approval, of a service or of all."""
    if named is None:
        found = list(app.client.pages(path_of("services"), limit=50))
    else:
        found = [find_service(app.client, named)]
    open_ones = [(each, row) for each in found if (row := views.awaiting(each))]
    if len(open_ones) == 1:
        ((overview, row),) = open_ones
        return overview, read_job(row["job_id"], "deploy")
    if open_ones:
        names = ", ".join(f"{views.job_id(row)} ({full_name(each)})" for each, row in open_ones)
        raise WrongUsage(
            f"Several deployments await approval. Name one: {names}", code="several_deployments"
        )
    where = f" of {full_name(found[0])}" if named is not None else ""
    raise Failed(f"No deployment{where} awaits approval.", code="not_awaiting_approval")


def _show(app: App, title: str, overview: dict[str, Any], row: dict[str, Any]) -> None:
    current = overview["current"]
    runs = f"{views.release(current)} ({views.job_id(current)})" if current else "no release"
    app.output.say_parts(
        Text(title, "bold"), views.facts(shift_views.asked(row, views.release(row), one_line(runs)))
    )
