"""Preflight: every known problem of a release, found before ECS starts tasks of it.

`needs` says what a task definition refers to. The caller looks for it in AWS and describes the
result as a `World`. `preflight` turns it into findings.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from chalicelib.domain.config import Config, Overlay, why_no_size
from chalicelib.domain.definitions import left_behind, missing_containers, why_not_in, why_too_large
from chalicelib.domain.images import image_reference
from chalicelib.domain.regex import regex
from chalicelib.errors import Conflict


class Severity(StrEnum):
    """`error`: the release cannot run, so it is refused. `warning`: it is only shown."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A problem that was found before a rollout. An `error` refuses the release, a `warning` does
    not. `message` says what to do. `subject` is the name or ARN of what the finding is about. The
    code `not_checked` means that AWS did not let Slipway look.
    """

    code: str
    severity: Severity
    message: str
    subject: str | None = None


class PreflightFailed(Conflict):
    """The release cannot run. `findings` are all of them, also the warnings."""

    default_code = "preflight_failed"

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(errors_as_text(self.findings))


class Kind(StrEnum):
    """A kind of thing that a task definition refers to."""

    ROLE = "role"
    SECRET = "secret"  # noqa: S105
    PARAMETER = "parameter"
    LOG_GROUP = "log_group"
    IMAGE = "image"


class Need(msgspec.Struct, frozen=True):
    """A thing that must exist so that tasks start: `name` is what AWS finds it by.

    `unseen` says why Slipway does not look for it: it is in another region, for instance. A secret
    may have a `stage` and the id of a `version`; without both the current one is wanted. The image
    of a container that is not `essential` may be missing.
    """

    kind: Kind
    name: str
    unseen: str = ""
    stage: str = ""
    version: str = ""
    essential: bool = True


class Unknown(msgspec.Struct, frozen=True):
    """The result of a look that failed, with the reason; `is_denied` if AWS refused the look."""

    reason: str
    is_denied: bool = False


class NoValue(msgspec.Struct, frozen=True):
    """A secret that exists, but not in the wanted version, with the reason."""

    reason: str


class Refusal(msgspec.Struct, frozen=True):
    """Why ECS cannot deploy the service at all: ecs_service_missing, ClusterNotFoundException or
    ecs_controller_unsupported.
    """

    code: str
    text: str

    @property
    def advice(self) -> str:
        """The reason, and what to do."""
        if self.code == "ecs_controller_unsupported":
            advice = "Create an ECS service with it, and change ecs_service"
        else:
            advice = "Create it, or change ecs_cluster and ecs_service"
        return f"{self.text.rstrip('.')}. {advice}"


class FoundImage(msgspec.Struct, frozen=True):
    """An image in ECR. `status` is ImageDetail's imageStatus. `other` says what it is instead of an
    image, else it is empty. `platforms` are written as `os/architecture`.
    """

    status: str = "ACTIVE"
    other: str = ""
    platforms: frozenset[str] | Unknown = frozenset()


class Release(msgspec.Struct, frozen=True):
    """What is to run: an image, put into containers of a task definition.

    `definition` is the content to register, as RegisterTaskDefinition takes it or
    DescribeTaskDefinition returns it. Without `containers` it has the image already, else the
    image in them does not matter. `registry` is the host of the image's registry. `overlay` is the
    service's config, which the definition has; a rollback has none.
    """

    repository: str
    digest: str
    containers: tuple[str, ...]
    definition: Mapping[str, Any] | Unknown
    registry: str
    overlay: Overlay | None = None


class World(msgspec.Struct, frozen=True):
    """What AWS has, as far as a release needs it.

    `image` is None if ECR does not have it. `service` is None if ECS can deploy it. `found` says
    for each of the definition's `needs` whether it exists. `further` says how many more of a kind
    were not looked for. `newer` is the ARN of a newer revision with another content that another
    party registered, and that the ECS service does not run. `desired` is the number of tasks that
    ECS wants now. `is_daemon`: the ECS service has the scheduling strategy DAEMON.
    """

    image: FoundImage | Unknown | None
    service: Refusal | Unknown | None = None
    found: Mapping[Need, bool | NoValue | Unknown] = msgspec.field(default_factory=dict)
    further: Mapping[Kind, int] = msgspec.field(default_factory=dict)
    newer: str | Unknown | None = None
    desired: int | None = None
    is_daemon: bool = False


# The most things of a kind that are looked for, each with a call of its own, except parameters.
MOST_LOOKS: Mapping[Kind, int] = {
    Kind.ROLE: 2,
    Kind.SECRET: 10,
    Kind.PARAMETER: 25,
    Kind.LOG_GROUP: 5,
    Kind.IMAGE: 5,
}
# The texts of findings about missing things: what is missing, and what to do.
_MISSING: Mapping[Kind, tuple[str, str]] = {
    Kind.ROLE: (
        "the role {name} does not exist, so ECS cannot start tasks",
        "Create it, or make ECS run a task definition with another role",
    ),
    Kind.SECRET: (
        "Secrets Manager has no secret {name}, or it is scheduled for deletion",
        "Create or restore it, or make ECS run a task definition without it",
    ),
    Kind.PARAMETER: (
        "Parameter Store has no parameter {name}",
        "Create it, or make ECS run a task definition without it",
    ),
    Kind.LOG_GROUP: (
        "CloudWatch Logs has no log group {name}, which the log driver awslogs writes to",
        "Create it: aws logs create-log-group --log-group-name {name}",
    ),
    Kind.IMAGE: (
        "ECR has no image {name}, which another container of the task definition has, or it is "
        "archived",
        "Push or restore it, or make ECS run a task definition without it",
    ),
}
_PUT_VALUE = "Put a value into it, or make ECS run a task definition without it"
# What to do if Slipway cannot look for a thing, and for a role if AWS denies the look: the policies
# allow iam:GetRole and iam:PassRole for the same roles.
_CHECK = "Check yourself that it exists"
_ALLOW_ROLE = (
    "If iam:PassRole is denied, too, ECS refuses to register the task definition: set the stack's "
    "parameter TaskRoles so that it matches {name}"
)
# A release keeps so many findings. Lists of deployments show them.
_MOST = 25
_LONGEST_REASON = 300
_NOT_CHECKED = "not_checked"
# Names of parameters that AWS has itself, and those of them that stand for secrets.
_OF_AWS = "/aws/"
_SECRETS_OF_AWS = "/aws/reference/secretsmanager/"
# The shortest id of a secret's version (GetSecretValue). A label may be as long, but AWS's are not.
_SHORTEST_VERSION = 32
# Names of parameters; those of a hierarchy begin with "/" (PutParameter in the API reference).
_ONE_PART = r"[A-Za-z0-9_.-]+"
_PARAMETER = regex(rf"/?{_ONE_PART}|(?:/{_ONE_PART})+")
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}


def preflight(release: Release, world: World, more: Iterable[Finding] = ()) -> tuple[Finding, ...]:
    """All findings about a release, and `more`: errors first, and what was not checked last."""
    found = [
        *more,
        *_of_service(world.service),
        *_of_image(release, world.image),
        *_of_definition(release, world),
        *_of_newer(world.newer),
        *_of_count(release, world),
    ]
    found.sort(key=lambda each: (each.severity is Severity.WARNING, each.code == _NOT_CHECKED))
    return tuple(found if len(found) <= _MOST else [*found[: _MOST - 1], _more(found)])


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether the findings refuse the release."""
    return any(each.severity is Severity.ERROR for each in findings)


