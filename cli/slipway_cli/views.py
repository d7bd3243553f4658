"""What people read: services, jobs, plans and failures as lines and tables.

Pure functions of the API's answers. Every text of the API goes through `one_line` or `clean`.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway_cli import shift_views
from slipway_cli.names import full_name
from slipway_cli.text import ago, clean, duration, one_line, shell_word, until

BAD, GOOD, BUSY, WARN, DIM = "bold red", "green", "cyan", "yellow", "dim"
_STYLES: Mapping[str, str] = {
    "success": GOOD,
    "failed": BAD,
    "cancelled": DIM,
    "superseded": DIM,
    "rolled_back": WARN,
}
_LOG_LINES = 20
# Names of checks in one line.
_NAMES = 5
_INDENT = (0, 0, 0, 2)


def job_id(row: Mapping[str, Any]) -> str:
    """`build-12` or `deploy-45`."""
    return one_line(row["job_id"])


def status_of(row: Mapping[str, Any]) -> str:
    """The status of a job in words."""
    return one_line(row["status"]).replace("_", " ")


def short(sha: object) -> str:
    """The first characters of a commit or a digest."""
    return one_line(sha).removeprefix("sha256:")[:8]


def release(row: Mapping[str, Any] | None, width: int = 50) -> str:
    """What a build or a deployment consists of: its commit, else its image."""
    if row is None:
        return "nothing"
    if row.get("commit_sha"):
        message = one_line(row.get("commit_message") or "", width)
        return f"{short(row['commit_sha'])} {message}".strip()
    return one_line(row.get("image_tag") or row.get("git_ref") or "unknown image")


def step_of(row: Mapping[str, Any]) -> str:
    """What a job does now, or what it waits for, without numbers that always change."""
    checks = row.get("waiting_for_checks")
    if checks:
        return f"waits for {_awaited(checks)}"
    if row.get("waiting_for"):
        position = f" (number {row['position']} in the line)" if row.get("position") else ""
        return f"waits for {one_line(row['waiting_for'])}{position}"
    return shift_views.awaited(row) or one_line(row.get("step") or "") or status_of(row)


def _awaited(checks: Mapping[str, Any]) -> str:
    """The checks of a commit that a deployment waits for, and why GitHub has not answered."""
    names = [*checks["running"], *checks["missing"]]
    if not names and checks["required"] != "all":
        names = checks["required"]
    words = "all checks of the commit"
    if names:
        words = f"the check{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMES])}"
        words += f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return one_line(f"{words} ({checks['trouble']})" if checks["trouble"] else words)


def words_of(row: Mapping[str, Any]) -> str:
    """What a job does now, its progress, and how long it still takes."""
    parts = [step_of(row)]
    checks = row.get("waiting_for_checks")
    if checks:
        parts += [f"began {ago(checks['since'])}", f"deadline {until(checks['deadline_at'])}"]
    shift = list(shift_views.details(row))
    parts += shift
    if row["status"] in {"building", "deploying"} and not shift:
        parts.append(f"{row['progress']} %")
    left = row.get("remaining_seconds")
    if left is not None and not row.get("awaiting"):
        parts.append(f"about {duration(left)} left" if left else "takes longer than usual")
    return ", ".join(parts)


def failed_jobs(service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The failed deployment that no success has followed, and the newest build if it failed."""
    build = service.get("last_build")
    failed = build if build and build["status"] == "failed" else None
    return [job for job in (service.get("failed_deployment"), failed) if job]


def problems(service: Mapping[str, Any]) -> list[str]:
    """What is wrong with a service, the worst first."""
    found = []
    health = service.get("health")
    if health:
        why = f": {health['why']}" if health.get("why") else ""
        found.append(one_line(f"{health['running']} of {health['desired']} tasks run{why}"))
    for job in failed_jobs(service):
        when = ago(job.get("finished_at"))
        error = one_line(job.get("error") or "no reason is known")
        found.append(f"{job_id(job)} failed{f' {when}' if when else ''}: {error}")
    if service.get("drift"):
        found.append(one_line(service["drift"]))
    if service.get("attention"):
        found.append(one_line(service["attention"]))
    return found


def under_way(service: Mapping[str, Any]) -> list[str]:
    """What is open for a service."""
    found = []
    for kind in ("active", "waiting"):
        row = service.get(kind)
        if row:
            found.append(f"{job_id(row)} {words_of(row)}: {release(row)}")
    builds = service.get("open_builds") or 0
    if builds:
        found.append(f"{builds} open build{'s' if builds > 1 else ''}")
    return found


