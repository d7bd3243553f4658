"""`build`, `deploy`, `rollback`, `cancel`, `retry`: they change what runs."""

import contextlib
import itertools
from typing import Any

import click
from rich.text import Text

from slipway_cli import views
from slipway_cli.app import (
    App,
    Ended,
    confirm,
    json_option,
    plan_option,
    reason_option,
    wait_option,
    with_app,
)
from slipway_cli.client import path_of
from slipway_cli.errors import Failed, Failure, WrongUsage
from slipway_cli.names import JobName, find_service, full_name, is_job, read_job
from slipway_cli.text import ago, one_line

_ENDS = {"success": "has succeeded", "failed": "has failed"}
# Builds to look through for the newest one of a branch.
_SEARCHED = 1000


@click.command()
@click.argument("service")
@click.option("--ref", help="A branch, a tag or a commit instead of the service's branch.")
@wait_option
@json_option
@with_app
def build(app: App, service: str, ref: str | None, wait: bool) -> None:
    """Build the service's branch, or another ref."""
    overview = find_service(app.client, service)
    app.changes(full_name(overview))
    # An empty REF, such as an unset variable of a script, must not build the branch.
    body = {} if ref is None else {"git_ref": ref}
    accepted = app.client.post(path_of("cicd", "services", overview["id"], "build"), body)
    _finish_build(app, accepted, wait=wait)


@click.command()
@click.argument("build_name", metavar="BUILD")
@wait_option
@json_option
@with_app
def retry(app: App, build_name: str, wait: bool) -> None:
    """Build the commit of build-12 again. Only a build without success can be retried."""
    job = read_job(build_name, "build")
    app.asks(f"slipway logs {job}")
    accepted = app.client.post(path_of("cicd", "builds", job.number, "retry"))
    _finish_build(app, accepted, wait=wait)


def _finish_build(app: App, accepted: dict[str, Any], *, wait: bool) -> None:
    job = JobName("build", accepted["build_id"])
    if not wait:
        return _leave(app, job, accepted)
    row = app.wait(job)
    words = f"{job} succeeded: {one_line(row['image_tag'])} ({views.release(row)})"
    app.output.show(Text(words, views.GOOD))
    for warning in row.get("warnings") or ():
        app.output.say(f"warning: {warning}", views.WARN)
    if row.get("deployment_id"):
        app.output.say(f"deploy-{row['deployment_id']} deploys it.")
    return None


@click.command()
@click.argument("service")
@click.argument("image", required=False)
@reason_option
@plan_option
@wait_option
@json_option
@with_app
def deploy(
    app: App,
    service: str,
    image: str | None,
    reason: str | None,
    plan: bool,
    wait: bool,
) -> None:
    """Deploy IMAGE: a tag of a build, a digest, or build-12.

    Without IMAGE: the newest successful build of the service's branch. Exit code 0 only if ECS
    runs the release.
    """
    overview = find_service(app.client, service)
    name = full_name(overview)
    chosen = _image(app, overview, image)
    body = {"image_tag": chosen, **({"reason": reason} if reason else {})}
    path = path_of("cicd", "services", overview["id"], "deploy")
    if plan:
        made = app.client.post(path, body, dry_run=True)
        return show_plan(app, made, f"Deploy {one_line(chosen)} to {name}")
    app.changes(name)
    return finish_deployment(app, app.client.post(path, body), overview, wait=wait)


def _image(app: App, overview: dict[str, Any], named: str | None) -> str:
    """The image to deploy, as the API takes it."""
    if named is None:
        row = _newest_build(app, overview)
        when = ago(row["finished_at"])
        app.output.say(f"{views.job_id(row)} is the newest build: {views.release(row)}, {when}")
    elif is_job(named, "build"):
        row = app.client.get(read_job(named, "build").path)
    else:
        return named
    return str(row["image_tag"])


def _newest_build(app: App, overview: dict[str, Any]) -> dict[str, Any]:
    """The newest successful build of the branch, of the service or of its source of images."""
    number, branch = overview["id"], overview["branch"]
    if overview["image_from"] is not None:
        number = overview["image_from"]
        branch = _branch_of_source(app, overview)
    listed = app.client.pages(
        path_of("cicd", "services", number, "builds"), status="success", limit=100
    )
    for row in itertools.islice(listed, _SEARCHED):
        is_of_branch = row["git_ref"] == branch and row["ref_type"] in {"branch", None}
        if is_of_branch and row["trigger"] != "pull_request":
            return row
    name = full_name(overview)
    raise Failed(
        f"No successful build of {one_line(branch)}: slipway build {views.quoted(name)}",
        code="no_build",
    )


def _branch_of_source(app: App, overview: dict[str, Any]) -> str:
    """The branch of the service that builds the images; a token for one service may not see it."""
    try:
        return str(app.client.get(path_of("services", overview["image_from"]))["branch"])
    except WrongUsage as error:
        name = full_name(overview)
        raise WrongUsage(
            f"{name} deploys the images of service {overview['image_from']}, which this token does "
            f"not see. Name one: slipway deploy {views.quoted(name)} IMAGE",
            code="no_source",
        ) from error