def errors_as_text(findings: Iterable[Finding]) -> str:
    """All errors in one text, numbered if there is more than one."""
    texts = [each.message for each in findings if each.severity is Severity.ERROR]
    if len(texts) == 1:
        return texts[0]
    numbered = (f"({number}) {text}" for number, text in enumerate(texts, 1))
    return f"{len(texts)} problems: {' '.join(numbered)}"


def needs(definition: Mapping[str, Any], *, region: str, account: str) -> tuple[Need, ...]:
    """What a task definition refers to, each once. `region` and `account` are Slipway's own."""
    containers = definition.get("containerDefinitions", [])
    roles = [definition.get(name) for name in ("taskRoleArn", "executionRoleArn")]
    found = [Need(Kind.ROLE, role) for role in roles if role]
    for container in containers:
        references = _references(container)
        found += [_secret(each, region=region, account=account) for each in references]
        private = container.get("repositoryCredentials", {}).get("credentialsParameter")
        if private:
            found.append(_of_secrets_manager(private, region=region))
        found += _log_groups(container, region=region)
    return tuple(dict.fromkeys(found))


def other_images(release: Release) -> tuple[Need, ...]:
    """The images of the definition that are in its registry, each once, without the release's own.

    If a container that is not essential fails, the others run on (ContainerDefinition in the ECS
    API reference).
    """
    if isinstance(release.definition, Unknown):
        return ()
    found = []
    for each in release.definition["containerDefinitions"]:
        name = _name_in(release.registry, each.get("image", ""))
        own = each["name"] in release.containers or name == f"{release.repository}@{release.digest}"
        if name and not own:
            found.append(Need(Kind.IMAGE, name, essential=each.get("essential", True)))
    return tuple(dict.fromkeys(found))