def awaiting(service: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The deployment of a service that awaits approval."""
    active: Mapping[str, Any] | None = service.get("active")
    return active if active and shift_views.awaits_approval(active) else None


def tasks(service: Mapping[str, Any]) -> Text:
    """Running and desired tasks."""
    seen = service.get("health") or service.get("tasks")
    if not seen:
        return Text("-", DIM)
    running, desired = seen["running"], seen["desired"]
    return Text(one_line(f"{running}/{desired}"), GOOD if running >= desired else BAD)


def by_urgency(services: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Broken services first, then those that await a person, then busy ones, each by name."""

    def rank(service: dict[str, Any]) -> tuple[int, str]:
        busy = 1 if awaiting(service) else 2 if under_way(service) else 3
        return (0 if problems(service) else busy, full_name(service))

    return sorted(services, key=rank)


def _busy(service: Mapping[str, Any]) -> str:
    return WARN if awaiting(service) else BUSY


def _now(service: Mapping[str, Any]) -> Text:
    """The most important thing about a service."""
    wrong, open_work = problems(service), under_way(service)
    text = Text()
    if wrong:
        text.append(one_line(wrong[0], 70), BAD)
    if open_work:
        text.append("; " if wrong else "")
        text.append(one_line(open_work[0], 60), _busy(service))
    if not text and service.get("auto_deploy_paused"):
        text.append("auto-deploy is paused", WARN)
    if not text and service.get("rollback_trouble"):
        text.append(_no_way_back(service), WARN)
    return text


def services_table(services: Sequence[dict[str, Any]]) -> Table:
    """All services in a line each."""
    table = Table(box=None, pad_edge=False, header_style=DIM)
    for title in ("SERVICE", "TASKS", "RUNS", "SINCE", "NOW"):
        table.add_column(title, overflow="fold", no_wrap=title in {"TASKS", "SINCE"})
    for service in by_urgency(services):
        current = service.get("current")
        table.add_row(
            Text(full_name(service), "bold"),
            tasks(service),
            Text(release(current, 40)),
            Text(ago(current["finished_at"]) if current else ""),
            _now(service),
        )
    return table


def services_list(services: Sequence[dict[str, Any]]) -> Iterator[Text | Padding]:
    """All services for a terminal: a line each, and below it what is wrong or under way."""
    ordered = by_urgency(services)
    width = min(max((len(full_name(each)) for each in ordered), default=0), 40)
    for service in ordered:
        current = service.get("current")
        since = f", {ago(current['finished_at'])}" if current else ""
        name = Text(full_name(service).ljust(width), "bold")
        yield Text.assemble(name, "  ", tasks(service), f"  {release(current, 40)}{since}")
        for style, words in (
            *((BAD, each) for each in problems(service)),
            *((_busy(service), each) for each in under_way(service)),
        ):
            yield Padding(Text(words, style), _INDENT, expand=False)
        if service.get("auto_deploy_paused"):
            yield Padding(Text("auto-deploy is paused", WARN), _INDENT, expand=False)
        if service.get("rollback_trouble"):
            yield Padding(Text(_no_way_back(service), WARN), _INDENT, expand=False)


def _no_way_back(service: Mapping[str, Any]) -> str:
    """Why the release before the current one cannot be restored."""
    return one_line(f"cannot go back: {service['rollback_trouble']}")


def facts(rows: Iterable[tuple[str, Text | str]]) -> Table:
    """Names and values in two columns."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style=DIM, no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value if isinstance(value, Text) else one_line(value))
    return table


def status(
    service: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
    back: Mapping[str, Any] | None,
) -> Table:
    """One service: what runs, what broke and why, what is under way, and how to go back.

    `back` is None if Slipway does not answer that question now.
    """
    name = full_name(dict(service))
    return facts(
        [
            ("Service", Text(name, "bold")),
            *_runs(service),
            *(("Problem", Text(each, BAD)) for each in problems(service)),
            *(row for each in failures for row in _why(each)),
            *(("Under way", Text(each, _busy(service))) for each in under_way(service)),
            *_answer(service),
            *_paused(service),
            _go_back(name, back, service.get("rollback_trouble")),
        ]
    )


def _runs(service: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    current = service.get("current")
    if current is None:
        yield "Runs", "nothing that Slipway deployed"
    else:
        yield "Runs", f"{release(current)} ({job_id(current)})"
        by = current.get("requested_by") or "unknown"
        reason = f": {current['reason']}" if current.get("reason") else ""
        yield "Since", f"{ago(current['finished_at'])}, {current['trigger']} by {by}{reason}"
    seen = tasks(service)
    if seen.plain != "-":
        yield "Tasks", seen


def _answer(service: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    row = awaiting(service)
    if row is not None:
        yield "Approve", f"slipway approve {job_id(row)}"
        yield "Reject", f"slipway reject {job_id(row)}"


def _paused(service: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    if service.get("auto_deploy_paused"):
        why = one_line(service["auto_deploy_paused"])
        yield "Paused", Text(f"Auto-deploy is paused: {why}", WARN)
        yield "Resume", f"slipway resume {quoted(full_name(dict(service)))}"


def _go_back(
    name: str, back: Mapping[str, Any] | None, trouble: str | None
) -> tuple[str, Text | str]:
    """How to go back. `trouble` may be some hours old: it counts only without a newer answer."""
    if back is None:
        look = f"slipway rollback {quoted(name)} --plan"
        if trouble:
            return "Go back", f"Perhaps not possible: {trouble}. Try: {look}"
        return "Go back", f"Cannot be checked now; try: {look}"
    target = back.get("target")
    if back.get("possible") and target:
        return (
            "Go back",
            Text.assemble((way_back(name, target), "bold"), f" restores {release(target)}"),
        )
    return "Go back", f"Not possible: {back.get('reason') or 'no reason is known'}"


def way_back(name: str, target: Mapping[str, Any]) -> str:
    """The command that restores a release. Repeated, it does not go back further."""
    return f"slipway rollback {quoted(name)} --to {job_id(target)}"


def quoted(name: str) -> str:
    """A name for a shell, in quotes if it needs them."""
    return shlex.quote(name)


def _why(row: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    failure = row.get("failure") or {}
    if failure.get("log_tail"):
        lines = "\n".join(clean(each) for each in failure["log_tail"][-5:])
        yield "Log", Text(lines, DIM)
    if failure.get("next_step"):
        yield "Next step", failure["next_step"]


def failure(row: Mapping[str, Any]) -> Iterator[Text]:
    """Why a job did not succeed, for stderr: the cause, the end of the log, what to do."""
    found = row.get("failure") or {}
    cause = one_line(found.get("summary") or row.get("error") or "no reason is known")
    yield Text(f"{job_id(row)} {status_of(row)}: {cause}", BAD)
    ended = shift_views.ended_at(row)
    if ended:
        yield Text(f"  It {ended}.")
    error = one_line(row.get("error") or "")
    if error and error not in cause and cause not in error:
        yield Text(f"  {error}")
    for each in dict.fromkeys(map(_stopped, found.get("tasks") or ())):
        yield Text(f"  {each}")
    command = row.get("release_command") or {}
    tail = found.get("log_tail") or command.get("log_tail") or ()
    for line in tail[-_LOG_LINES:]:
        yield Text(f"  | {clean(line)}", DIM)
    if found.get("next_step"):
        yield Text(f"Next step: {one_line(found['next_step'])}", WARN)


def _stopped(task: Mapping[str, Any]) -> str:
    code = "" if task.get("exit_code") is None else f", exit code {task['exit_code']}"
    return f"{one_line(task.get('container') or 'task')}{code}: {one_line(task['reason'])}"


def plan(title: str, made: Mapping[str, Any]) -> Iterator[Text | Table]:
    """What a deployment, a rollback or a change of the configuration would do."""
    yield Text(title, "bold")
    yield facts(_plan_rows(made))
    yield from findings(made.get("findings") or ())


def _plan_rows(made: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    for name, key in (("Now", "image_now"), ("Then", "image_then")):
        if made.get(key):
            yield name, _image(made[key])
    commits = made.get("commits")
    if commits and commits.get("compare_url"):
        yield "Commits", commits["compare_url"]
    yield from _changes(made.get("changes") or {})
    yield from _config_changes(made.get("config"))
    yield from _rollout(made)


def _rollout(made: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    for ending in made.get("ends") or ():
        yield "Ends", f"deploy-{ending['deployment_id']} ({status_of(ending)})"
    if made.get("starts_after"):
        yield "Begins", f"after the end of deploy-{made['starts_after']}"
    if made.get("release_command"):
        yield "Runs first", " ".join(made["release_command"])
    if made.get("strategy") not in {None, "ROLLING"}:
        yield "Strategy", shift_views.planned(made)
        approval = shift_views.planned_approval(made)
        if approval:
            yield "Approval", approval
    if made.get("desired_count") is not None:
        yield "Tasks", str(made["desired_count"])
    if made.get("auto_deploy") in {"paused", "resumed"}:
        yield "Auto-deploy", f"will be {made['auto_deploy']}"


def _config_changes(config: Mapping[str, Any] | None) -> Iterator[tuple[str, Text | str]]:
    if config is None:
        return
    changed = [
        *_names("variables", config["environment"]),
        *_names("secrets", config["secrets"]),
        *config["sizes"],
    ]
    if changed:
        yield "Config", "; ".join(changed)


def _changes(changes: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    for each in changes.get("containers") or ():
        changed = [
            *(["image"] if each["image_now"] != each["image_then"] else []),
            *_names("variables", each["environment"]),
            *_names("secrets", each["secrets"]),
            *([f"settings {', '.join(each['settings'])}"] if each["settings"] else []),
        ]
        yield "Changes", f"{each['name']}: {'; '.join(changed)}"
    if changes.get("settings"):
        yield "Changes", f"task definition: {', '.join(changes['settings'])}"


def _names(what: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    marked = [
        f"{mark}{name}"
        for mark, key in (("+", "added"), ("-", "removed"), ("~", "changed"))
        for name in names.get(key) or ()
    ]
    return [f"{what} {' '.join(marked)}"] if marked else []


def _image(image: Mapping[str, Any]) -> str:
    source = [
        f"deploy-{image['deployment_id']}" if image.get("deployment_id") else "",
        f"build-{image['build_id']}" if image.get("build_id") else "",
        short(image["commit_sha"]) if image.get("commit_sha") else "",
    ]
    known = ", ".join(each for each in source if each)
    name = image.get("image_tag") or image["image"]
    return f"{name} ({known})" if known else name


def findings(found: Iterable[Mapping[str, Any]]) -> Iterator[Text]:
    """The findings of a preflight, one line each."""
    for each in found:
        style = BAD if each["severity"] == "error" else WARN
        yield Text(f"{one_line(each['severity'])}: {one_line(each['message'])}", style)


def history_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Builds and deployments, newest first."""
    table = Table(box=None, pad_edge=False, header_style=DIM)
    for title in ("JOB", "STATUS", "WHEN", "WHAT", "WHY"):
        table.add_column(title, overflow="fold", no_wrap=title in {"JOB", "WHEN"})
    for row in rows:
        table.add_row(
            Text(job_id(row), "bold"),
            Text(status_of(row), _STYLES.get(row["status"], BUSY)),
            Text(ago(row["created_at"])),
            Text(release(row)),
            Text(_reason(row)),
        )
    return table


def history_list(rows: Sequence[Mapping[str, Any]]) -> Iterator[Text | Padding]:
    """The same for a terminal in which a table would break its words."""
    for row in rows:
        status = Text(status_of(row), _STYLES.get(row["status"], BUSY))
        yield Text.assemble((job_id(row), "bold"), "  ", status, f"  {ago(row['created_at'])}")
        for words in (release(row), _reason(row)):
            yield Padding(Text(words, overflow="fold"), _INDENT, expand=False)


def _reason(row: Mapping[str, Any]) -> str:
    pull = row.get("pull_request")
    trigger = row["trigger"] if pull is None else f"pull request {pull['number']}"
    parts = [f"{trigger} by {row['requested_by']}"]
    if pull is not None:
        parts.append(one_line(pull["title"], 60))
    if pull is not None and pull["withheld"]:
        parts.append(f"built without {', '.join(pull['withheld'])}")
    if row.get("waiting_for_checks"):
        parts.append(words_of(row))
    if row.get("awaiting"):
        parts.append(words_of(row))
    parts += shift_views.answers(row)
    if row.get("restores"):
        parts.append(f"restores deploy-{row['restores']}")
    if row.get("reason"):
        parts.append(one_line(row["reason"], 60))
    if row.get("build_id"):
        parts.append(f"build-{row['build_id']}")
    if row.get("deployment_id"):
        parts.append(f"deploy-{row['deployment_id']}")
    if row["status"] in {"failed", "superseded"} and row.get("error"):
        parts.append(one_line(row["error"], 80))
    return one_line("; ".join(parts))


def config(shown: Mapping[str, Any]) -> Iterator[Text]:
    """A service's configuration, as words that `config … set` accepts."""
    for name, value in sorted(shown["environment"].items()):
        yield Text(shell_word(f"{name}={value}"))
    for name, reference in sorted(shown["secrets"].items()):
        yield Text(f"--secret {shell_word(f'{name}={reference}')}")
    for name in ("cpu", "memory", "desired_count"):
        if shown.get(name) is not None:
            yield Text(f"--{name.replace('_', '-')} {shown[name]}")