@click.command()
@click.argument("service")
@click.option("--to", "to", metavar="N", help="The deployment to restore, such as deploy-12.")
@reason_option
@plan_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@wait_option
@json_option
@with_app
def rollback(
    app: App,
    service: str,
    to: str | None,
    reason: str | None,
    plan: bool,
    yes: bool,
    wait: bool,
) -> None:
    """Go back to the release before, or to another one.

    Its image and its configuration are restored. Shows what changes and asks. Auto-deploy is
    paused, so that the next push does not undo it.
    """
    target = None if to is None else read_job(to, "deploy").number
    overview = find_service(app.client, service)
    name = full_name(overview)
    path = path_of("cicd", "services", overview["id"], "rollback")
    preview = app.client.get(path, deployment_id=target)
    if preview["target"] is None:
        return _impossible(app, preview, plan=plan)
    title = (
        f"Roll back {name} to {views.job_id(preview['target'])}: {views.release(preview['target'])}"
    )
    if plan:
        return show_plan(app, preview, title, made=preview["plan"])
    app.output.say_parts(*views.plan(title, preview["plan"]))
    if not preview["possible"]:
        raise Failed(_reason(preview), code=preview["code"])
    # Without `--to`, a repeat after an accepted request would go back once more.
    repeat = f"{views.way_back(name, preview['target'])} --yes"
    confirm(app, f"Roll back {name} to {views.job_id(preview['target'])}?", yes=yes, how=repeat)
    body = {
        "deployment_id": preview["target"]["id"],
        # Refused if another deployment is active or current now than the plan says.
        "expected": preview["plan"]["expected"],
        **({"reason": reason} if reason else {}),
    }
    app.changes(name, repeat=repeat)
    return finish_deployment(app, app.client.post(path, body), overview, wait=wait)


def _impossible(app: App, preview: dict[str, Any], *, plan: bool) -> None:
    if plan:
        app.output.document(preview)
    raise Failed(_reason(preview), code=preview["code"])


def _reason(preview: dict[str, Any]) -> str:
    return one_line(preview["reason"] or "a rollback is not possible")


def show_plan(app: App, document: dict[str, Any], title: str, made: Any = None) -> None:
    """Print a plan. Raises Failed if the request would be refused."""
    app.output.document(document)
    app.output.show(*views.plan(title, made or document))
    if not document["possible"]:
        why = f": {one_line(document['reason'])}" if document.get("reason") else "."
        raise Failed(f"This would be refused{why}", code=document.get("code") or "not_possible")


def finish_deployment(
    app: App, accepted: dict[str, Any], overview: dict[str, Any], *, wait: bool
) -> None:
    """Follow an accepted deployment to its end, or only name it."""
    job = JobName("deploy", accepted["deployment_id"])
    if not wait:
        return _leave(app, job, accepted)
    return conclude(app, job, app.follow(job), overview)


def conclude(app: App, job: JobName, row: dict[str, Any], overview: dict[str, Any]) -> None:
    """Print how a deployment has ended, and what the service runs.

    Raises Ended and Failed unless the service runs it.
    """
    if row["status"] != "success":
        app.output.say_parts(*views.failure(row))
        _say_what_runs(app, overview)
        raise Ended
    current = _current(app, overview)
    if current != job.number:
        raise Failed(
            f"{job} succeeded, but {full_name(overview)} runs {_named(current)} now.",
            code="not_current",
        )
    words = f"{full_name(overview)} runs {job}: {views.release(row)}"
    app.output.show(Text(words, views.GOOD))
    for warning in row.get("warnings") or ():
        app.output.say(f"warning: {warning}", views.WARN)


def _say_what_runs(app: App, overview: dict[str, Any]) -> None:
    """Say what the service runs after a deployment that failed, if Slipway still answers."""
    with contextlib.suppress(Failure):
        current = _current(app, overview)
        before = overview["current"]["id"] if overview["current"] else None
        when = ", as before" if current == before else " now"
        app.output.say(f"{full_name(overview)} runs {_named(current)}{when}.")


def _current(app: App, overview: dict[str, Any]) -> Any:
    """The number of the release that the service runs; None if it has none."""
    return app.client.get(path_of("services", overview["id"]))["current_deployment_id"]


def _named(current: Any) -> str:
    return "no release of Slipway" if current is None else f"deploy-{current}"


def _leave(app: App, job: JobName, accepted: dict[str, Any]) -> None:
    app.accepted(job)
    app.output.document(accepted)
    app.output.show(Text(f"{job} is accepted."))
    app.output.say(app.goes_on)


@click.command()
@click.argument("job")
@wait_option
@json_option
@with_app
def cancel(app: App, job: str, wait: bool) -> None:
    """Cancel build-12 or deploy-45. ECS then returns to the release before."""
    name = read_job(job)
    app.asks(f"slipway logs {name}")
    accepted = app.client.post(path_of("cicd", "jobs", name, "cancel"))
    words = f"The cancel of {name} is accepted"
    if wait:
        accepted = app.follow(name, accepted=words)
    else:
        app.output.document(accepted)
    status = accepted["status"]
    if status == "cancelled":
        app.output.show(Text(f"{name} is cancelled."))
    elif wait:
        end = _ENDS.get(status, f"is {views.status_of(accepted)}")
        raise Failed(f"Too late: {name} {end}.", code="too_late")
    else:
        app.accepted(name, words)
        app.output.say(app.goes_on)