def _name_in(registry: str, image: str) -> str:
    """The name of an image of `registry`, with its digest or else its tag; empty for others."""
    name = image.removeprefix(f"{registry}/")
    try:
        reference = image_reference(name) if name != image else None
    except ValueError:
        reference = None
    if reference is None:
        return ""
    mark = f"@{reference.digest}" if reference.digest else f":{reference.tag or 'latest'}"
    return f"{reference.repository}{mark}"


def _references(container: Mapping[str, Any]) -> list[str]:
    logs = container.get("logConfiguration", {})
    secrets = [*container.get("secrets", []), *logs.get("secretOptions", [])]
    return [each["valueFrom"] for each in secrets]


def _secret(reference: str, *, region: str, account: str) -> Need:
    """The secret behind a `valueFrom`: an ARN, or the name of a parameter (Secret in the ECS API
    reference, which does not say that ECS refuses other texts).
    """
    if not reference.startswith("arn:"):
        return _parameter(reference)
    service, place, owner, resource = _parts(reference)
    if service == "secretsmanager":
        return _of_secrets_manager(reference, region=region)
    name = resource.removeprefix("parameter")
    if service != "ssm" or not name.startswith("/"):
        return Need(Kind.PARAMETER, reference, "it is no ARN of a secret or a parameter")
    is_public = name.startswith(_OF_AWS) and not name.startswith(_SECRETS_OF_AWS)
    foreign = f"it is in the account {owner}" if owner != account and not is_public else ""
    elsewhere = _elsewhere(place, region) or foreign
    if elsewhere:
        return Need(Kind.PARAMETER, reference, elsewhere)
    bare = name.partition(":")[0]
    if re.fullmatch(_ONE_PART, bare[1:]):
        # The ARN does not tell whether the name begins with "/".
        return Need(Kind.PARAMETER, f"{reference.removesuffix(resource)}parameter{bare}")
    return _parameter(name)


def _parameter(name: str) -> Need:
    """A parameter, or what AWS has at its name: DescribeParameters does not list names of AWS.

    One kind of them stands for a secret of the account ("Referencing AWS Secrets Manager secrets
    from Parameter Store parameters"). The others are AWS's public parameters. A name may have a
    version or a label after it (GetParameters in the API reference of Systems Manager).
    """
    bare, _, version = name.partition(":")
    if bare.startswith(_SECRETS_OF_AWS):
        is_id = len(version) >= _SHORTEST_VERSION
        name = bare.removeprefix(_SECRETS_OF_AWS)
        stage = "" if is_id else version
        return Need(Kind.SECRET, name, stage=stage, version=version if is_id else "")
    if bare.startswith(_OF_AWS):
        return Need(Kind.PARAMETER, bare, "Parameter Store does not list parameters of AWS")
    if not _PARAMETER.fullmatch(bare):
        return Need(Kind.PARAMETER, name, "it is no name of a parameter")
    return Need(Kind.PARAMETER, bare)


