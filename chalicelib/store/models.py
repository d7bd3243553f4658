"""The tables: what is kept, under which keys, with which indexes.

Rows are changed by committing moves (`store.moves`), each on condition of the version that was
read. No decision is taken from an index, which may lag: indexes list and remind. Times are whole
seconds since 1970.
"""

from typing import Any

from pynamodb.attributes import (
    Attribute,
    BooleanAttribute,
    DiscriminatorAttribute,
    JSONAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    VersionAttribute,
)
from pynamodb.constants import NUMBER, PAY_PER_REQUEST_BILLING_MODE
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from chalicelib.settings import settings

# Short time-outs, few tries: GitHub hangs up after ten seconds, and so does a person.
CONNECT_TIMEOUT = 1
READ_TIMEOUT = 1
MAX_RETRIES = 1  # PynamoDB reads no retry_configuration from a model, only this

DUE = "y"  # the one value of `due`: an index needs a partition, and a row without it is not in it


class IntegerAttribute(Attribute[int]):
    """A DynamoDB number that is always whole."""

    attr_type = NUMBER

    def serialize(self, value: int) -> str:
        return str(int(value))

    def deserialize(self, value: str) -> int:
        return int(value)


def _meta(table: str) -> Any:
    return type(
        "Meta",
        (),
        {
            "table_name": f"{settings().table_prefix}-{table}",
            "billing_mode": PAY_PER_REQUEST_BILLING_MODE,
            "connect_timeout_seconds": CONNECT_TIMEOUT,
            "read_timeout_seconds": READ_TIMEOUT,
            "max_retry_attempts": MAX_RETRIES,
        },
    )


def _index_meta(name: str, projection: Any) -> Any:
    return type("Meta", (), {"index_name": name, "projection": projection})


class Project(Model):
    """A group of services; the unit that access is restricted to."""

    Meta = _meta("projects")

    class All(GlobalSecondaryIndex["Project"]):
        """Every project, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        id = IntegerAttribute(range_key=True)

    all_index = All()
    id = IntegerAttribute(hash_key=True)
    version = VersionAttribute()
    listed = UnicodeAttribute(default="y")
    name = UnicodeAttribute()
    git_credential = UnicodeAttribute(null=True)
    created_at = IntegerAttribute()


class Service(Model):
    """The thing deployed: where its code is, how it is built, which ECS service runs it.

    `deploying` is the slot: the deployment under way. `waiting` gets the slot next; `current` is
    the release that runs when nothing is under way. The three are numbers of deployments.
    """

    Meta = _meta("services")

    class ByProject(GlobalSecondaryIndex["Service"]):
        """A project's services but those deleted, newest first."""

        Meta = _index_meta("project", AllProjection())
        listed_in = IntegerAttribute(hash_key=True)
        id = IntegerAttribute(range_key=True)

    class Due(GlobalSecondaryIndex["Service"]):
        """Services that have to be looked at again, and when."""

        Meta = _index_meta("due", IncludeProjection(["version"]))
        due = UnicodeAttribute(hash_key=True)
        due_at = IntegerAttribute(range_key=True)

    project_index = ByProject()
    due_index = Due()
    id = IntegerAttribute(hash_key=True)
    version = VersionAttribute()
    project_id = IntegerAttribute()
    listed_in = IntegerAttribute(null=True)
    name = UnicodeAttribute()
    git_url = UnicodeAttribute()
    repository = UnicodeAttribute()
    branch = UnicodeAttribute()
    submodules = BooleanAttribute(default=False)
    context_path = UnicodeAttribute()
    dockerfile = UnicodeAttribute()
    platforms = JSONAttribute()
    build_args = JSONAttribute()
    image_repository = UnicodeAttribute()
    ecs_cluster = UnicodeAttribute(null=True)
    ecs_service = UnicodeAttribute(null=True)
    container = UnicodeAttribute(null=True)
    webhook_secret = UnicodeAttribute(null=True)  # where it is kept, never the secret
    auto_deploy = BooleanAttribute(default=False)
    auto_deploy_paused = UnicodeAttribute(null=True)
    # The newest push that was deployed by itself: repository.pushed_at, then build number.
    last_pushed_at = IntegerAttribute(default=0)
    last_pushed_build = IntegerAttribute(default=0)
    # Builds that were under way when somebody deployed an image by hand.
    overruled = NumberSetAttribute(null=True)
    queued_minutes = IntegerAttribute()
    build_minutes = IntegerAttribute()
    deploy_minutes = IntegerAttribute()
    open_builds = NumberSetAttribute(null=True)
    deploying = IntegerAttribute(null=True)
    waiting = IntegerAttribute(null=True)
    current = IntegerAttribute(null=True)
    baseline = UnicodeAttribute(null=True)
    drift = UnicodeAttribute(null=True)
    due = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
    attention = UnicodeAttribute(null=True)
    dead_letters = UnicodeSetAttribute(null=True)
    claimed_at = IntegerAttribute(null=True)
    created_at = IntegerAttribute()
    updated_at = IntegerAttribute()
    deleted_at = IntegerAttribute(null=True)


