"""The log of a deployment, from its row, from ECS, and from its containers in CloudWatch.

Each look at AWS has a part of the request's time, and none of them can fail the request: a denied
look is a line of the log, and what AWS does not answer now is read with the next page.
"""

import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib import budget, clock
from chalicelib.aws import logs
from chalicelib.domain.approvals import answers_of, text_of_answer
from chalicelib.domain.deploy_failures import Event
from chalicelib.domain.deployment_log import COMMAND, ECS, SLIPWAY, Line, Place
from chalicelib.domain.failures import Phase, one_line
from chalicelib.domain.lag import LAG
from chalicelib.domain.log_streams import LogStream
from chalicelib.domain.log_text import clean_lines, clean_text
from chalicelib.domain.statuses import DeploymentStatus, has_ended
from chalicelib.domain.tasks import Container, Task, failed_container, values_of, why_stopped
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import known_secrets
from chalicelib.pipeline import glances
from chalicelib.pipeline.reconcilers.evidence import (
    cleaned_task,
    definition_of,
    kept_events,
    rollout_events,
    stream_of,
)
from chalicelib.store.models import Deployment
from chalicelib.store.release_receipts import find_release_receipt

logger = logging.getLogger("slipway")

# "Stopped tasks appear in the returned results for at least one hour" (DescribeTasks). After it
# only the row is read.
SHOWN = 3600
# A reader follows so many containers: those that it has begun with, then the newest ones.
MOST_STREAMS = 5
# The lines of a container with which a reader begins.
CONTAINER_LINES = 100
# Seconds for the looks at ECS, and those that are left for the logs.
_LOOK, _KEEP = 2.0, 1.5


class LogPart(msgspec.Struct, frozen=True):
    """A page of the log, the reader's place after it, and whether no line can follow."""

    lines: list[Line]
    place: Place
    complete: bool


class _Source(msgspec.Struct, frozen=True):
    """A stream of the log. Only its last lines are read unless it is `whole`.

    Lines after `until`, in milliseconds, do not belong to the deployment.
    """

    stream: LogStream
    name: str
    whole: bool = False
    until: int | None = None


class _Reading(msgspec.Struct):
    """What a request has read so far."""

    lines: list[Line] = msgspec.field(default_factory=list)
    keyed: list[Line] = msgspec.field(default_factory=list)
    present: list[Line] = msgspec.field(default_factory=list)
    tokens: dict[LogStream, str] = msgspec.field(default_factory=dict)
    size: int = 0
    complete: bool = True
    has_read: bool = True  # each log has been read, or CloudWatch has none

    def add(self, candidates: Iterable[Line], place: Place, limit: int) -> None:
        """Add the lines with a key that were not shown, as far as there is room."""
        known = list(candidates)
        new = place.not_shown(known)
        self.present += known
        room = max(0, limit - len(self.lines))
        self.complete &= len(new) <= room
        self.keyed += new[:room]
        self.lines += new[:room]


