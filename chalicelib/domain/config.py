"""The config of a service: what Slipway puts into its task definitions besides the image.

A config is merged into what ECS runs. What the definition has beside it stays its owner's.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.domain.regex import regex
from chalicelib.errors import Conflict, Forbidden, InvalidInput

_MAX_NAMES = 100
# A task definition has at most 64 KB ("Amazon ECS service quotas"): half of it is the owner's.
_MAX_BYTES = 32 * 1024
# ECS takes any name; a shell can use only these. Names that begin with AWS_ or ECS_ are allowed:
# the ECS agent overwrites the variables that it sets itself (`task.go` in aws/amazon-ecs-agent;
# that Fargate's agent does so, too, is inferred), and applications read others, like AWS_REGION.
_NAME = rf"^[A-Za-z_][A-Za-z0-9_]{{0,254}}{END}"
# NUL ends a variable (execve). Other control characters act on a terminal; tabs and line breaks are
# part of certificates and JSON.
_VALUE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
_OWNER = r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}:[0-9]{12}"
# "Pass Secrets Manager secrets through Amazon ECS environment variables": after the ARN either
# nothing, or a JSON key, a version stage and a version, each of which may be empty.
_REFERENCE = (
    r"^arn:aws(?:-[a-z]+){0,3}:(?:"
    rf"secretsmanager:{_OWNER}:secret:[A-Za-z0-9/_+=.@-]{{1,519}}"
    r"(?::[^:\s]{0,128}:[A-Za-z0-9/_+=.@-]{0,256}:[A-Za-z0-9-]{0,64})?"
    rf"|ssm:{_OWNER}:parameter/[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*){END}"
)
_ECR = regex(r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.", re.ASCII)


def _within_size(values: dict[str, str | None], _installation: Installation) -> Any:
    if _size(values) > _MAX_BYTES:
        raise ValueError(_TOO_LARGE)
    return values


def _size(values: Mapping[str, str | None]) -> int:
    return sum(len(name.encode()) + len((text or "").encode()) for name, text in values.items())


def _explain_environment(values: Any) -> str:
    return _explain("environment", values, _VALUE, "has a control character or is no string")


def _explain_secrets(values: Any) -> str:
    wanted = "must be the ARN of a secret in Secrets Manager or of a parameter, not the secret"
    return _explain("secrets", values, _REFERENCE, wanted)


def _explain(field: str, values: Any, pattern: str, problem: str) -> str:
    """Why changes do not fit. It repeats names but no values."""
    if not isinstance(values, dict):
        return f"{field} must be an object; a null in it removes a name"
    if len(values) > 2 * _MAX_NAMES:
        return f"{field} must have at most {2 * _MAX_NAMES} members"
    if not all(re.search(_NAME, name) for name in values):
        return (
            f"each name in {field} must be 1 to 255 letters, digits and _, and begin with no digit"
        )
    wrong = [
        name
        for name, text in values.items()
        if text is not None and not (isinstance(text, str) and re.search(pattern, text))
    ]
    return f"the value of {wrong[0]} {problem}" if wrong else f"{field} is not allowed"


_TOO_LARGE = f"names and values must have at most {_MAX_BYTES // 1024} KiB together"

_Name = Annotated[str, Meta(pattern=_NAME)]
EnvironmentChanges = Annotated[
    dict[_Name, Annotated[str, Meta(pattern=_VALUE)] | None],
    Meta(
        max_length=2 * _MAX_NAMES,
        description=(
            "variables to set, by name; null removes one. A service has at most 100, and 32 KiB of "
            "names and values with its secrets. Those who may deploy can read the values: use "
            "`secrets` for secrets"
        ),
    ),
    Rule(normal=_within_size, explain=_explain_environment),
]
SecretChanges = Annotated[
    dict[
        _Name,
        Annotated[
            str, Meta(pattern=_REFERENCE, extra_json_schema={"format": "task-secret-reference"})
        ]
        | None,
    ],
    Meta(
        max_length=2 * _MAX_NAMES,
        description=(
            "secrets to set, by the name of their variable: the ARN of a secret in Secrets "
            "Manager, also with `:json-key:version-stage:version-id`, or of a parameter in "
            "Parameter Store. null removes one. The task's execution role reads them"
        ),
    ),
    Rule(normal=_within_size, explain=_explain_secrets),
]
# RegisterTaskDefinition in the ECS API reference; the limit of memory is Slipway's.
Cpu = Annotated[
    int,
    Meta(
        ge=128,
        le=196_608,
        description="the task's CPU units, from 128 to 196608; 1024 are one vCPU. If it is null, "
        "it stays as the task definition has it",
    ),
]
Memory = Annotated[
    int,
    Meta(
        ge=6,
        le=33_554_432,
        description="the task's memory in MiB, at least 6. If it is null, it stays as the task "
        "definition has it",
    ),
]
# "Amazon ECS service quotas": 5,000 tasks for each service.
DesiredCount = Annotated[
    int,
    Meta(
        ge=0,
        le=5000,
        description="how many tasks a deployment asks ECS for, from 0 to 5000. If it is null, the "
        "ECS service keeps its number; leave it so if the service scales by itself",
    ),
]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a release has besides its image. `environment` has values, `secrets` only references.

    `cpu` and `memory` are those of the task. A null is the owner's to decide.
    """

    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    cpu: int | None = None
    memory: int | None = None
    desired_count: int | None = None

    def __repr__(self) -> str:
        """Names only: an error or a log line may show an object that it failed on."""
        return f"Config({', '.join(sorted(self.names))})"

    @property
    def names(self) -> frozenset[str]:
        """The names of all variables, also of those with secrets."""
        return frozenset(self.environment) | frozenset(self.secrets)