class Job(Model):
    """What builds and deployments share: one row, one status."""

    Meta = _meta("jobs")

    class ByService(GlobalSecondaryIndex["Job"]):
        """A service's builds, or its deployments, newest first."""

        Meta = _index_meta("service", AllProjection())
        service_key = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class All(GlobalSecondaryIndex["Job"]):
        """Every job, newest first, whatever its type."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class ByProject(GlobalSecondaryIndex["Job"]):
        """Every job of a project, newest first, whatever its type."""

        Meta = _index_meta("project", AllProjection())
        project_id = IntegerAttribute(hash_key=True)
        opened = IntegerAttribute(range_key=True)

    class Due(GlobalSecondaryIndex["Job"]):
        """Builds that have to be looked at again, and when."""

        Meta = _index_meta("due", IncludeProjection(["kind", "status", "number"]))
        due = UnicodeAttribute(hash_key=True)
        due_at = IntegerAttribute(range_key=True)

    service_index = ByService()
    all_index = All()
    project_index = ByProject()
    due_index = Due()
    id = UnicodeAttribute(hash_key=True)
    kind = DiscriminatorAttribute()
    version = VersionAttribute()
    number = IntegerAttribute()
    project_id = IntegerAttribute()
    service_id = IntegerAttribute()
    service_key = UnicodeAttribute()
    listed = UnicodeAttribute(default="y")
    opened = IntegerAttribute()
    status = UnicodeAttribute()
    progress = IntegerAttribute(default=0)
    error = UnicodeAttribute(null=True)
    requested_by = UnicodeAttribute()
    trigger = UnicodeAttribute()
    image_repository = UnicodeAttribute()
    image_tag = UnicodeAttribute()
    image_digest = UnicodeAttribute(null=True)
    commit_sha = UnicodeAttribute(null=True)
    created_at = IntegerAttribute()
    started_at = IntegerAttribute(null=True)
    finished_at = IntegerAttribute(null=True)
    cancelled_by = UnicodeAttribute(null=True)
    deadline_at = IntegerAttribute()
    due = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
    attention = UnicodeAttribute(null=True)
    dead_letters = UnicodeSetAttribute(null=True)
    claimed_at = IntegerAttribute(null=True)
    waits = IntegerAttribute(default=0)


class Build(Job, discriminator="build"):
    """One commit becoming one image. Its settings are copies: a service may change meanwhile."""

    git_url = UnicodeAttribute()
    git_ref = UnicodeAttribute()
    submodules = BooleanAttribute(default=False)
    context_path = UnicodeAttribute()
    dockerfile = UnicodeAttribute()
    platforms = JSONAttribute()
    build_args = JSONAttribute()
    image = UnicodeAttribute()
    log_group = UnicodeAttribute()
    log_path = UnicodeAttribute(null=True)
    commit_message = UnicodeAttribute(null=True)
    author = UnicodeAttribute(null=True)
    build_minutes = IntegerAttribute()
    # Set for pushes alone: when GitHub says that it was pushed, and the delivery that told us.
    pushed_at = IntegerAttribute(null=True)
    delivery = UnicodeAttribute(null=True)
    codebuild_id = UnicodeAttribute(null=True)
    # As the project has it when an attempt begins: asking CodeBuild again must be the same request.
    git_credential = UnicodeAttribute(null=True)
    attempt = IntegerAttribute(default=0)
    attempt_at = IntegerAttribute(null=True)
    deployment_id = IntegerAttribute(null=True)
    not_deployed = UnicodeAttribute(null=True)


class Deployment(Job, discriminator="deploy"):
    """One entry of a service's release ledger; nothing in it is edited but its status."""

    image = UnicodeAttribute()
    reason = UnicodeAttribute(null=True)
    build_id = IntegerAttribute(null=True)
    task_definition = UnicodeAttribute(null=True)
    fingerprint = UnicodeAttribute(null=True)
    # Numbers of deployments. restores: whose image and definition a rollback brings back;
    # rollback_of: what a rollback leaves; replaced: what ran before; rollback_to: where a
    # rollback of this release goes.
    restores = IntegerAttribute(null=True)
    rollback_of = IntegerAttribute(null=True)
    replaced = IntegerAttribute(null=True)
    rollback_to = IntegerAttribute(null=True)


