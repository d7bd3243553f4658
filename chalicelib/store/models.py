"""The tables: their rows, keys and indexes.

Rows change only by committed writes (`store.writes`), each on condition of the version that was
read. Indexes may lag: they list rows and find due ones, but each decision reads the row itself.
Times are whole seconds since 1970.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, Self, TypeVar, overload

import msgspec
from pynamodb.attributes import (
    Attribute,
    DiscriminatorAttribute,
    JSONAttribute,
    MapAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    VersionAttribute,
)
from pynamodb.constants import (
    BOOLEAN,
    LIST,
    MAP,
    NULL,
    NUMBER,
    PAY_PER_REQUEST_BILLING_MODE,
    STRING,
)
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import RemoveAction, SetAction
from pynamodb.indexes import (
    AllProjection,
    GlobalSecondaryIndex,
    IncludeProjection,
    KeysOnlyProjection,
)

from chalicelib.domain.approvals import Awaiting, answers_of, unanswered
from chalicelib.domain.checks import AwaitedChecks
from chalicelib.domain.config import Config
from chalicelib.domain.ecs_target import EcsTarget
from chalicelib.domain.failures import Failure, StoppedTask
from chalicelib.domain.health import Health, TaskCount
from chalicelib.domain.metrics import Source
from chalicelib.domain.pull_requests import PullRequestOfBuild
from chalicelib.domain.push_order import PushedBuild
from chalicelib.domain.refs import NULL_SHA
from chalicelib.domain.release_commands import CommandRun
from chalicelib.domain.service_settings import (
    LAYOUT,
    LEFT_OUT,
    BuildSettings,
    ServiceSettings,
    earlier_defaults,
    from_layout_2,
    present_layout,
)
from chalicelib.domain.shifts import ShownShift
from chalicelib.domain.statuses import DeploymentStatus
from chalicelib.settings import settings
from chalicelib.store.connection import Row

# The only value of `listed`, the partition of the indexes of all rows.
LISTED = "y"
# The only value of `due`, the partition of the due indexes. Rows without it are not in the index.
DUE = "y"

_S = TypeVar("_S", bound=msgspec.Struct)
_RAW_MAP: MapAttribute[str, Any] = MapAttribute()


class IntegerAttribute(Attribute[int]):
    """A DynamoDB number that is always whole."""

    attr_type = NUMBER

    def serialize(self, value: int) -> str:
        return str(int(value))

    # A page of rows has thousands of numbers: no function of ours is called for each.
    deserialize = staticmethod(int)  # type: ignore[assignment]  # it needs no `self`


class _Unread(msgspec.Struct, frozen=True):
    """A stored map that no code has read yet."""

    stored: Mapping[str, Any]

    def __repr__(self) -> str:
        """Without the values: those of a config are in no log."""
        return "_Unread()"


class StructAttribute(Attribute[_S]):
    """A struct, stored whole as one DynamoDB map.

    It is made when the attribute is first read: most lists need few of the structs of their rows.
    Reading does not validate, so old rows stay readable after a rule becomes stricter. Unknown
    fields are ignored. A field without a value is left out: a row of more than 1 KB costs twice as
    much to write.
    """

    attr_type = MAP

    def __init__(self, struct: type[_S], **options: Any) -> None:
        super().__init__(**options)
        self._struct = struct
        self._fields = frozenset(struct.__struct_fields__)

    def serialize(self, value: _S) -> Any:
        return _RAW_MAP.serialize(self._stored(value))

    def deserialize(self, value: Any) -> Any:
        return _Unread(value)

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: Any, owner: Any) -> _S: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        # What PynamoDB does for a row, without its four calls.
        values, name = instance.attribute_values, self.attr_path[-1]
        value = values.get(name)
        if type(value) is _Unread:
            value = values[name] = self._read(value.stored)
        return value

    def _read(self, value: Mapping[str, Any]) -> _S:
        fields = self._fields
        stored = self._present(_plain(value)).items()
        return self._struct(**{name: each for name, each in stored if name in fields})

    def set(self, value: Any) -> SetAction | RemoveAction:
        # PynamoDB does not call a map attribute's `serialize` for a value that is not a dict.
        return Path(self).set({MAP: self.serialize(value)})

    def _stored(self, value: _S) -> dict[str, Any]:
        fields = msgspec.structs.asdict(value).items()
        return {name: _thawed(each) for name, each in fields if each is not None}

    def _present(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        return stored


class SettingsAttribute(StructAttribute[_S]):
    """Settings, stored with the number of their layout.

    Older layouts are read as the present one. A row gets it with its next change. The usual values
    are left out, too (`LEFT_OUT`).
    """

    def __init__(self, struct: type[_S], **options: Any) -> None:
        super().__init__(struct, **options)
        # Those that are not the defaults of the struct any more.
        self._earlier = earlier_defaults(struct)

    def _stored(self, value: _S) -> dict[str, Any]:
        fields = super()._stored(value).items()
        own = {name: each for name, each in fields if getattr(value, name) != LEFT_OUT.get(name)}
        return {**own, "layout": LAYOUT}

    def _present(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**self._earlier, **present_layout(stored)}


class TargetAttribute(StructAttribute[EcsTarget]):
    """The ECS target of a release. Older rows have one `container`."""

    def _present(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        return from_layout_2(stored)


class ShiftAttribute(StructAttribute[ShownShift]):
    """What a rollout showed. Its percentages are stored as texts."""

    def _present(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        weights = {name: stored[name] for name in ("weight", "test_weight") if name in stored}
        return {**stored, **{name: float(weight) for name, weight in weights.items()}}


class FailureAttribute(StructAttribute[Failure]):
    """A failure, with the stopped tasks inside it."""

    def _present(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**stored, "tasks": tuple(StoppedTask(**each) for each in stored.get("tasks", ()))}


def _thawed(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_thawed(each) for each in value]
    if isinstance(value, float):
        # Older versions of Slipway read only whole numbers.
        return str(value)
    if isinstance(value, msgspec.Struct):
        return {name: _thawed(each) for name, each in msgspec.structs.asdict(value).items()}
    return value


def _plain(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A map of DynamoDB as Python has it; its lists become tuples."""
    return {
        name: _PYTHON[kind](content)
        for name, value in stored.items()
        for kind, content in value.items()
    }