SIZES = ("cpu", "memory", "desired_count")


def merged(config: Config, changes: Mapping[str, Any]) -> Config:
    """The config after a merge patch (RFC 7396); what is not in `changes` stays.

    Raises InvalidInput or Conflict (name_in_both), and Conflict (too_many_names, config_too_large).
    """
    given = [_set_names(changes.get(field, {})) for field in ("environment", "secrets")]
    _require_no_shared(InvalidInput, given[0] & given[1])
    after = Config(
        environment=_patched(config.environment, changes.get("environment", {})),
        secrets=_patched(config.secrets, changes.get("secrets", {})),
        **{name: changes.get(name, getattr(config, name)) for name in SIZES},
    )
    _require_no_shared(Conflict, after.environment.keys() & after.secrets.keys())
    for field in ("environment", "secrets"):
        if len(getattr(after, field)) > _MAX_NAMES:
            raise Conflict(
                f"{field} would have more than {_MAX_NAMES} names: remove some with null",
                code="too_many_names",
                field=field,
            )
    if _size(after.environment) + _size(after.secrets) > _MAX_BYTES:
        raise Conflict(
            f"{_TOO_LARGE}, with those that the service has already", code="config_too_large"
        )
    return after


def rebased(base: Config, *, before: Config, after: Config) -> Config:
    """`base` with what changed from `before` to `after`.

    It may have more names and bytes than `merged` allows: the next change must remove some.
    """
    was, now = _entries(before), _entries(after)
    kept = {name: each for name, each in _entries(base).items() if was.get(name) == now.get(name)}
    entries = kept | {name: each for name, each in now.items() if was.get(name) != each}
    sizes = {
        name: getattr(base if getattr(before, name) == getattr(after, name) else after, name)
        for name in SIZES
    }
    return Config(
        environment=_of_field("environment", entries),
        secrets=_of_field("secrets", entries),
        **sizes,
    )


def _entries(config: Config) -> dict[str, tuple[str, str]]:
    """The names of a config with their fields and values."""
    return {
        name: (field, value)
        for field in ("environment", "secrets")
        for name, value in getattr(config, field).items()
    }


def _of_field(field: str, entries: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, (of, value) in entries.items() if of == field}


def _set_names(changes: Mapping[str, str | None]) -> set[str]:
    return {name for name, value in changes.items() if value is not None}


