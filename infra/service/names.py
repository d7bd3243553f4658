"""The names of a service and its parts, chosen so that the patterns of its stage match them."""

import re
from dataclasses import dataclass

from infra.stacks import Refused

_PART = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_NAME = re.compile(rf"({_PART})/({_PART})", re.ASCII)
# ECR: CreateRepository, repositoryName.
_WORDS = r"[a-z0-9]+(?:[._-][a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_WORDS}(?:/{_WORDS})*", re.ASCII)
LONGEST_REPOSITORY = 256
LONGEST_ROLE = 64  # IAM: CreateRole, RoleName
LONGEST_PART = 63  # the name of a service of Slipway


@dataclass(frozen=True)
class Name:
    """A service by its project and its name, both in Slipway."""

    project: str
    service: str

    def __str__(self) -> str:
        return f"{self.project}/{self.service}"

    def in_stage(self, stage: str) -> str:
        """The name of its ECS service, cluster and task definitions."""
        return f"{stage}-{self.project}-{self.service}"


def read_name(text: str) -> Name:
    """The name in `text`, such as shop/web. Raises Refused."""
    found = _NAME.fullmatch(text)
    if found is None or max(map(len, found.groups())) > LONGEST_PART:
        raise Refused(
            f"NAME is {text!r}: it must be the project and the service, each a lower-case letter, "
            f"then lower-case letters, digits and single -, at most {LONGEST_PART} in all.\n"
            "Give for instance NAME=shop/web."
        )
    return Name(found[1], found[2])


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern of an IAM policy matches: * is any text, and ? any character."""
    parts = {"*": ".*", "?": "."}
    regex = "".join(parts.get(each) or re.escape(each) for each in pattern)
    return re.fullmatch(regex, name, re.DOTALL) is not None


def fill(pattern: str, text: str) -> str:
    """A name that the pattern matches, with `text` for its first *."""
    return pattern.replace("*", text, 1).replace("*", "")


def repository_for(pattern: str, name: Name, wanted: str | None) -> str:
    """The ECR repository: the `wanted` one, else one with the service's name. Raises Refused."""
    repository = wanted or fill(pattern, str(name))
    if not matches(pattern, repository):
        raise Refused(
            f"Repository={repository} does not match the stage's RepositoryPattern, {pattern}: "
            "builds could not push to it.\n"
            f"Leave it out, or give another one, such as {fill(pattern, str(name))}."
        )
    if not _REPOSITORY.fullmatch(repository) or len(repository) > LONGEST_REPOSITORY:
        raise Refused(
            f"{repository} cannot be the name of an ECR repository.\n"
            f'Give one that RepositoryPattern, {pattern}, matches: ARGS="Repository=…".'
        )
    return repository


@dataclass(frozen=True)
class Roles:
    """The names of a service's three roles and their path."""

    path: str
    task: str
    execution: str
    traffic: str


def roles_for(pattern: str, stem: str) -> Roles:
    """Three roles that the stage's TaskRoles matches. Raises Refused."""
    if "*" not in pattern:
        raise Refused(
            f"The stage's TaskRoles is {pattern}, which is one role, and a service gets three of "
            "its own.\nWiden it to a pattern with *, such as ecs-*: make deploy with "
            'ARGS="TaskRoles=ecs-*".'
        )
    path, _, task = fill(pattern, stem).rpartition("/")
    execution = fill(pattern, f"{stem}-execution").rpartition("/")[2]
    traffic = fill(pattern, f"{stem}-traffic").rpartition("/")[2]
    longest = max(task, execution, traffic, key=len)
    if len(longest) > LONGEST_ROLE:
        raise Refused(
            f"The role's name {longest} has {len(longest)} characters, and IAM allows "
            f"{LONGEST_ROLE}.\nGive a shorter NAME."
        )
    return Roles(f"/{path}/" if path else "/", task, execution, traffic)


def log_group_for(pattern: str, stem: str) -> str:
    """The log group of the tasks, which the stage's TaskLogGroups matches. Raises Refused."""
    group = f"/ecs/{stem}"
    if matches(pattern, group):
        return group
    if "*" not in pattern:
        raise Refused(
            f"The stage's TaskLogGroups is {pattern}, which is one log group.\n"
            'Widen it to a pattern with *: make deploy with ARGS="TaskLogGroups=/ecs/*".'
        )
    return fill(pattern, stem)