def _frozen(stored: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    return tuple([_PYTHON[kind](content) for value in stored for kind, content in value.items()])


# By the type of DynamoDB. All of these numbers are whole.
_PYTHON: Mapping[str, Callable[[Any], Any]] = {
    STRING: str,
    NUMBER: int,
    BOOLEAN: bool,
    NULL: lambda _: None,
    LIST: _frozen,
    MAP: _plain,
}


def _meta(table: str) -> Any:
    return type(
        "Meta",
        (),
        {
            "table_name": f"{settings().table_prefix}-{table}",
            "billing_mode": PAY_PER_REQUEST_BILLING_MODE,
        },
    )


def _index_meta(name: str, projection: Any) -> Any:
    return type("Meta", (), {"index_name": name, "projection": projection})


class Project(Row):
    """A group of services. Tokens can be restricted to a project."""

    Meta = _meta("projects")

    class All(GlobalSecondaryIndex["Project"]):
        """Every project, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        id = IntegerAttribute(range_key=True)

    all_index = All()
    id = IntegerAttribute(hash_key=True)
    version = VersionAttribute()
    listed = UnicodeAttribute(default=LISTED)
    name = UnicodeAttribute()
    git_credential = UnicodeAttribute(null=True)
    created_at = IntegerAttribute()


class Service(Row):
    """A service: its settings and the state of its releases.

    `active` is the deployment that owns the service now, `waiting` the next one, `current` the
    release that runs when no deployment is active, and `checking` one that waits beside them
    for the checks of its commit. All four are numbers of deployments.
    """

    Meta = _meta("services")

    class All(GlobalSecondaryIndex["Service"]):
        """Every service, newest first, without deleted ones."""

        Meta = _index_meta("all-ids", KeysOnlyProjection())
        listed = UnicodeAttribute(hash_key=True)
        id = IntegerAttribute(range_key=True)

    class ByProject(GlobalSecondaryIndex["Service"]):
        """A project's services, newest first, without deleted ones."""

        Meta = _index_meta("project-ids", KeysOnlyProjection())
        listed_in = IntegerAttribute(hash_key=True)
        id = IntegerAttribute(range_key=True)

    class Due(GlobalSecondaryIndex["Service"]):
        """Services to reconcile, and when."""

        Meta = _index_meta("due-ids", KeysOnlyProjection())
        due = UnicodeAttribute(hash_key=True)
        due_at = IntegerAttribute(range_key=True)

    class Telling(GlobalSecondaryIndex["Service"]):
        """Services of which some channel does not know the state yet, and when to tell it."""

        Meta = _index_meta("telling-ids", KeysOnlyProjection())
        telling = UnicodeAttribute(hash_key=True)
        tell_at = IntegerAttribute(range_key=True)

    all_index = All()
    project_index = ByProject()
    due_index = Due()
    telling_index = Telling()
    id = IntegerAttribute(hash_key=True)
    version = VersionAttribute()
    project_id = IntegerAttribute()
    # Both are None for a deleted service, and `listed` for an older row until `infra.upgrade`.
    listed = UnicodeAttribute(null=True)
    listed_in = IntegerAttribute(null=True)
    settings = SettingsAttribute(ServiceSettings)
    # The next release takes it when it begins. Its values are in no list and no log.
    config = StructAttribute(Config, default=Config)
    auto_deploy_paused = UnicodeAttribute(null=True)
    # The time of the last manual deployment or rollback: no earlier push replaces it.
    overruled_at = IntegerAttribute(null=True)
    # The newest builds of pushes, and all open ones. The order of their pushes decides what is
    # deployed.
    pushed = NumberSetAttribute(null=True)
    open_builds = NumberSetAttribute(null=True)
    # Of the open builds, those of pull requests.
    open_pulls = NumberSetAttribute(null=True)
    # The services that deploy the images of this one (`image_from`).
    dependents = NumberSetAttribute(null=True)
    # The service's place in the line of builds after its last turn (`domain.line`).
    turn = IntegerAttribute(default=0)
    active = IntegerAttribute(null=True)
    waiting = IntegerAttribute(null=True)
    checking = IntegerAttribute(null=True)
    current = IntegerAttribute(null=True)
    # The build and the deployment that ended last, with any outcome.
    last_build = IntegerAttribute(null=True)
    last_deployment = IntegerAttribute(null=True)
    # The release that ran before the service's last move to another ECS service.
    moved_from = IntegerAttribute(null=True)
    # The task definition to restore after a failed deployment if it is not the current release:
    # there is no current release yet, or the ECS service's owner chose another definition.
    baseline = UnicodeAttribute(null=True)
    # The newest deployment that failed since the last success.
    failed_deployment = IntegerAttribute(null=True)
    # Since when the service waits for a success after a failed rollout (`domain.metrics`).
    failing_since = IntegerAttribute(null=True)
    # The newest push of which a deployment has ever succeeded. None in a row that is older than it.
    newest_source = StructAttribute(Source, null=True)
    # The deployment whose release command may be running, also after the end of the deployment.
    command = IntegerAttribute(null=True)
    # Since when ECS has not shown the task of this command, and why its task cannot be stopped.
    command_missing = IntegerAttribute(null=True)
    command_trouble = UnicodeAttribute(null=True)
    # The newest deployments that ran a release command. A rollback says which of them it crosses.
    commands = NumberSetAttribute(null=True)
    drift = UnicodeAttribute(null=True)
    # None if all tasks of the current release run.
    health = StructAttribute(Health, null=True)
    # None until the first look at ECS, and without an ECS service.
    tasks = StructAttribute(TaskCount, null=True)
    # Why the release before the current one cannot be restored, and when that was looked at last:
    # the current `release`, and `at`.
    rollback_trouble = UnicodeAttribute(null=True)
    rollback_checked = JSONAttribute(null=True)
    # See `hook_minutes`.
    approval_hooks = NumberSetAttribute(null=True)
    # The newest choice of another party that is in the audit trail: ARN of a service deployment.
    chosen = UnicodeAttribute(null=True)
    # The durations of its newest successful builds and deployments, in seconds.
    build_seconds = JSONAttribute(null=True)
    deploy_seconds = JSONAttribute(null=True)
    # The newest receipt of a release: `deployment_id` and `hash`.
    receipt = JSONAttribute(null=True)
    due = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
    attention = UnicodeAttribute(null=True)
    dead_letters = UnicodeSetAttribute(null=True)
    called_at = IntegerAttribute(null=True)
    # The same four as those of a job.
    telling = UnicodeAttribute(null=True)
    tell_at = IntegerAttribute(null=True)
    news_at = IntegerAttribute(null=True)
    told = JSONAttribute(null=True)
    created_at = IntegerAttribute()
    updated_at = IntegerAttribute()
    deleted_at = IntegerAttribute(null=True)

    @property
    def hook_minutes(self) -> set[int]:
        """The minutes of the hooks for approval that Slipway has added to the ECS service."""
        return {int(each) for each in self.approval_hooks or ()}


class Job(Row):
    """The common attributes of builds and deployments."""

    Meta = _meta("jobs")

    class ByService(GlobalSecondaryIndex["Job"]):
        """A service's builds, or its deployments, newest first."""

        Meta = _index_meta("service-ids", IncludeProjection(["kind"]))
        service_key = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class All(GlobalSecondaryIndex["Job"]):
        """Every job of both types, newest first."""

        Meta = _index_meta("all-ids", IncludeProjection(["kind"]))
        listed = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class ByProject(GlobalSecondaryIndex["Job"]):
        """Every job of a project, of both types, newest first."""

        Meta = _index_meta("project-ids", IncludeProjection(["kind"]))
        project_id = IntegerAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class Due(GlobalSecondaryIndex["Job"]):
        """Builds to reconcile, and when: all open builds."""

        Meta = _index_meta(
            "due", IncludeProjection(["kind", "status", "number", "service_id", "codebuild_id"])
        )
        due = UnicodeAttribute(hash_key=True)
        due_at = IntegerAttribute(range_key=True)

    class Ends(GlobalSecondaryIndex["Job"]):
        """Jobs that ended without success, by type and status, newest first."""

        Meta = _index_meta("ends", IncludeProjection(["kind"]))
        end = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class EndsByProject(GlobalSecondaryIndex["Job"]):
        """Those of a project."""

        Meta = _index_meta("project-ends", IncludeProjection(["kind"]))
        project_end = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class EndsByService(GlobalSecondaryIndex["Job"]):
        """Those of a service."""

        Meta = _index_meta("service-ends", IncludeProjection(["kind"]))
        service_end = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class Telling(GlobalSecondaryIndex["Job"]):
        """Jobs of which some channel does not know the state yet, and when to tell it."""

        Meta = _index_meta("telling-ids", IncludeProjection(["kind"]))
        telling = UnicodeAttribute(hash_key=True)
        tell_at = IntegerAttribute(range_key=True)

    service_index = ByService()
    all_index = All()
    project_index = ByProject()
    due_index = Due()
    ends_index = Ends()
    project_ends_index = EndsByProject()
    service_ends_index = EndsByService()
    telling_index = Telling()
    job_id = UnicodeAttribute(hash_key=True, attr_name="id")
    kind = DiscriminatorAttribute()
    version = VersionAttribute()
    number = IntegerAttribute()
    project_id = IntegerAttribute()
    service_id = IntegerAttribute()
    service_key = UnicodeAttribute()
    listed = UnicodeAttribute(default=LISTED)
    opened = IntegerAttribute()
    status = UnicodeAttribute()
    # Only of a job that ended without success (`domain.statuses.unhappy_end`), so that a success
    # writes no further index.
    end = UnicodeAttribute(null=True)
    project_end = UnicodeAttribute(null=True)
    service_end = UnicodeAttribute(null=True)
    progress = IntegerAttribute(default=0)
    error = UnicodeAttribute(null=True)
    failure = FailureAttribute(Failure, null=True)
    requested_by = UnicodeAttribute()
    trigger = UnicodeAttribute()
    image_repository = UnicodeAttribute()
    image_tag = UnicodeAttribute()
    image_digest = UnicodeAttribute(null=True)
    commit_sha = UnicodeAttribute(null=True)
    # A deployment has those of its build. None in a deployment that is older than them.
    commit_message = UnicodeAttribute(null=True)
    author = UnicodeAttribute(null=True)
    created_at = IntegerAttribute()
    started_at = IntegerAttribute(null=True)
    finished_at = IntegerAttribute(null=True)
    cancelled_by = UnicodeAttribute(null=True)
    deadline_at = IntegerAttribute()
    due = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
    attention = UnicodeAttribute(null=True)
    dead_letters = UnicodeSetAttribute(null=True)
    called_at = IntegerAttribute(null=True)
    waits = IntegerAttribute(default=0)
    # Set while some channel does not know the job's state, which is that since `news_at`. `told` is
    # what each channel knows, by its number (`domain.telling`).
    telling = UnicodeAttribute(null=True)
    tell_at = IntegerAttribute(null=True)
    news_at = IntegerAttribute(null=True)
    told = JSONAttribute(null=True)
    # How long the service's jobs of this type usually take, when this one was created.
    expected_seconds = IntegerAttribute(null=True)


class Build(Job, discriminator="build"):
    """A build of one image from one commit. It has its own copy of the service's settings."""

    settings = SettingsAttribute(BuildSettings)
    git_ref = UnicodeAttribute()
    # A `RefType`; None if git_ref is a branch or a tag, or the row is older than this attribute.
    ref_type = UnicodeAttribute(null=True)
    image = UnicodeAttribute()
    log_group = UnicodeAttribute()
    log_path = UnicodeAttribute(null=True)
    # Only for builds of pushes: the commit before the push, GitHub's time of the push, and the
    # delivery's id.
    before_sha = UnicodeAttribute(null=True)
    pushed_at = IntegerAttribute(null=True)
    delivery = UnicodeAttribute(null=True)
    # Only for builds of pull requests. The three above are then those of its event: the head commit
    # before, GitHub's time, and the delivery.
    pull_request = StructAttribute(PullRequestOfBuild, null=True)
    # Tags of the build cache in the image's repository.
    cache_from = UnicodeAttribute(null=True)
    cache_to = UnicodeAttribute(null=True)
    warnings = UnicodeAttribute(null=True)
    # The names of the settings that the request chose; a retry keeps their values.
    chosen = UnicodeSetAttribute(null=True)
    # Numbers of builds: the first build that this one retries, and the one that superseded it.
    retry_of = IntegerAttribute(null=True)
    superseded_by = IntegerAttribute(null=True)
    codebuild_id = UnicodeAttribute(null=True)
    # When CodeBuild ended the build; set while AWS may not show all of its log or its image yet.
    ended_at = IntegerAttribute(null=True)
    # A copy of the project's credential: a repeated StartBuild call must be the same request.
    git_credential = UnicodeAttribute(null=True)
    # BuildKit's stages, as far as somebody has looked: {name: [newest step, number of steps]}.
    stages = JSONAttribute(null=True)
    attempt = IntegerAttribute(default=0)
    attempt_at = IntegerAttribute(null=True)
    deployment_id = IntegerAttribute(null=True)
    not_deployed = UnicodeAttribute(null=True)
    # The same for each dependent of the service: `service_id`, `deployment_id`, `not_deployed`.
    dependents = JSONAttribute(null=True)

    def deployment_of(self, service: Service) -> int | None:
        """The deployment of a service that this build led to by itself."""
        if self.service_id == service.id:
            return self.deployment_id
        own = (each for each in self.dependents or () if each["service_id"] == service.id)
        return next((each["deployment_id"] for each in own), None)

    @property
    def push(self) -> PushedBuild:
        """The build's push, as `domain.push_order` compares it.

        Only the build of a push or of a pull request has one. The events of a pull request have an
        order of their own. A retry is never superseded: somebody wants its result.
        """
        pull = self.pull_request
        ref = f"{self.ref_type}:{self.git_ref}" if pull is None else f"pull:{pull.number}"
        cancelled = self.cancelled_by is not None
        called = self.attempt_at is not None or self.codebuild_id is not None
        sent_at = self.pushed_at or 0
        return PushedBuild(
            self.number,
            self.retry_of or self.number,
            f"{self.settings.repository}:{ref}",
            self.before_sha or NULL_SHA,
            self.commit_sha or NULL_SHA,
            sent_at,
            # A clock ahead of this one must not make a push later than all others.
            min(sent_at, self.created_at),
            is_queued=not (called or cancelled or self.retry_of),
            may_replace=not cancelled,
        )


class Deployment(Job, discriminator="deploy"):
    """A deployment of one image. After its end only its status can change."""

    image = UnicodeAttribute()
    reason = UnicodeAttribute(null=True)
    build_id = IntegerAttribute(null=True)
    # The time of the push that its build comes from, if it comes from one.
    pushed_at = IntegerAttribute(null=True)
    # None for a row that is older than this attribute. The content of such a row's task definition
    # was not kept either (`store.definitions`).
    target = TargetAttribute(EcsTarget, null=True)
    # The service's config when the deployment began, or that of the release that a rollback
    # restores. None before the begin, and for a row that is older than this attribute.
    config = StructAttribute(Config, null=True)
    task_definition = UnicodeAttribute(null=True)
    fingerprint = UnicodeAttribute(null=True)
    # None without a release command. Until it has succeeded, `started_at` is None.
    release_command = StructAttribute(CommandRun, null=True)
    # Numbers of deployments. restores: the release whose image and definition a rollback brings
    # back; rollback_of: the release that a rollback leaves; replaced: the release that ran before;
    # rollback_to: the target of a rollback of this release.
    restores = IntegerAttribute(null=True)
    rollback_of = IntegerAttribute(null=True)
    replaced = IntegerAttribute(null=True)
    rollback_to = IntegerAttribute(null=True)
    # The hash of its receipt (`store.release_receipts`). None for a row that is older than it, and
    # without a success.
    receipt = UnicodeAttribute(null=True)
    # When a look first found that ECS had ended the rollout well; only while its proof is missing.
    rolled_out_at = IntegerAttribute(null=True)
    # Of a success: the seconds since its push, and since the failure that it ended
    # (`domain.metrics`).
    lead_seconds = IntegerAttribute(null=True)
    restore_seconds = IntegerAttribute(null=True)
    # The newest events of the ECS service during the rollout, as [time, message], and the ARNs of
    # some tasks of it. None for a row that is older than these attributes, and without a look.
    events = JSONAttribute(null=True)
    task_arns = JSONAttribute(null=True)
    # How many tasks of the rollout ran at the last look, and how many should.
    running_tasks = IntegerAttribute(null=True)
    desired_tasks = IntegerAttribute(null=True)
    # What its rollout showed at the last look. None for a rolling update, and before its begin.
    shift = ShiftAttribute(ShownShift, null=True)
    # What the proof of the release does not show, one sentence a line.
    warnings = UnicodeAttribute(null=True)
    # The checks of its commit that it waits for; None if it does not wait, or does not any more.
    checks = StructAttribute(AwaitedChecks, null=True)
    # The findings of the newest preflight; None without findings.
    findings = JSONAttribute(null=True)
    # The minutes that it waits for each approval; None before its rollout, and if it needs none.
    approval_minutes = IntegerAttribute(null=True)
    # The newest hook at which ECS waited for an approval, until the look that finds it answered.
    awaiting = StructAttribute(Awaiting, null=True)
    # The answers to its hooks (`domain.approvals.Answer`).
    approvals = JSONAttribute(null=True)

    @property
    def begun_at(self) -> int | None:
        """When its release command, or else its rollout, began."""
        run = self.release_command
        return (run.requested_at if run is not None else None) or self.started_at

    @property
    def awaits_command(self) -> bool:
        """Whether its release command must succeed before its rollout begins."""
        return self.release_command is not None and self.started_at is None

    @property
    def awaited_approval(self) -> Awaiting | None:
        """The hook at which it waits for the approval of a person; None if it waits for none."""
        is_open = self.status == DeploymentStatus.DEPLOYING
        return unanswered(self.awaiting, answers_of(self.approvals)) if is_open else None

    @property
    def own_config(self) -> Config:
        """Its config; empty before the begin, and for a row that is older than configs."""
        return self.config or Config()

    @property
    def desired_count(self) -> int | None:
        """The number of tasks to ask ECS for; None to leave it.

        A rollback leaves it: going back in an incident must not take capacity away.
        """
        return None if self.restores is not None else self.own_config.desired_count


def type_of(job: Job) -> Literal["build", "deploy"]:
    """The type of a job as in its id: "build" or "deploy"."""
    return "build" if isinstance(job, Build) else "deploy"


class Claim(Row):
    """A unique string owned by one row, or a counter, or the followers of a repository.

    The claim of a task definition also has its content.
    """

    Meta = _meta("claims")

    id = UnicodeAttribute(hash_key=True)
    version = VersionAttribute()
    owner = UnicodeAttribute(null=True)
    value = IntegerAttribute(null=True)
    followers = JSONAttribute(null=True)
    # Of a repository: the pushes that its followers know. None if no head was ever looked at.
    heads = JSONAttribute(null=True)
    definition = JSONAttribute(null=True)


class Token(Row):
    """An API token, stored as its SHA-256."""

    Meta = _meta("tokens")

    class All(GlobalSecondaryIndex["Token"]):
        """Every token, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        number = IntegerAttribute(range_key=True)

    all_index = All()
    id = UnicodeAttribute(hash_key=True)
    version = VersionAttribute()
    listed = UnicodeAttribute(default=LISTED)
    number = IntegerAttribute()
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    project_id = IntegerAttribute(null=True)
    service_id = IntegerAttribute(null=True)
    created_by = UnicodeAttribute()
    created_at = IntegerAttribute()
    expires_at = IntegerAttribute(null=True)
    last_used_at = IntegerAttribute(null=True)


class Channel(Row):
    """Where it is told what happens to the jobs of a project, or of all projects."""

    Meta = _meta("channels")

    class All(GlobalSecondaryIndex["Channel"]):
        """Every channel, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        id = IntegerAttribute(range_key=True)

    all_index = All()
    id = IntegerAttribute(hash_key=True)
    version = VersionAttribute()
    listed = UnicodeAttribute(default=LISTED)
    project_id = IntegerAttribute(null=True)
    kind = UnicodeAttribute()
    name = UnicodeAttribute()
    # The name of a secret; for a receiver of this account the name of its topic or bus.
    secret = UnicodeAttribute(null=True)
    target = UnicodeAttribute(null=True)
    # What it is told: None for the usual events, for all services, and for all branches.
    events = UnicodeSetAttribute(null=True)
    service_id = IntegerAttribute(null=True)
    branches = JSONAttribute(null=True)
    created_by = UnicodeAttribute()
    created_at = IntegerAttribute()
    # Since when nothing has reached the receiver, and why; `off_since` when that took too long.
    failing_since = IntegerAttribute(null=True)
    trouble = UnicodeAttribute(null=True)
    off_since = IntegerAttribute(null=True)
    # When a test has switched it on again.
    on_since = IntegerAttribute(null=True)
    # When a test that a person asked for has ended, with any result.
    tested_at = IntegerAttribute(null=True)


class Receipt(Row):
    """The outcome of a delivery, a push or an idempotency key, kept until `expires_at`.

    Also the receipt of a release, which is kept for ever.
    """

    Meta = _meta("receipts")

    class Deliveries(GlobalSecondaryIndex["Receipt"]):
        """Deliveries as each audience sees them, the latest first."""

        Meta = _index_meta("deliveries", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        received = IntegerAttribute(range_key=True)

    delivery_index = Deliveries()
    id = UnicodeAttribute(hash_key=True)
    version = VersionAttribute()
    created_at = IntegerAttribute()
    expires_at = TTLAttribute(null=True)
    outcome = JSONAttribute()
    times = IntegerAttribute(null=True)
    verdicts = UnicodeSetAttribute(null=True)
    listed = UnicodeAttribute(null=True)
    received = IntegerAttribute(null=True)


class History(Row):
    """An audit entry, written in the transaction of the change.

    That of a requested job is in no index: the lists of jobs lead to it (`store.history`).
    """

    Meta = _meta("history")

    class All(GlobalSecondaryIndex["History"]):
        """All entries, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        sequence = IntegerAttribute(range_key=True)

    class ByProject(GlobalSecondaryIndex["History"]):
        """Changes of a project and its services, newest first."""

        Meta = _index_meta("project", AllProjection())
        project_id = IntegerAttribute(hash_key=True)
        sequence = IntegerAttribute(range_key=True)

    class ByService(GlobalSecondaryIndex["History"]):
        """Changes of a service, newest first."""

        Meta = _index_meta("service", AllProjection())
        service_id = IntegerAttribute(hash_key=True)
        sequence = IntegerAttribute(range_key=True)

    all_index = All()
    project_index = ByProject()
    service_index = ByService()
    subject = UnicodeAttribute(hash_key=True)
    key = UnicodeAttribute(range_key=True)
    listed = UnicodeAttribute(null=True)
    sequence = IntegerAttribute()
    at = IntegerAttribute()
    actor = UnicodeAttribute()
    token_id = IntegerAttribute(null=True)
    address = UnicodeAttribute(null=True)
    action = UnicodeAttribute()
    project_id = IntegerAttribute(null=True)
    service_id = IntegerAttribute(null=True)
    details = JSONAttribute()


class RollUp(Row):
    """The sum of all ends of jobs of a service, or of a shard of the installation, on a UTC day.

    The key of a service is ("project-3", "2026-11-28#7"), that of a shard ("all-5", "2026-11-28").
    Older rows of services have ("service-7", "2026-11-28"), and those of projects ("project-3",
    "2026-11-28"). All other attributes are `counts`, numbers that writes add to (`domain.metrics`).
    """

    Meta = _meta("rollups")

    scope = UnicodeAttribute(hash_key=True)
    day = UnicodeAttribute(range_key=True)
    counts: Counter[str]

    @classmethod
    def from_raw_data(cls, data: dict[str, Any]) -> Self:
        row = super().from_raw_data(data)
        numbers = {name: int(value["N"]) for name, value in data.items() if "N" in value}
        row.counts = Counter(numbers)
        return row


MODELS: tuple[type[Row], ...] = (
    Project,
    Service,
    Job,
    Claim,
    Token,
    Channel,
    Receipt,
    History,
    RollUp,
)