def _of_secrets_manager(reference: str, *, region: str) -> Need:
    """A secret by name or ARN. After its ARN a reference may have a JSON key, a stage and a version
    ("Pass Secrets Manager secrets through Amazon ECS environment variables").
    """
    if not reference.startswith("arn:"):
        return Need(Kind.SECRET, reference)
    service, place, _, resource = _parts(reference)
    if service != "secretsmanager" or not resource.startswith("secret:"):
        return Need(Kind.SECRET, reference, "it is no ARN of a secret")
    _, name, _, stage, version, *_ = [*resource.split(":"), "", "", ""]
    arn = f"{reference.removesuffix(resource)}secret:{name}"
    return Need(Kind.SECRET, arn, _elsewhere(place, region), stage=stage, version=version)


def has_value(need: Need, labels: Mapping[str, Iterable[str]]) -> bool | NoValue | Unknown:
    """Whether a secret has the wanted version. `labels` are the staging labels of its versions.

    A version without a label may exist, too: DescribeSecret does not list it (VersionIdsToStages in
    the API reference of Secrets Manager, and IncludeDeprecated of ListSecretVersionIds).
    """
    stage = need.stage or ("" if need.version else "AWSCURRENT")
    if need.version and need.version not in labels:
        reason = f"Secrets Manager lists only versions with a staging label, and not {need.version}"
        return Unknown(reason)
    versions = [labels[need.version]] if need.version else labels.values()
    if not stage or any(stage in each for each in versions):
        return True
    which = (
        f"its version {need.version} does not have" if need.version else "it has no version with"
    )
    return NoValue(f"{which} the staging label {stage}")


def _parts(arn: str) -> tuple[str, str, str, str]:
    """Service, region, account and resource of an ARN; all are empty if it is none."""
    parts = arn.split(":", 5)[2:]
    return (parts[0], parts[1], parts[2], parts[3]) if len(parts) == 4 else ("", "", "", "")


def _log_groups(container: Mapping[str, Any], *, region: str) -> Iterator[Need]:
    logs = container.get("logConfiguration", {})
    options = logs.get("options", {})
    group = options.get("awslogs-group")
    created = str(options.get("awslogs-create-group", "")).lower() == "true"
    if logs.get("logDriver") == "awslogs" and group and not created:
        place = options.get("awslogs-region", region)
        yield Need(Kind.LOG_GROUP, group, _elsewhere(place, region))


def _elsewhere(place: str, region: str) -> str:
    return f"it is in {place}" if place != region else ""


def _of_service(service: Refusal | Unknown | None) -> Iterator[Finding]:
    if isinstance(service, Unknown):
        yield _not_checked("the ECS service", service)
    elif service is not None:
        yield error(service.code, service.advice)


def _of_image(release: Release, image: FoundImage | Unknown | None) -> Iterator[Finding]:
    repository, digest = release.repository, release.digest
    name = f"{repository}@{digest}"
    if image is None:
        text = f"the image {name} is gone from ECR. Build the commit again and deploy the new image"
        yield error("image_missing", text, name)
    elif isinstance(image, Unknown):
        yield _not_checked("the image", image, name)
    elif image.status != "ACTIVE":
        yield inactive_image(repository, digest, image.status)
    elif image.other:
        text = f"{name} is no image: it is {image.other}. Deploy an image"
        yield error("not_an_image", text, name)
    elif isinstance(image.platforms, Unknown):
        yield _not_checked("the image's platforms", image.platforms, name)
    elif not isinstance(release.definition, Unknown):
        yield from _of_platforms(release.definition, image.platforms, name)


