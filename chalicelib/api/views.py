"""Rows as the API shows them. The classes are response bodies and their OpenAPI schemas."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from chalicelib import clock
from chalicelib.api.http.problems import cleaned
from chalicelib.domain import approvals as answers
from chalicelib.domain import health as domain
from chalicelib.domain import release_commands
from chalicelib.domain.approvals import answers_of, text_of_wait
from chalicelib.domain.failures import Failure
from chalicelib.domain.images import machine_for
from chalicelib.domain.line import Place
from chalicelib.domain.log_text import clean_lines, clean_text
from chalicelib.domain.plan import Plan
from chalicelib.domain.preflight import Finding
from chalicelib.domain.progress import build_step, deploy_step, remaining_seconds
from chalicelib.domain.refs import RefType
from chalicelib.domain.rollouts import PAUSE
from chalicelib.domain.service_settings import BuildSettings, ServiceSettings
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, JobStatus, job_id, job_status
from chalicelib.domain.strategies import StrategyType
from chalicelib.domain.tasks import Task, why_stopped
from chalicelib.domain.timing import rfc3339
from chalicelib.known_secrets import known_secrets
from chalicelib.settings import settings
from chalicelib.store import models
from chalicelib.store.jobs import findings_of
from chalicelib.store.named import Named

# Texts of people, commits, builds and AWS, or with a part of one. They are shown cleaned.
_FROM_OUTSIDE = frozenset(
    {
        "error",
        "drift",
        "attention",
        "commit_message",
        "author",
        "reason",
        "not_deployed",
        "requested_by",
        "cancelled_by",
        "waiting_for",
    }
)

_NO_PLACE = Place()

_T = TypeVar("_T")
Row = TypeVar("Row")
_Text = TypeVar("_Text", str, None, str | None)


class Page(msgspec.Struct, Generic[_T]):
    """One page of a list, newest first. `next_cursor` is null on the last page."""

    items: list[_T]
    next_cursor: str | None


class Project(msgspec.Struct, kw_only=True):
    """A group of services. Its builds fetch with the secret that `git_credential` names."""

    id: int
    name: str
    git_credential: str | None
    created_at: str | None


class ReceiptReference(msgspec.Struct, kw_only=True):
    """A receipt, by its deployment and its hash."""

    deployment_id: int
    hash: str


class Health(msgspec.Struct, kw_only=True):
    """How many tasks of a release run, if some are missing. `why` is the newest reason of ECS."""

    running: int
    desired: int
    since: str | None
    why: str | None


class TaskCount(msgspec.Struct, kw_only=True):
    """How many tasks of an ECS service run and are desired, whatever they run: during a rollout
    those of both releases. `seen_at` is when Slipway first saw these numbers.
    """

    running: int
    desired: int
    seen_at: str | None


class Service(ServiceSettings, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A service: its settings, and its current, active and waiting deployments. The waiting one is
    the next, or it waits for the checks of its commit (`require_checks`). `drift` says why ECS may
    not run the current release. `auto_deploy_paused` says why builds are not deployed automatically
    although `auto_deploy` is on, and how to go on: a rollback and a change of the ECS service
    outside Slipway pause auto-deploy, and a `PATCH` of the service with `auto_deploy` true resumes
    it. `health` is null unless tasks of the current release are missing. `tasks` counts all tasks
    of the ECS service at the newest look; null until the first deployment. `receipt` is the newest
    one of its releases. `failed_deployment_id` is the newest deployment that failed since the last
    success. `rollback_trouble` says why the release before the current one cannot be restored, if
    that is so. `failing_since` is when the first rollout failed since then. `attention` names a
    problem that an operator should solve.
    """

    id: int
    project_id: int
    auto_deploy_paused: str | None
    current_deployment_id: int | None
    active_deployment_id: int | None
    waiting_deployment_id: int | None
    failed_deployment_id: int | None
    failing_since: str | None
    drift: str | None
    health: Health | None
    tasks: TaskCount | None
    receipt: ReceiptReference | None
    rollback_trouble: str | None
    attention: str | None
    created_at: str | None
    updated_at: str | None
    simulated: bool


