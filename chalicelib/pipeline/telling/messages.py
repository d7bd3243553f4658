"""The message about the state of a row."""

from chalicelib import clock
from chalicelib.domain.approvals import Awaiting, answers_of
from chalicelib.domain.messages import TESTED, JobData, Message, ServiceData, TestData
from chalicelib.domain.shifts import ShownShift
from chalicelib.domain.statuses import has_ended
from chalicelib.domain.strategies import CANARY, LINEAR
from chalicelib.domain.telling import Event, Told, service_changes
from chalicelib.domain.timing import rfc3339
from chalicelib.pipeline.telling.rows import (
    Row,
    build_of,
    cause_of,
    cleaned,
    duration_of,
    link_to,
    name_of,
    row_id,
)
from chalicelib.settings import settings
from chalicelib.store.channels import event_of_job
from chalicelib.store.models import Build, Channel, Deployment, Job, Service, type_of

_WORDS = {
    Event.BUILD_QUEUED: "build {n} is queued",
    Event.BUILD_STARTED: "build {n} has started",
    Event.BUILD_SUCCEEDED: "build {n} succeeded",
    Event.BUILD_FAILED: "build {n} failed",
    Event.BUILD_CANCELLED: "build {n} was cancelled",
    Event.BUILD_SUPERSEDED: "build {n} was superseded",
    Event.DEPLOYMENT_QUEUED: "deployment {n} is queued",
    Event.DEPLOYMENT_STARTED: "deployment {n} has started",
    Event.DEPLOYMENT_AWAITING: "deployment {n} awaits approval",
    Event.DEPLOYMENT_APPROVED: "deployment {n} was approved",
    Event.DEPLOYMENT_REJECTED: "deployment {n} was rejected",
    Event.DEPLOYMENT_SUCCEEDED: "deployment {n} succeeded",
    Event.DEPLOYMENT_FAILED: "deployment {n} failed",
    Event.DEPLOYMENT_CANCELLED: "deployment {n} was cancelled",
    Event.DEPLOYMENT_SUPERSEDED: "deployment {n} was superseded",
    Event.DEPLOYMENT_ROLLED_BACK: "deployment {n} was rolled back",
    Event.ROLLBACK_SUCCEEDED: "rolled back by deployment {n}",
    Event.ROLLBACK_FAILED: "rollback {n} failed",
    Event.SERVICE_DRIFTED: "ECS does not run what it should",
    Event.SERVICE_PAUSED: "auto-deploy is paused",
    Event.SERVICE_ATTENTION: "needs attention",
    Event.SERVICE_UNHEALTHY: "tasks are missing",
    Event.SERVICE_NO_WAY_BACK: "the release before cannot be restored",
}
_GOOD = {Event.BUILD_SUCCEEDED, Event.DEPLOYMENT_SUCCEEDED, Event.ROLLBACK_SUCCEEDED}
_BAD = {
    Event.BUILD_FAILED,
    Event.DEPLOYMENT_REJECTED,
    Event.DEPLOYMENT_FAILED,
    Event.ROLLBACK_FAILED,
    Event.SERVICE_DRIFTED,
    Event.SERVICE_ATTENTION,
    Event.SERVICE_UNHEALTHY,
    Event.SERVICE_NO_WAY_BACK,
}


def message_of(channel: Channel, row: Row, service: Service, state: str, known: Told) -> Message:
    """What a channel is told when a row has come from the state that it knows to another one."""
    if isinstance(row, Service):
        return _of_service(channel, row, state, known)
    event = event_of_job(row)
    name = name_of(service)
    return Message(
        id=_id(channel, row, state),
        event=event,
        at=_time_of(row, event),
        title=f"{name}: {_WORDS[event].format(n=row.number)}",
        facts=_facts(row, event),
        url=link_to(row),
        is_good=True if event in _GOOD else False if event in _BAD else None,
        data=_data(row, name),
    )


def test_message(channel: Channel) -> Message:
    """A message that says that the channel works."""
    return Message(
        id=f"{settings().table_prefix}-{channel.id}-test-{clock.now()}",
        event=TESTED,
        at=clock.now(),
        title=f"Slipway: a test of the channel {channel.name}",
        facts={"Result": "This channel works."},
        url=settings().public_url or None,
        is_good=True,
        data=TestData(channel_id=channel.id, name=channel.name),
    )


def _id(channel: Channel, row: Row, state: str) -> str:
    # Standard Webhooks: an id contains no full stop, which separates the parts of what is signed.
    parts = (settings().table_prefix, channel.id, row_id(row), state.replace(".", "_"))
    return "-".join(map(str, parts))


def _time_of(job: Job, event: Event) -> int:
    if isinstance(job, Deployment) and event == Event.DEPLOYMENT_AWAITING and job.awaiting:
        return job.awaiting.since
    if isinstance(job, Deployment) and event == Event.DEPLOYMENT_APPROVED:
        return answers_of(job.approvals)[-1].at
    return job.finished_at or job.started_at or job.created_at