class Claim(Model):
    """A string that one owner holds, or a counter, or who follows a repository."""

    Meta = _meta("claims")

    id = UnicodeAttribute(hash_key=True)
    version = VersionAttribute()
    owner = UnicodeAttribute(null=True)
    value = IntegerAttribute(null=True)
    followers = JSONAttribute(null=True)


class Token(Model):
    """An API token, known by its SHA-256 alone."""

    Meta = _meta("tokens")

    class All(GlobalSecondaryIndex["Token"]):
        """Every token, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        number = IntegerAttribute(range_key=True)

    all_index = All()
    id = UnicodeAttribute(hash_key=True)
    version = VersionAttribute()
    listed = UnicodeAttribute(default="y")
    number = IntegerAttribute()
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    project_id = IntegerAttribute(null=True)
    service_id = IntegerAttribute(null=True)
    created_by = UnicodeAttribute()
    created_at = IntegerAttribute()
    expires_at = IntegerAttribute(null=True)
    last_used_at = IntegerAttribute(null=True)


class Receipt(Model):
    """That something arrived and what came of it, kept until `expires_at`."""

    Meta = _meta("receipts")

    class Deliveries(GlobalSecondaryIndex["Receipt"]):
        """Deliveries of webhooks as each audience sees them, the one received last first."""

        Meta = _index_meta("deliveries", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        received = IntegerAttribute(range_key=True)

    delivery_index = Deliveries()
    id = UnicodeAttribute(hash_key=True)
    version = VersionAttribute()
    created_at = IntegerAttribute()
    expires_at = TTLAttribute()
    outcome = JSONAttribute()
    times = IntegerAttribute(null=True)
    verdicts = UnicodeSetAttribute(null=True)
    listed = UnicodeAttribute(null=True)
    received = IntegerAttribute(null=True)


class History(Model):
    """Who did what to which subject, when: written in the transaction that did it."""

    Meta = _meta("history")

    class All(GlobalSecondaryIndex["History"]):
        """Everything, newest first."""

        Meta = _index_meta("all", AllProjection())
        listed = UnicodeAttribute(hash_key=True)
        sequence = IntegerAttribute(range_key=True)

    class ByProject(GlobalSecondaryIndex["History"]):
        """What was done to a project and its services, newest first."""

        Meta = _index_meta("project", AllProjection())
        project_id = IntegerAttribute(hash_key=True)
        sequence = IntegerAttribute(range_key=True)

    class ByService(GlobalSecondaryIndex["History"]):
        """What was done to a service, newest first."""

        Meta = _index_meta("service", AllProjection())
        service_id = IntegerAttribute(hash_key=True)
        sequence = IntegerAttribute(range_key=True)

    all_index = All()
    project_index = ByProject()
    service_index = ByService()
    subject = UnicodeAttribute(hash_key=True)
    key = UnicodeAttribute(range_key=True)
    listed = UnicodeAttribute(default="y")
    sequence = IntegerAttribute()
    at = IntegerAttribute()
    actor = UnicodeAttribute()
    token_id = IntegerAttribute(null=True)
    address = UnicodeAttribute(null=True)
    action = UnicodeAttribute()
    project_id = IntegerAttribute(null=True)
    service_id = IntegerAttribute(null=True)
    details = JSONAttribute()


MODELS: tuple[type[Model], ...] = (Project, Service, Job, Claim, Token, Receipt, History)