class WaitingForChecks(msgspec.Struct, kw_only=True):
    """The checks of its commit that a deployment waits for. `required` are their names, or "all".
    GitHub shows those in `running`, which have not ended, and not yet those in `missing`; each has
    at most 20 names. At `deadline_at` the deployment ends. `trouble` is why GitHub has not answered
    the question of `asked_at`.
    """

    required: Literal["all"] | list[str]
    running: list[str]
    missing: list[str]
    since: str | None
    deadline_at: str | None
    asked_at: str | None
    trouble: str | None


class AwaitedApproval(msgspec.Struct, kw_only=True):
    """The approval that a deployment needs. A request to approve or reject it may name `hook_id`:
    then it is refused if another hook awaits an answer meanwhile. `number` counts the approvals of
    the deployment. At `expires_at` ECS takes the rollout back.
    """

    hook_id: str
    number: int
    since: str | None
    expires_at: str | None


class ReleaseSummary(msgspec.Struct, kw_only=True):
    """A deployment in a list of services. `waiting_for_checks` is null unless it waits for the
    checks of its commit. `awaiting` is `approval` while a person must approve it, and `hook` while
    its rollout waits for a pause hook of the ECS service. `traffic` is the percentage of the
    production traffic that its tasks get, or got at an end without success. It is null if ECS does
    not say it.
    """

    id: int
    job_id: str
    status: DeploymentStatus
    progress: int
    trigger: str
    requested_by: str
    reason: str | None
    commit_sha: str | None
    commit_message: str | None
    author: str | None
    image_tag: str
    image_digest: str | None
    build_id: int | None
    waiting_for_checks: WaitingForChecks | None
    traffic: float | None
    awaiting: Literal["approval", "hook"] | None
    approval: AwaitedApproval | None
    error: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None


class BuildSummary(msgspec.Struct, kw_only=True):
    """A build in a list of services."""

    id: int
    job_id: str
    status: BuildStatus
    progress: int
    git_ref: str
    commit_sha: str | None
    commit_message: str | None
    author: str | None
    error: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None


class PullRequest(msgspec.Struct, kw_only=True):
    """The pull request of a build. Such a build has no secrets and no copies, whatever the service
    has: `withheld` names the settings of the service that it does not have. It is never deployed.
    """

    number: int
    title: str
    withheld: list[str]


class OpenBuild(BuildSummary, kw_only=True):
    """A build that has not ended. `step` says what it does now, and `remaining_seconds` is the time
    until its end if it takes as long as usual. A queued build has `waiting_for`, and `position` in
    Slipway's line (1 is the next). `pull_request` is null unless it is the build of one.
    """

    service_id: int
    pull_request: PullRequest | None
    step: str | None
    remaining_seconds: int | None
    position: int | None
    waiting_for: str | None


class OpenBuilds(msgspec.Struct, kw_only=True):
    """The builds that have not ended: those that CodeBuild has, then Slipway's line in its order.
    `items` has at most 100 of them, and `total` counts them, up to 1,000.
    """

    items: list[OpenBuild]
    total: int


class ServiceOverview(msgspec.Struct, kw_only=True):
    """A service in the list of all services, with the name of its `project`. `current` is the
    release that runs, `active` the deployment under way, and `waiting` the next one.
    `last_deployment` and `last_build` are those that ended last, with any outcome, and
    `failed_deployment` is the newest that failed since the last success. `open_builds` counts the
    builds that have not ended. The other fields are those of a service.
    """

    id: int
    name: str
    project_id: int
    project: str
    branch: str
    git_url: str
    image_repository: str
    image_from: int | None
    auto_build: bool
    auto_deploy: bool
    auto_deploy_paused: str | None
    drift: str | None
    health: Health | None
    attention: str | None
    tasks: TaskCount | None
    rollback_trouble: str | None
    current: ReleaseSummary | None
    active: ReleaseSummary | None
    waiting: ReleaseSummary | None
    last_deployment: ReleaseSummary | None
    failed_deployment: ReleaseSummary | None
    failing_since: str | None
    last_build: BuildSummary | None
    open_builds: int
    ecs_cluster: str | None
    ecs_service: str | None
    updated_at: str | None
    simulated: bool