def inactive_image(repository: str, digest: str, status: str) -> Finding:
    """The finding about an image whose imageStatus is not ACTIVE.

    ECR refuses pulls of archived images ("Archiving an image" in the ECR user guide).
    """
    name = f"{repository}@{digest}"
    if status == "ACTIVATING":
        text = f"ECR is restoring the image {name}. Wait until its imageStatus is ACTIVE"
        return error("image_activating", f"{text}, and try again", name)
    text = (
        f"the image {name} has the imageStatus {status} in ECR, so ECS cannot pull it. Restore it "
        f"with UpdateImageStorageClass, and try again when it is ACTIVE: aws ecr "
        f"update-image-storage-class --repository-name {repository} --image-id "
        f"imageDigest={digest} --target-storage-class STANDARD"
    )
    return error("image_archived", text, name)


def _of_platforms(
    definition: Mapping[str, Any], platforms: frozenset[str], name: str
) -> Iterator[Finding]:
    """Tasks of Fargate run on X86_64 and LINUX unless runtimePlatform says otherwise.

    Elsewhere ECS places a task without a cpuArchitecture on any instance (inferred: the API
    reference has no default for it), so the image may match.
    """
    chosen = definition.get("runtimePlatform") or {}
    family = chosen.get("operatingSystemFamily") or "LINUX"
    architecture = chosen.get("cpuArchitecture") or "X86_64"
    system = "windows" if family.startswith("WINDOWS") else "linux"
    wanted = f"{system}/{_ARCHITECTURES.get(architecture, architecture.lower())}"
    if wanted in platforms:
        return
    has = ", ".join(sorted(platforms))
    advice = f"Build the image for {wanted} (setting `platforms`), or change runtimePlatform"
    is_certain = bool(chosen.get("cpuArchitecture")) or _is_for_fargate(definition)
    if is_certain:
        text = f"the task definition runs on {architecture} {family} ({wanted})"
        yield error("platform_mismatch", f"{text}, but the image is for {has}. {advice}", name)
    else:
        text = (
            f"the task definition has no cpuArchitecture, and the image is only for {has}: its "
            f"tasks fail on instances of {wanted}. {advice}"
        )
        yield warning("platform_mismatch", text, name)


def _is_for_fargate(definition: Mapping[str, Any]) -> bool:
    """Whether the tasks run on Fargate for sure."""
    return list(definition.get("requiresCompatibilities") or ()) == ["FARGATE"]


def _of_execution_role(definition: Mapping[str, Any], config: Config) -> Iterator[Finding]:
    """A release has an image of ECR, and Fargate pulls it with the execution role ("Amazon ECS task
    execution IAM role" in the developer guide). RegisterTaskDefinition refuses a definition for
    Fargate without it ("Fargate requires task definition to have execution role ARN to support ECR
    images"; the API reference does not say so). ECS reads secrets with it.
    """
    if definition.get("executionRoleArn"):
        return
    if _is_for_fargate(definition):
        text = (
            "the task definition is for FARGATE and has no executionRoleArn, so it cannot pull an "
            "image from ECR. Make ECS run one with an execution role that has the policy "
            "AmazonECSTaskExecutionRolePolicy"
        )
        yield error("execution_role_missing", text)
    elif config.secrets:
        text = (
            "the config has secrets, and the task definition has no executionRoleArn, with which "
            "ECS reads them. Make ECS run a task definition that has one"
        )
        yield error("execution_role_missing", text)