def _patched(values: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    after = {**values, **changes}
    return {name: value for name, value in after.items() if value is not None}


def _require_no_shared(kind: type[InvalidInput | Conflict], names: Collection[str]) -> None:
    """ECS refuses a name that is in both ("The secret name must be unique …")."""
    if names:
        raise kind(
            f"{min(names)} cannot be both in environment and in secrets: set it to null in one",
            code="name_in_both",
            field="environment",
        )


def task_path(prefix: str, project_id: int) -> str:
    """The path of a project's secrets of tasks, in Secrets Manager and in Parameter Store."""
    return f"{prefix}/task/{project_id}/"


def require_own_references(
    references: Iterable[str | None], *, path: str, installation: Installation
) -> None:
    """Raise Forbidden (secret_not_allowed) for a reference that is not below the project's path.

    It must also be in the installation's account and region, as far as REGISTRY names them: the
    same path in another one may belong to another project.
    """
    registry = _ECR.match(installation.registry)
    own = registry and [registry["region"], registry["account"]]
    for reference in references:
        if reference is None:
            continue
        place, name = reference.split(":")[3:5], _name_of(reference)
        if not name.startswith(path) or (own and place != own):
            raise Forbidden(
                f"your token is restricted, so it can name only secrets of its project, below "
                f"{path} in the account and region of this installation",
                code="secret_not_allowed",
                field="secrets",
            )


def _name_of(reference: str) -> str:
    rest = reference.split(":", 5)[5]
    return rest.removeprefix("secret:").removeprefix("parameter/")


class Overlay(msgspec.Struct, frozen=True):
    """A config, to be put over a task definition.

    `before` are the names that Slipway has set there, by container: those that the config has no
    more are removed, also from a container that gets no variables any more. `containers` are the
    names of the containers that get the variables.
    """

    config: Config
    before: Mapping[str, frozenset[str]]
    containers: tuple[str, ...]

    def over(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """The definition with the config: described content, or that of a request.

        A name of the config replaces one that the owner has set. The order of all others stays.
        """
        sizes = {"cpu": self.config.cpu, "memory": self.config.memory}
        return {
            **definition,
            "containerDefinitions": [
                self._over(each) for each in definition["containerDefinitions"]
            ],
            **{name: str(size) for name, size in sizes.items() if size is not None},
        }

    def _over(self, container: Mapping[str, Any]) -> dict[str, Any]:
        merged = {
            "environment": self._entries(container, "environment", "value"),
            "secrets": self._entries(container, "secrets", "valueFrom"),
        }
        changed = {name: each for name, each in merged.items() if each != container.get(name, [])}
        return {**container, **changed}

    def _entries(self, container: Mapping[str, Any], field: str, value: str) -> list[Any]:
        config = self.config if container["name"] in self.containers else Config()
        wanted = dict(sorted(getattr(config, field).items()))
        ours = self.before.get(container["name"], frozenset()) | config.names
        entries = []
        for entry in container.get(field, []):
            name = entry["name"]
            if name in wanted:
                entries.append({**entry, value: wanted.pop(name)})
            elif name not in ours:
                entries.append(entry)
        return [*entries, *({"name": name, value: each} for name, each in wanted.items())]


# RegisterTaskDefinition in the ECS API reference, `memory`: MiB by CPU units.
_FARGATE: Mapping[int, Sequence[int]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16_384 + 1, 1024),
    4096: range(8192, 30_720 + 1, 1024),
    8192: range(16_384, 61_440 + 1, 4096),
    16_384: range(32_768, 122_880 + 1, 8192),
}


def why_no_size(definition: Mapping[str, Any], config: Config) -> str | None:
    """Why ECS refuses a task of the definition's size; None if it accepts it.

    Only a size that comes from the config is checked: ECS has accepted all others.
    """
    return _why_too_small(definition, config) or _why_not_on_fargate(definition, config)


def _why_too_small(definition: Mapping[str, Any], config: Config) -> str | None:
    """Why the containers do not fit into the task.

    Users quote the refusals in pulumi/pulumi-awsx#188 and cloudnativedaysjp/dreamkast-infra#4766.
    That ECS does not add up `memory` is inferred: only the text about one container is quoted.
    """
    wanted, containers = config.memory, definition["containerDefinitions"]
    if wanted is None:
        return None
    for container in containers:
        memory = container.get("memory") or 0
        if memory > wanted:
            return (
                f"the container {container['name']} has memory {memory}, so the task cannot have "
                f"memory {wanted}: use at least {memory}, or make ECS run a task definition with "
                "less for the container"
            )
    reserved = sum(each.get("memoryReservation") or 0 for each in containers)
    if reserved > wanted:
        return (
            f"the containers reserve memory {reserved} together (memoryReservation), so the task "
            f"cannot have memory {wanted}: use at least {reserved}"
        )
    return None


def _why_not_on_fargate(definition: Mapping[str, Any], config: Config) -> str | None:
    sized = config.cpu is not None or config.memory is not None
    if not sized or "FARGATE" not in definition.get("requiresCompatibilities", []):
        return None
    sizes = [str(definition.get(name, "")) for name in ("cpu", "memory")]
    if not all(size.isdecimal() for size in sizes):
        return None
    cpu, memory = map(int, sizes)
    allowed = _FARGATE.get(cpu)
    if allowed is None:
        return f"Fargate has no tasks with cpu {cpu}: use {', '.join(map(str, _FARGATE))}"
    if memory in allowed:
        return None
    values = (
        f"from {allowed[0]} to {allowed[-1]} in steps of {allowed.step}"
        if isinstance(allowed, range)
        else ", ".join(map(str, allowed))
    )
    return f"Fargate has no tasks with cpu {cpu} and memory {memory}: memory can be {values}"