def _approval(job: Job, event: Event) -> dict[str, str]:
    """What a person has to know to answer, or who has answered and why."""
    if isinstance(job, Deployment) and event == Event.DEPLOYMENT_AWAITING and job.awaiting:
        step = _step(job.awaiting, job.shift)
        # A message stays in the chat: its command must not answer a later step.
        only = f" --step {job.awaiting.number}" if "Step" in step else ""
        return {
            **step,
            "Approve by": str(rfc3339(job.awaiting.expires_at) or ""),
            "To approve": f"slipway approve {job.job_id}{only}",
            "To reject": f"slipway reject {job.job_id}{only}",
        }
    if isinstance(job, Deployment) and event == Event.DEPLOYMENT_APPROVED:
        answer = answers_of(job.approvals)[-1]
        return {"Approved by": cleaned(answer.by), "Because": cleaned(answer.reason or "")}
    return {}


def _step(awaiting: Awaiting, shift: ShownShift | None) -> dict[str, str]:
    """Which step awaits the approval, and the traffic before it."""
    if shift is None:
        return {}
    step = {"Step": str(awaiting.number)} if shift.strategy in {LINEAR, CANARY} else {}
    return step if shift.weight is None else {**step, "Traffic now": f"{shift.weight:g} %"}


def _end(job: Job) -> dict[str, str]:
    """Where the rollout was when a deployment ended without success."""
    shift = job.shift if isinstance(job, Deployment) else None
    if shift is None or not shift.stage:
        return {}
    weight = "unknown" if shift.weight is None else f"{shift.weight:g} %"
    return {"Traffic at its end": f"{weight}, in the stage {shift.stage}"}


def _facts(job: Job, event: Event) -> dict[str, str]:
    facts = {
        "Commit": f"{(job.commit_sha or '')[:8]} {cleaned(job.commit_message or '')}".strip(),
        "Author": cleaned(job.author or ""),
        "By": cleaned(job.requested_by),
    }
    build = build_of(job)
    if build is not None:
        facts["Branch"] = cleaned(build.git_ref)
    if build is not None and build.pull_request is not None:
        pull = build.pull_request
        facts["Pull request"] = f"{pull.number} {cleaned(pull.title)}".strip()
    if isinstance(job, Deployment) and job.reason:
        facts["Reason"] = cleaned(job.reason)
    facts |= _approval(job, event)
    if event in _BAD:
        facts["Cause"] = cause_of(job)
        facts["Next step"] = cleaned((job.failure and job.failure.next_step) or "")
    elif job.finished_at is not None and job.started_at is not None:
        facts["Duration"] = duration_of(job)
    if has_ended(job.status) and job.progress < 100:  # a rolled back release succeeded, too
        facts |= _end(job)
    return facts


def _data(job: Job, name: str) -> JobData:
    """What programs read of a job: facts, and its address."""
    failed = job.failure is not None or job.error is not None
    pull = job.pull_request if isinstance(job, Build) else None
    hook = job.awaited_approval if isinstance(job, Deployment) else None
    return JobData(
        job_id=job.job_id,
        type=type_of(job),
        number=job.number,
        status=str(job.status),
        service=name,
        service_id=job.service_id,
        project_id=job.project_id,
        commit_sha=job.commit_sha,
        commit_message=cleaned(job.commit_message or "") or None,
        pull_request=pull.number if pull is not None else None,
        requested_by=cleaned(job.requested_by),
        cause=cause_of(job) if failed else None,
        hook_id=hook.hook_id if hook else None,
        approve_by=rfc3339(hook.expires_at) if hook else None,
        created_at=str(rfc3339(job.created_at)),
        started_at=rfc3339(job.started_at),
        finished_at=rfc3339(job.finished_at),
        url=link_to(job),
    )


def _of_service(channel: Channel, service: Service, state: str, known: Told) -> Message:
    begun, over = service_changes(known, state)
    name = name_of(service)
    reasons = {
        Event.SERVICE_DRIFTED: service.drift,
        Event.SERVICE_PAUSED: service.auto_deploy_paused,
        Event.SERVICE_ATTENTION: service.attention,
        Event.SERVICE_UNHEALTHY: service.health and service.health.why,
        Event.SERVICE_NO_WAY_BACK: service.rollback_trouble,
    }
    titles = [_WORDS[each] for each in begun] + [f"over: {_WORDS[each]}" for each in over]
    facts = {_WORDS[each].capitalize(): cleaned(reasons[each] or "") for each in begun}
    return Message(
        # A state may come again. Its repetition after a lost answer has the same count.
        id=f"{_id(channel, service, state)}-{known.count}",
        event=(begun or over)[0],
        at=clock.now(),
        title=f"{name}: {', '.join(titles)}",
        facts=facts,
        url=link_to(service),
        is_good=None if begun and set(begun) == {Event.SERVICE_PAUSED} else not begun,
        data=ServiceData(
            service=name,
            service_id=service.id,
            project_id=service.project_id,
            begun=[str(each) for each in begun],
            over=[str(each) for each in over],
            url=link_to(service),
        ),
    )