_SETTINGS_OF_OVERVIEW = tuple(
    name for name in ServiceOverview.__struct_fields__ if name in ServiceSettings.__struct_fields__
)


class Dependent(msgspec.Struct, kw_only=True):
    """The effect of a build on a service that deploys its images (`image_from`): a deployment, or
    the reason why there is none.
    """

    service_id: int
    deployment_id: int | None
    not_deployed: str | None


class Build(BuildSettings, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """One commit built into one image, with its own copy of the settings. `error` says why it waits
    or failed, and `failure` says more about a failed build. If `ref_type` is null, `git_ref` is a
    branch or, without such a branch, a tag. `not_deployed` says why its image was not deployed
    automatically. `machine` is the platform of the build machine; it emulates `emulated_platforms`,
    which takes longer. `warnings` are problems that did not fail the build. `retry_of` is the first
    build that it retries, and `superseded_by` the build of the later push. A single queued build
    has `waiting_for`, and `position` in Slipway's line (1 is the next); in lists both are null.
    `step` says what the build does now. `remaining_seconds` is the time until its end if it takes
    as long as usual, 0 if it takes longer; it is null before the start, after the end, and if the
    service has no successful build yet. `trigger` is `push`, `pull_request` or `manual`, and
    `pull_request` is null unless it is that.
    `dependents` are the services that deploy the images of the service by `image_from`.
    """

    id: int
    project_id: int
    service_id: int
    job_id: str
    status: BuildStatus
    progress: int
    step: str | None
    remaining_seconds: int | None
    error: str | None
    failure: Failure | None
    attention: str | None
    trigger: str
    requested_by: str
    git_ref: str
    ref_type: RefType | None
    cancelled_by: str | None
    commit_sha: str | None
    commit_message: str | None
    author: str | None
    pull_request: PullRequest | None
    image_tag: str
    image_digest: str | None
    codebuild_id: str | None
    log_path: str | None
    machine: str
    emulated_platforms: list[str]
    warnings: list[str]
    deployment_id: int | None
    not_deployed: str | None
    dependents: list[Dependent]
    retry_of: int | None
    superseded_by: int | None
    position: int | None
    waiting_for: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    simulated: bool


class CommandLog(msgspec.Struct, kw_only=True):
    """Where the output of a container is in CloudWatch Logs."""

    group: str
    stream: str


class CommandRun(msgspec.Struct, kw_only=True):
    """The release command of a deployment. `task` is the ARN of the task that runs it, null until
    ECS has started it. `exit_code` and `finished_at` are null until its end, and if the deployment
    ended before it. `log` is null unless the container writes to CloudWatch Logs, and `log_tail`
    are its last lines.
    """

    command: list[str]
    task: str | None
    started_at: str | None
    finished_at: str | None
    exit_code: int | None
    log: CommandLog | None
    log_tail: list[str]


class DeploymentTask(msgspec.Struct, kw_only=True):
    """A task of the ECS service. `id` is the last part of its ARN, and `revision` is the task
    definition's family and number. `stopped_reason` says why it stopped.
    """

    id: str
    status: str
    health: str
    revision: str
    started_at: str | None
    stopped_reason: str | None


class Answer(msgspec.Struct, kw_only=True):
    """An answer to a deployment that awaited an approval. An approval with `steps` `all` holds for
    the later steps, too. `by` is `outside` for an answer that ECS got from somebody else.
    """

    action: str
    hook_id: str
    number: int
    steps: str
    by: str
    reason: str | None
    at: str | None


class Deployment(msgspec.Struct, kw_only=True):
    """One release of a service. `replaced` is the deployment that ran before. `rollback_to` is the
    target of a rollback from here. A rollback leaves `rollback_of` and restores `restores`. Its
    image runs in the `containers` of `ecs_service` in `ecs_cluster`, null in old deployments. A
    deployment is `superseded` if a newer request replaced it while it was waiting, or if the ECS
    service was changed outside Slipway: see `error`. `failure` says more about a failed deployment,
    and `warnings` about what the proof of a success does not show. `commit_message` and `author`
    are those of its build, null in old deployments. `findings` are those of the
    newest preflight: when the deployment was accepted, or right before its rollout. `trigger` is
    `manual`, `push`, `rollback`, or `config` for a change of the service's config.
    `release_command` is null if it runs none. `started_at` is the begin of the rollout, after the
    command. `step` says what the deployment does now, and `remaining_seconds` is the time until its
    end if it takes as long as usual, 0 if it takes longer. A single deployment has `waiting_for`
    if it is queued, or waits for an earlier release command. A single one under way has `tasks`, at
    most 20 and at most five that have stopped, those of its own revision first: null if ECS does
    not show them. In lists both are null. `waiting_for_checks` is null unless it waits for the
    checks of its commit. `strategy` is how ECS moves the traffic to it: null before its rollout has
    begun, and for a rolling update, which moves none. Then, and after a success, the next three are
    null: the lifecycle `stage` of ECS, and the percentages of the production and test traffic that
    its tasks get as far as ECS says them. After an end without success they say where the rollout
    was then. `awaiting` is `approval` while a person must approve it, and `approval` says until
    when. It is `hook` while the rollout waits for a pause hook of the ECS service, which its owner
    answers. `approvals` are the answers of people, the oldest first.
    """

    id: int
    project_id: int
    service_id: int
    job_id: str
    status: DeploymentStatus
    progress: int
    step: str | None
    remaining_seconds: int | None
    waiting_for: str | None
    waiting_for_checks: WaitingForChecks | None
    strategy: StrategyType | None
    stage: str | None
    traffic: float | None
    test_traffic: float | None
    awaiting: Literal["approval", "hook"] | None
    tasks: list[DeploymentTask] | None
    error: str | None
    failure: Failure | None
    warnings: list[str]
    cancelled_by: str | None
    reason: str | None
    trigger: str
    requested_by: str
    image_tag: str
    image_digest: str | None
    ecs_cluster: str | None
    ecs_service: str | None
    containers: tuple[str, ...] | None
    task_definition: str | None
    build_id: int | None
    commit_sha: str | None
    commit_message: str | None
    author: str | None
    replaced: int | None
    rollback_to: int | None
    rollback_of: int | None
    restores: int | None
    findings: list[Finding]
    release_command: CommandRun | None
    approval: AwaitedApproval | None
    approvals: list[Answer]
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    simulated: bool


class ReceiptTask(msgspec.Struct, kw_only=True):
    """A task that ran the release, with the digests that its containers of the image reported."""

    task: str
    image_digests: list[str]
    health: str
    started_at: int | None


class ReleaseReceipt(msgspec.Struct, kw_only=True):
    """The evidence that ECS ran a release, read when its deployment succeeded. It never changes.
    Times are in seconds since 1970. At most 100 `tasks` are listed. `warnings` say what the
    evidence does not show. `hash` is the SHA-256 of this object without `hash`, as JSON with
    sorted keys, without spaces and in ASCII. `previous` chains it to the service's receipt before.
    """

    deployment_id: int
    project_id: int
    service_id: int
    image: str
    image_digest: str
    build_id: int | None
    commit_sha: str | None
    restores: int | None
    task_definition: str
    fingerprint: str
    ecs_cluster: str | None
    ecs_service: str | None
    containers: list[str]
    service_deployment: str | None
    service_revision: str | None
    circuit_breaker: str | None
    alarms: str | None
    desired_tasks: int
    tasks: list[ReceiptTask]
    warnings: list[str]
    created_at: int
    started_at: int
    rolled_out_at: int | None
    verified_at: int
    previous: ReceiptReference | None
    hash: str


class Job(msgspec.Struct, kw_only=True):
    """The progress of a build or a deployment. `step` says what it does now. `remaining_seconds` is
    the time until its end if it takes as long as usual. `waits` counts its latest retries in a row.
    """

    id: str
    type: str
    status: JobStatus
    progress: int
    step: str | None
    remaining_seconds: int | None
    error: str | None
    attention: str | None
    waits: int
    cancelled_by: str | None
    project_id: int
    service_id: int
    build_id: int | None
    deployment_id: int | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    simulated: bool


class AcceptedBuild(msgspec.Struct, kw_only=True):
    """An accepted build. Follow it by `build_id` or `job_id`."""

    build_id: int
    job_id: str
    status: BuildStatus


class AcceptedDeployment(msgspec.Struct, kw_only=True):
    """An accepted deployment. Follow it by `deployment_id` or `job_id`."""

    deployment_id: int
    job_id: str
    status: DeploymentStatus


class Config(msgspec.Struct, kw_only=True):
    """A service's config. `secrets` are only references. `released` says whether the current
    release has exactly this config. `deployment_id` is the open deployment that brings it, or has
    it already.
    """

    environment: dict[str, str]
    secrets: dict[str, str]
    cpu: int | None
    memory: int | None
    desired_count: int | None
    released: bool
    deployment_id: int | None


class AcceptedConfig(msgspec.Struct, kw_only=True):
    """An accepted change of a service's config. Follow the deployment that brings it. If none does,
    `not_deployed` says why, and `code` says it to programs.
    """

    deployment_id: int | None = None
    job_id: str | None = None
    status: DeploymentStatus | None = None
    not_deployed: str | None = None
    code: (
        Literal["unchanged", "not_wanted", "no_target", "no_release", "changed_outside"] | None
    ) = None


def project(row: models.Project) -> Project:
    """A project as the API shows it."""
    return _shown(Project, row)


def service(row: models.Service) -> Service:
    """A service as the API shows it."""
    return _shown(
        Service,
        row,
        **_settings(row.settings),
        auto_deploy_paused=_pause(row),
        current_deployment_id=row.current,
        active_deployment_id=row.active,
        waiting_deployment_id=_next(row),
        failed_deployment_id=row.failed_deployment,
        failing_since=rfc3339(row.failing_since),
        health=row.health and _health(row.health),
        tasks=row.tasks and _tasks(row.tasks),
        receipt=row.receipt and ReceiptReference(**row.receipt),
        simulated=settings().simulated,
    )


def service_overview(row: models.Service, named: Named) -> ServiceOverview:
    """A service as the list of all services shows it, with the rows that it names."""
    project, own = named.projects.get(row.project_id), row.settings
    stored = row.attribute_values.get  # as in `_shown`
    numbers = (
        stored("current"),
        stored("active"),
        stored("waiting") or stored("checking"),
        stored("last_deployment"),
        stored("failed_deployment"),
    )
    releases = {number: _release_summary(named, number) for number in {*numbers}}
    current, active, waiting, last, failed = (releases[number] for number in numbers)
    return _shown(
        ServiceOverview,
        row,
        **{name: getattr(own, name) for name in _SETTINGS_OF_OVERVIEW},
        project=project.name if project else "",
        auto_deploy_paused=_pause(row),
        health=row.health and _health(row.health),
        tasks=row.tasks and _tasks(row.tasks),
        current=current,
        active=active,
        waiting=waiting,
        last_deployment=last,
        failed_deployment=failed,
        failing_since=rfc3339(stored("failing_since")),
        last_build=_build_summary(named, stored("last_build")),
        open_builds=len(stored("open_builds") or ()),
        simulated=settings().simulated,
    )


def _next(row: models.Service) -> int | None:
    """The deployment that is next, or else the one that waits for the checks of its commit."""
    return row.waiting if row.waiting is not None else row.checking


def _pause(row: models.Service) -> str | None:
    """Why auto-deploy is paused; None if it is off, because then nothing is there to resume."""
    return text(row.auto_deploy_paused) if row.settings.auto_deploy else None


def _release_summary(named: Named, number: int | None) -> ReleaseSummary | None:
    row = named.deployments.get(number) if number is not None else None
    if row is None:
        return None
    return _shown(
        ReleaseSummary,
        row,
        id=row.number,
        image_tag=_image(row),
        waiting_for_checks=_checks(row),
        traffic=_traffic(row)["traffic"],
        awaiting=_awaiting(row),
        approval=_approval(row),
    )


def _build_summary(named: Named, number: int | None) -> BuildSummary | None:
    row = named.builds.get(number) if number is not None else None
    return None if row is None else _shown(BuildSummary, row, id=row.number)


def _tasks(count: domain.TaskCount) -> TaskCount:
    return TaskCount(running=count.running, desired=count.desired, seen_at=rfc3339(count.seen_at))


def _health(health: domain.Health) -> Health:
    return Health(
        running=health.running,
        desired=health.desired,
        since=rfc3339(health.since),
        why=text(health.why),
    )


def build(row: models.Build, sees: Callable[[int, int], bool], place: Place = _NO_PLACE) -> Build:
    """A build as the API shows it, with its place in the line if it is known.

    `sees` decides for (project, service) numbers which dependents are shown.
    """
    own = row.settings
    machine = machine_for(own.platforms)
    return _shown(
        Build,
        row,
        **_settings(own),
        id=row.number,
        image_tag=_image(row),
        machine=machine,
        emulated_platforms=[each for each in own.platforms if each != machine],
        warnings=clean_lines((row.warnings or "").splitlines(), known_secrets()),
        **_now(row),
        position=place.position,
        waiting_for=text(place.waiting_for),
        failure=row.failure and _cleaned(row.failure),
        pull_request=_pull_request(row),
        dependents=[
            Dependent(**{**each, "not_deployed": text(each["not_deployed"])})
            for each in row.dependents or ()
            if sees(row.project_id, each["service_id"])
        ],
        simulated=settings().simulated,
    )


def _pull_request(row: models.Build) -> PullRequest | None:
    pull = row.pull_request
    if pull is None:
        return None
    return PullRequest(number=pull.number, title=text(pull.title), withheld=list(pull.withheld))


def _settings(settings: BuildSettings) -> dict[str, Any]:
    """The settings by name, with the path of the Dockerfile that is used."""
    return {**msgspec.structs.asdict(settings), "dockerfile": settings.dockerfile_path}


def deployment(
    row: models.Deployment,
    *,
    waiting_for: str | None = None,
    tasks: Iterable[Task] | None = None,
) -> Deployment:
    """A deployment as the API shows it, with what it waits for and its tasks, if they are known."""
    target = row.target
    return _shown(
        Deployment,
        row,
        id=row.number,
        image_tag=_image(row),
        ecs_cluster=target.cluster if target else None,
        ecs_service=target.service if target else None,
        containers=target.containers if target else None,
        findings=cleaned(findings_of(row)),
        failure=row.failure and _cleaned(row.failure),
        warnings=clean_lines((row.warnings or "").splitlines(), known_secrets()),
        release_command=row.release_command and _command(row.release_command),
        **_now(row),
        waiting_for=text(waiting_for),
        waiting_for_checks=_checks(row),
        **_traffic(row),
        approval=_approval(row),
        approvals=[_answer(each) for each in answers_of(row.approvals)],
        tasks=None if tasks is None else [_task(each) for each in tasks],
        simulated=settings().simulated,
    )


def _awaiting(row: models.Deployment) -> Literal["approval", "hook"] | None:
    """Whose answer a rollout waits for: a person's approval, or that to a hook of the owner."""
    if row.awaited_approval is not None:
        return "approval"
    shift = row.shift if row.status == DeploymentStatus.DEPLOYING else None
    # An approved hook stays noted until ECS does not wait at it any more.
    is_own = row.awaiting is not None
    return "hook" if shift is not None and shift.hook == PAUSE and not is_own else None


def _approval(row: models.Deployment) -> AwaitedApproval | None:
    hook = row.awaited_approval
    if hook is None:
        return None
    return AwaitedApproval(
        hook_id=hook.hook_id,
        number=hook.number,
        since=rfc3339(hook.since),
        expires_at=rfc3339(hook.expires_at),
    )


def _answer(answer: answers.Answer) -> Answer:
    return Answer(
        action=answer.action,
        hook_id=answer.hook_id,
        number=answer.number,
        steps=answer.steps,
        by=text(answer.by),
        reason=text(answer.reason),
        at=rfc3339(answer.at),
    )


def _traffic(row: models.Deployment) -> dict[str, Any]:
    """The strategy of a rollout, and where it is now, or where it ended without success."""
    shift = row.shift
    succeeded = row.progress == 100  # a rolled back release succeeded, too
    now = None if succeeded else shift
    return {
        "strategy": shift and shift.strategy,
        "stage": (now and now.stage) or None,
        "traffic": now and now.weight,
        "test_traffic": now and now.test_weight,
        "awaiting": _awaiting(row),
    }


def _checks(row: models.Deployment) -> WaitingForChecks | None:
    checks = row.checks if row.status == DeploymentStatus.QUEUED else None
    if checks is None:
        return None
    return WaitingForChecks(
        required="all" if checks.names is None else list(checks.names),
        running=[text(each) for each in checks.running],
        missing=list(checks.missing),
        since=rfc3339(checks.since),
        deadline_at=rfc3339(checks.deadline_at),
        asked_at=rfc3339(checks.asked_at),
        trouble=text(checks.trouble),
    )


def _task(task: Task) -> DeploymentTask:
    return DeploymentTask(
        id=task.id,
        status=task.status,
        health=task.health,
        revision=task.task_definition.rpartition("/")[2],
        started_at=rfc3339(task.started_at),
        stopped_reason=None if task.stopped_at is None else text(why_stopped(task)),
    )


def _now(row: models.Job) -> dict[str, Any]:
    """What a job does now, and how long it may still take."""
    step: str | None = None
    begun_at: int | None = row.started_at
    if isinstance(row, models.Deployment):
        begun_at = row.begun_at
        step = deploy_step(
            row.status,
            checking=row.checks is not None,
            run=row.release_command,
            begun=row.started_at is not None,
            rolled_out=row.rolled_out_at is not None,
            running=row.running_tasks,
            desired=row.desired_tasks,
            shift=row.shift,
        )
        step = _step_of_approval(row) or step
    elif isinstance(row, models.Build):
        in_codebuild = row.codebuild_id is not None
        step = build_step(
            row.status, row.progress, stages=row.stages or {}, in_codebuild=in_codebuild
        )
    awaits = isinstance(row, models.Deployment) and _awaiting(row) is not None
    # Nobody knows when a hook is answered.
    expected = None if awaits else row.expected_seconds
    left = remaining_seconds(row.status, begun_at=begun_at, expected=expected, now=clock.now())
    return {"step": step, "remaining_seconds": left}


def _step_of_approval(row: models.Deployment) -> str | None:
    """What a deployment waits for at Slipway's hook; None if it does not wait there."""
    if row.awaited_approval is not None:
        return text_of_wait(row.awaited_approval)
    is_approved = row.awaiting is not None and row.status == DeploymentStatus.DEPLOYING
    return "is approved, and ECS is told to go on" if is_approved else None


def _command(run: release_commands.CommandRun) -> CommandRun:
    group, stream = run.log_group, run.log_stream
    return CommandRun(
        command=list(run.command),
        task=run.task,
        started_at=rfc3339(run.started_at),
        finished_at=rfc3339(run.finished_at),
        exit_code=run.exit_code,
        log=CommandLog(group=group, stream=stream) if group and stream else None,
        log_tail=clean_lines(run.log_tail, known_secrets()),
    )


def open_build(row: models.Build, place: Place) -> OpenBuild:
    """A build that has not ended, with its place in the line."""
    return _shown(
        OpenBuild,
        row,
        id=row.number,
        **_now(row),
        pull_request=_pull_request(row),
        position=place.position,
        waiting_for=text(place.waiting_for),
    )


def plan(made: Plan) -> Plan:
    """A plan as the API shows it."""
    return msgspec.structs.replace(made, findings=tuple(cleaned(made.findings)))


def release_receipt(content: Mapping[str, Any]) -> ReleaseReceipt:
    """A receipt as the API shows it, from its stored content."""
    return msgspec.convert(content, ReleaseReceipt)


def job(row: models.Job) -> Job:
    """A build or a deployment, shown as a job."""
    is_build = isinstance(row, models.Build)
    return _shown(
        Job,
        row,
        id=row.job_id,
        type="build" if is_build else "deploy",
        status=job_status(row.status, row.progress),
        **_now(row),
        build_id=row.number if is_build else None,
        deployment_id=None if is_build else row.number,
        simulated=settings().simulated,
    )


def accepted_build(row: models.Build) -> AcceptedBuild:
    """The response to a request for a build. A replay shows `queued` too, to be identical."""
    return AcceptedBuild(build_id=row.number, job_id=row.job_id, status=BuildStatus.QUEUED)


def accepted_deployment(row: models.Deployment) -> AcceptedDeployment:
    """The response to a request for a deployment or a rollback; a replay is identical."""
    return AcceptedDeployment(
        deployment_id=row.number, job_id=row.job_id, status=DeploymentStatus.QUEUED
    )


def accepted_config(number: int) -> AcceptedConfig:
    """The response to a change that a deployment brings; a replay is identical."""
    return AcceptedConfig(
        deployment_id=number, job_id=job_id("deploy", number), status=DeploymentStatus.QUEUED
    )


def page(rows: Iterable[Row], before: int | None, show: Callable[[Row], _T]) -> Page[_T]:
    """A page of rows, each shown by `show`. `answers.link_next` seals the cursor afterwards."""
    return Page([show(row) for row in rows], None if before is None else str(before))


def _shown(shape: type[_T], row: models.Project | models.Service | models.Job, **given: Any) -> _T:
    """A `shape` with the `given` fields; the others come from the row's attributes by name."""
    # A tenth of the time that PynamoDB's attributes need: a list has thousands of values.
    values = row.attribute_values
    for name, show in _others(type(row), shape, tuple(given)):  # type: ignore[arg-type]
        value = values.get(name)
        given[name] = value if value is None or show is None else show(value)
    return shape(**given)


@cache
def _others(
    model: type[models.Project | models.Service | models.Job], shape: Any, given: tuple[str, ...]
) -> Sequence[tuple[str, Callable[[Any], Any] | None]]:
    """The fields of a shape that are not `given`, each with the function that shows its value.

    Raises TypeError for an attribute that is more than a plain value: it must be `given`.
    """
    names = tuple(name for name in shape.__struct_fields__ if name not in given)
    attributes = model.get_attributes()
    if any(isinstance(attributes[name], models.StructAttribute) for name in names):
        raise TypeError(f"a struct of {model.__name__} must be given: {names}")
    return tuple((name, _form(name)) for name in names)


def _form(name: str) -> Callable[[Any], Any] | None:
    if name in _FROM_OUTSIDE:
        return text
    return rfc3339 if name.endswith("_at") else None


def text(value: _Text) -> _Text:
    """A text from outside Slipway as one line, without control characters and secrets."""
    return value if value is None else clean_text(value, known_secrets())


def each_text(values: Iterable[str]) -> list[str]:
    """Each of many texts as `text` shows it."""
    secrets = known_secrets()
    return [clean_text(each, secrets) for each in values]


def texts(value: Any) -> Any:
    """A JSON value with all its strings cleaned by `text`, and its keys as they are."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {name: texts(each) for name, each in value.items()}
    return [texts(each) for each in value] if isinstance(value, list) else value


def _cleaned(failure: Failure) -> Failure:
    replace, secrets = msgspec.structs.replace, known_secrets()
    return replace(
        failure,
        summary=text(failure.summary),
        tasks=tuple(replace(each, reason=text(each.reason)) for each in failure.tasks),
        events=tuple(map(text, failure.events)),
        log_tail=tuple(clean_lines(failure.log_tail, secrets)),
    )


def _image(row: models.Build | models.Deployment) -> str:
    """The image's name as requests accept it: `repository:tag`, or `repository@digest`."""
    mark = f":{row.image_tag}" if row.image_tag else f"@{row.image_digest}"
    return f"{row.image_repository}{mark}"