def read_log(
    deployment: Deployment, place: Place, *, limit: int, tail: int | None = None
) -> LogPart:
    """The lines of a deployment after a place, ordered by time, at most `limit`.

    With `tail` the last so many lines. Raises InvalidInput for a token that CloudWatch refuses.
    """
    now, limit = clock.now(), tail or limit
    ended = has_ended(deployment.status)
    settled = ended and now - (deployment.finished_at or 0) >= LAG
    reading = _Reading(complete=settled)
    definition = definition_of(deployment) if deployment.task_definition else {}
    tasks: list[Task] = []
    own = [*_facts(deployment), *_kept(deployment)]
    if _is_shown(deployment, now):
        own += _look_at_ecs(deployment, definition, tasks, reading, now)
    else:
        own += _missing(deployment)
    own = list({line.key: line for line in sorted(own, key=_at)}.values())
    # From the tail, all lines are read first.
    reading.add(own, place, limit if tail is None else len(own))
    command = _command(deployment, definition)
    containers = _containers(deployment, definition, tasks, place)
    sources = [*([command] if command else []), *containers]
    for index, source in enumerate(sources):
        room = limit if tail is not None else limit - len(reading.lines)
        share = max(1, room // (1 if tail is not None else len(sources) - index))
        if room < 1 or reading.size > logs.ENOUGH:
            reading.complete = reading.has_read = False
            break
        _read_stream(reading, source, place, share, from_end=tail is not None, settled=settled)
    if settled and reading.has_read:
        kept = _tails(deployment, command, containers, place, reading)
        reading.add(kept, place, limit if tail is None else limit + len(reading.lines))
    lines = sorted(reading.lines, key=_at)
    return LogPart(
        lines if tail is None else lines[-tail:],
        place.after(reading.keyed, reading.tokens, present=reading.present),
        reading.complete,
    )


def events_until_now(deployment: Deployment) -> dict[str, Any]:
    """What a request that ends a rollout writes to its row: the events that ECS shows now.

    Without it the row has those of the loop's last look, which may be a minute old. Empty before
    the rollout, and if ECS does not answer or may not be asked.
    """
    if deployment.target is None or deployment.started_at is None:
        return {}
    try:
        with budget.spending(budget.part(_LOOK, keep=_KEEP, tries=1)):
            events = glances.events_of(deployment.target, since=clock.now())
    except (Rejected, Unavailable) as trouble:
        logger.info("the events of %s are not kept: %s", deployment.job_id, trouble.detail)
        return {}
    return {"events": kept_events(deployment, events)}


def _at(line: Line) -> int:
    return line.at


def _is_shown(deployment: Deployment, now: int) -> bool:
    """Whether ECS may show something about the rollout that its row has not kept."""
    begun = deployment.target is not None and deployment.started_at is not None
    return begun and now - (deployment.finished_at or now) < SHOWN


def _facts(row: Deployment) -> Iterator[Line]:
    """What Slipway did, from the row."""

    def fact(at: int | None, name: str, text: str) -> Iterator[Line]:
        if at is not None:
            yield Line(at * 1000, SLIPWAY, clean_text(text, known_secrets()), f"fact {name}")

    yield from fact(row.created_at, "accepted", f"{row.image} accepted from {row.requested_by}")
    run = row.release_command
    if run is not None:
        command = shlex.join(run.command)
        yield from fact(run.requested_at, "command", f"the release command is started: {command}")
        end = f"the release command has ended with exit code {run.exit_code}"
        yield from fact(run.finished_at, "command ended", end)
    begins = f"the rollout of {_short(row.task_definition)} begins"
    yield from fact(row.started_at, "begun", begins)
    for each in answers_of(row.approvals):
        if each.action == "approve":  # a rejection is the end
            yield from fact(each.at, f"approval {each.number} {each.steps}", text_of_answer(each))
    error = f": {row.error}" if row.error else ""
    for line in fact(row.finished_at, "ended", f"ended: {row.status}{error}"):
        yield replace(line, at=line.at + 999)  # after all others of its second


def _short(arn: str | None) -> str:
    return (arn or "").rpartition("/")[2]


def _kept(row: Deployment) -> Iterator[Line]:
    """The events and the stopped tasks that the row has kept at the end."""
    for at, message in row.events or ():
        yield _event(Event(int(at), message))
    if row.failure is None:
        return
    at = (row.finished_at or row.created_at) * 1000
    for message in () if row.events is not None else row.failure.events:
        yield Line(at, ECS, message, f"event {message}")
    for stopped in row.failure.tasks:
        yield _stop(_short(stopped.task), _milliseconds(stopped.stopped_at) or at, stopped.reason)


def _missing(row: Deployment) -> Iterator[Line]:
    """What the row has not kept of a rollout that ECS does not show any more.

    A cancel and a rollback end a deployment before ECS has ended its rollout.
    """
    if row.started_at is None or row.finished_at is None:
        return
    succeeded, failure = row.progress == 100, row.failure
    if row.events is not None:
        if succeeded or failure is not None or row.status == DeploymentStatus.SUPERSEDED:
            return
        text = "what ECS said after Slipway's last look was not kept"
    elif failure is not None and failure.events:
        return
    elif succeeded or row.task_arns or (failure is not None and failure.tasks):
        text = "what ECS said was not kept"
    else:
        text = "what ECS and the containers said was not kept"
    yield Line(row.finished_at * 1000 + 998, SLIPWAY, text, "fact not kept")


def _milliseconds(time: str | None) -> int | None:
    return None if time is None else int(datetime.fromisoformat(time).timestamp()) * 1000


def _event(event: Event) -> Line:
    return Line(event.at * 1000, ECS, event.message, f"event {event.at} {event.message}")


def _stop(task: str, at: int, reason: str) -> Line:
    return Line(at, ECS, f"task {task} stopped: {reason}", f"stop {task}")


def _look_at_ecs(
    row: Deployment,
    definition: Mapping[str, Any],
    tasks: list[Task],
    reading: _Reading,
    now: int,
) -> list[Line]:
    """The events of the service during the rollout, and the ends of its tasks.

    The deployment's tasks are added to `tasks`.
    """
    # An event has its own time, and a later one belongs to the next rollout. The tasks are the
    # deployment's own.
    target, end = row.target, row.finished_at
    # The last page needs a look after the time in which lines may follow.
    since = 0 if end is None or now < end + LAG else end + LAG
    lines: list[Line] = []
    if target is None:
        return lines

    def look_at_events() -> None:
        events = rollout_events(row, glances.events_of(target, since=since))
        lines.extend(_event(each) for each in events if end is None or each.at <= end)

    def look_at_tasks() -> None:
        tasks.extend(own_tasks(row, glances.some_tasks(target, since=since), definition))

    with budget.spending(budget.part(_LOOK, keep=_KEEP, tries=1)):
        for look in (look_at_events, look_at_tasks):
            try:
                look()
            except Rejected as refusal:
                lines.append(_denied(refusal, now))
            except Unavailable:
                reading.complete = False
    ends = ((task, task.stopped_at) for task in tasks if task.stopped_at is not None)
    return lines + [
        _stop(task.id, at * 1000, one_line(why_stopped(task)))
        for task, at in ends
        if end is None or at <= end + LAG
    ]


def own_tasks(row: Deployment, tasks: Iterable[Task], definition: Mapping[str, Any]) -> list[Task]:
    """The tasks of the deployment's own revision, with clean texts."""
    return [
        cleaned_task(each, definition)
        for each in tasks
        if each.task_definition == row.task_definition
    ]


def _denied(refusal: Rejected, now: int) -> Line:
    text = clean_text(refusal.detail, known_secrets())
    return Line(now * 1000, SLIPWAY, f"not shown: {text}", f"denied {text}")


def _command(row: Deployment, definition: Mapping[str, Any]) -> _Source | None:
    """The log of the release command."""
    run = row.release_command
    if run is None or not run.log_group or not run.log_stream or not definition:
        return None  # without the definition, the values of its variables would not be hidden
    stream = LogStream(run.log_group, run.log_stream, hidden=values_of(definition))
    return _Source(stream, COMMAND, whole=True)


def _containers(
    row: Deployment, definition: Mapping[str, Any], tasks: Sequence[Task], place: Place
) -> list[_Source]:
    """The logs of containers to read: those that the reader follows, then of failed tasks."""
    until = None if row.finished_at is None else (row.finished_at + LAG) * 1000
    found: dict[LogStream, _Source] = {}
    for task in sorted(tasks or _kept_tasks(row), key=_rank):
        container = _container(row, task)
        stream = stream_of(definition, task, container) if container is not None else None
        if container is not None and stream is not None:
            found.setdefault(stream, _Source(stream, container.name, until=until))
    return sorted(found.values(), key=lambda each: place.token(each.stream) is None)[:MOST_STREAMS]


def _rank(task: Task) -> tuple[bool, int]:
    return task.stopped_at is None, -(task.stopped_at or task.started_at or 0)


def _container(row: Deployment, task: Task) -> Container | None:
    """The container with the log: the one that failed, else the main one if it has started."""
    if task.stopped_at is not None:
        failed = failed_container(task)
        return failed if failed is not None and not failed.never_started else None
    main = row.target.main_container if row.target is not None else ""
    running = (each for each in task.containers if each.name == main)
    return next(running, None) if task.started_at is not None else None


def _kept_tasks(row: Deployment) -> list[Task]:
    """The tasks that the row or the receipt names, if ECS does not show them any more.

    Those of a failure and of the receipt are the newest.
    """
    if row.target is None or row.task_definition is None or not has_ended(row.status):
        return []
    main = row.target.main_container
    if row.failure is not None:
        named = [(each.task, each.container or main) for each in row.failure.tasks]
    elif row.progress == 100:
        receipt = find_release_receipt(row) or {}
        named = [(str(each["task"]), main) for each in receipt.get("tasks", ())[:MOST_STREAMS]]
    else:
        named = []
    named = named or [(arn, main) for arn in row.task_arns or ()]
    return [
        Task(arn, row.task_definition, "", "", (Container(name, ""),), started_at=row.started_at)
        for arn, name in named
    ]


def _read_stream(
    reading: _Reading, source: _Source, place: Place, share: int, *, from_end: bool, settled: bool
) -> None:
    """Add the next lines of a stream, at most `share` events."""
    token, until = place.token(source.stream), source.until
    try:
        if token is not None:
            page = logs.read(source.stream, cursor=token, limit=share)
        elif source.whole and not from_end:
            page = logs.read(source.stream, cursor=None, limit=share)
        elif source.whole:
            page = logs.last(source.stream, limit=share)
        else:
            page = logs.last(source.stream, limit=CONTAINER_LINES, before=until)
            if len(page.lines) > share and not from_end:  # the page has no room for all of them
                since = page.lines[0].at
                page = logs.read(source.stream, cursor=None, limit=share, since=since)
        shown = [line for line in page.lines if until is None or line.at < until]
        if settled and not page.missing and len(shown) == len(page.lines):
            full = not from_end and len(page.lines) >= share
            reading.complete &= not full and logs.is_last(source.stream, page)
    except Rejected as refusal:
        line = _denied(refusal, clock.now())
        return reading.add([line], place, len(reading.lines) + 1)
    except Unavailable:
        reading.complete = reading.has_read = False
        return
    if page.cursor is not None:
        reading.tokens[source.stream] = page.cursor
    reading.size += page.size
    # An event of a container may have several lines, which are shown if the page has room for them.
    # Otherwise its line breaks are removed, so that a secret is found that they split.
    parts = [(each.at, part) for each in shown for part in each.message.splitlines() or [""]]
    if len(parts) > share:
        parts = [(each.at, each.message) for each in shown]
    texts = clean_lines((part for _, part in parts), (*known_secrets(), *source.stream.hidden))
    reading.lines += [
        Line(at, source.name, text) for (at, _), text in zip(parts, texts, strict=True)
    ]


def _tails(
    row: Deployment,
    command: _Source | None,
    containers: Sequence[_Source],
    place: Place,
    reading: _Reading,
) -> Iterator[Line]:
    """The ends of logs that the row has kept, if CloudWatch does not show the logs."""
    read = {line.source for line in reading.lines}
    run = row.release_command
    if run is not None and COMMAND not in read and not _was_read(place, [command]):
        yield from _tail(run.log_tail, COMMAND, run.finished_at or row.finished_at)
    failure = row.failure
    if failure is None or failure.phase not in {Phase.ROLL_OUT, Phase.VERIFY}:
        return
    names = {source.name for source in containers}
    if not names & read and not _was_read(place, containers):
        main = row.target.main_container if row.target is not None else "container"
        name = next((each.container for each in failure.tasks if each.container), main)
        yield from _tail(failure.log_tail, name, row.finished_at)


def _was_read(place: Place, sources: Iterable[_Source | None]) -> bool:
    return any(each is not None and place.token(each.stream) is not None for each in sources)


def _tail(lines: Sequence[str], source: str, at: int | None) -> Iterator[Line]:
    cleaned = clean_lines(lines, known_secrets())
    for number, text in enumerate(cleaned):
        yield Line((at or 0) * 1000, source, text, f"tail {source} {number}")