def _of_definition(release: Release, world: World) -> Iterator[Finding]:
    definition = release.definition
    if isinstance(definition, Unknown):
        # If the ECS service itself has a finding, that says why.
        if world.service is None:
            yield _not_checked("the task definition", definition)
        return
    missing = why_not_in(definition, release.containers)
    if missing:
        names = missing_containers(definition, release.containers)
        yield error("container_not_found", missing, ", ".join(names))
    yield from _of_other_containers(release, definition)
    config = release.overlay.config if release.overlay is not None else Config()
    yield from _of_execution_role(definition, config)
    yield from _of_sizes(definition, config)
    for need, found in world.found.items():
        what, advice = (text.format(name=need.name) for text in _MISSING[need.kind])
        if isinstance(found, Unknown):
            thing = f"the {need.kind.replace('_', ' ')} {need.name}"
            is_denied = found.is_denied and need.kind is Kind.ROLE
            advice = _ALLOW_ROLE.format(name=need.name) if is_denied else _CHECK
            yield _not_checked(thing, found, need.name, advice=advice)
        elif isinstance(found, NoValue):
            text = f"the secret {need.name} has no value to give: {found.reason}"
            yield error("secret_missing", f"{text}. {_PUT_VALUE}", need.name)
        elif not found:
            finding = error if need.essential else warning
            yield finding(f"{need.kind}_missing", f"{what}. {advice}", need.name)
    for kind, count in world.further.items():
        things = f"{kind.replace('_', ' ')}{'' if count == 1 else 's'}"
        thing = f"{count} further {things} {'was' if count == 1 else 'were'} not looked for"
        why = Unknown(f"Slipway looks for at most {MOST_LOOKS[kind]}")
        yield _not_checked(thing, why, advice="Check yourself that they exist")


def _of_count(release: Release, world: World) -> Iterator[Finding]:
    """UpdateService refuses a number for a daemon: "The daemon scheduling strategy does not support
    a desired count for services" (its error message; the API reference does not say so).
    """
    wanted = release.overlay.config.desired_count if release.overlay is not None else None
    now = world.desired
    if wanted is None:
        return
    if world.is_daemon:
        text = (
            "the ECS service has the scheduling strategy DAEMON, so ECS decides how many tasks "
            "run. Set desired_count to null"
        )
        yield error("count_not_supported", text)
        return
    if now is None or wanted >= now:
        return
    text = (
        f"the release asks ECS for {wanted} tasks, and ECS wants {now} now. The smaller number "
        "stays also if the release fails. Check that it is enough, or set desired_count to null if "
        "the service scales by itself"
    )
    yield warning("fewer_tasks", text)


def _of_sizes(definition: Mapping[str, Any], config: Config) -> Iterator[Finding]:
    size = why_no_size(definition, config)
    if size is not None:
        yield error("size_not_supported", size)
    too_large = why_too_large(definition)
    if too_large is not None:
        yield error("definition_too_large", too_large)


def _of_other_containers(release: Release, definition: Mapping[str, Any]) -> Iterator[Finding]:
    """Containers that keep an image of the same repository. A rollback restores all images."""
    if not release.containers:
        return
    repository = f"{release.registry}/{release.repository}"
    for name in left_behind(definition, release.containers, repository=repository):
        text = (
            f"the container {name} has an image of {release.repository}, too, and keeps it. Add it "
            "to the service's containers if it should get the new image"
        )
        yield warning("container_keeps_image", text, name)


def _of_newer(newer: str | Unknown | None) -> Iterator[Finding]:
    if isinstance(newer, Unknown):
        yield _not_checked("newer revisions of the task definition", newer)
    elif newer is not None:
        text = (
            f"the revision {newer} is newer than the one that ECS runs, and this ECS service does "
            "not run it: a deployment starts from the revision that runs. To use the new one, make "
            "ECS run it, and deploy again"
        )
        yield warning("newer_revision", text, newer)


def _more(found: list[Finding]) -> Finding:
    text = f"{len(found) - _MOST + 1} more findings are not listed"
    return Finding(code="more", severity=found[_MOST - 1].severity, message=text)


def _not_checked(
    thing: str, unknown: Unknown, subject: str | None = None, *, advice: str = ""
) -> Finding:
    text = f"not checked: {thing}: {unknown.reason[:_LONGEST_REASON].rstrip('.')}"
    return warning(_NOT_CHECKED, f"{text}. {advice}" if advice else text, subject)


def error(code: str, message: str, subject: str | None = None) -> Finding:
    """A finding that refuses the release."""
    return Finding(code=code, severity=Severity.ERROR, message=message, subject=subject)


def warning(code: str, message: str, subject: str | None = None) -> Finding:
    """A finding that is only shown."""
    return Finding(code=code, severity=Severity.WARNING, message=message, subject=subject)
