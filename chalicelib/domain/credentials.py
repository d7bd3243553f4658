"""Secrets of a project's builds: its git credential, build secrets and logins of registries.

All of them are in Secrets Manager, below a path of the project. A build can read no others.
"""

import re
from typing import Annotated, Any

from msgspec import Meta

from chalicelib.domain.fields import END, Installation, Rule
from chalicelib.domain.images import HOST, REPOSITORY_PATH
from chalicelib.errors import Forbidden

_MAX_SECRETS = 20
_MAX_COPIES = 5
# Secrets Manager's API reference, CreateSecret: a name has at most 512 of these characters.
NAME_CHARACTERS = "A-Za-z0-9/_+=.@-"
_PREFIX = r"[A-Za-z0-9_-]{1,64}"
_PROJECT = r"[1-9][0-9]{0,17}"
_ARN = (
    r"arn:aws(?:-[a-z]+){0,3}:secretsmanager:[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}"
    r":[0-9]{12}:secret:"
)
_REFERENCE = rf"^secretsmanager:{_PREFIX}/build/{_PROJECT}/[{NAME_CHARACTERS}]{{1,400}}{END}"
_ID = rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}}{END}"
# The first part must look like a host, or docker reads it as a part of Docker Hub.
_OTHER_REPOSITORY = rf"^(?=.{{3,255}}$){HOST}/{REPOSITORY_PATH}{END}"


def git_path(prefix: str, project_id: int) -> str:
    """The path of a project's git credentials in Secrets Manager."""
    return f"{prefix}/git/{project_id}/"


def build_path(prefix: str, project_id: int) -> str:
    """The path of a project's build secrets and logins of registries in Secrets Manager."""
    return f"{prefix}/build/{project_id}/"


def app_parameter(prefix: str, project_id: int, name: str) -> str:
    """The git credential of builds that fetch `owner/name` as the GitHub App.

    It is `ssm:` and the name of a parameter, where the token is.
    """
    return f"ssm:/{git_path(prefix, project_id)}{name}"


def is_parameter(git_credential: str | None) -> bool:
    """Whether a git credential is one of the GitHub App, and not a project's own."""
    return git_credential is not None and git_credential.startswith("ssm:")


def is_below(path: str, secret: str) -> bool:
    """Whether a secret, an ARN or `secretsmanager:<name>`, is below a path."""
    return secret.rpartition(":")[2].startswith(path)


def require_below(path: str, secret: str, *, field: str) -> None:
    """Raise Forbidden (secret_not_allowed) for a secret that builds of a project cannot read."""
    if not is_below(path, secret):
        raise Forbidden(
            f"builds of this project can read only secrets below {path}, not {secret}",
            code="secret_not_allowed",
            field=field,
        )


def secret_name(reference: str) -> str:
    """The name of the secret in `secretsmanager:<name>`."""
    return reference.partition(":")[2]


def _own_git_path(value: str, installation: Installation) -> str:
    if not is_below(f"{installation.table_prefix}/git/", value):
        raise ValueError(
            f"git_credential must be a secret below {installation.table_prefix}/git/<project id>/"
        )
    return value


def _own_build_path(value: dict[str, str], installation: Installation) -> dict[str, str]:
    for reference in value.values():
        if not is_below(f"{installation.table_prefix}/build/", reference):
            raise ValueError(
                "each secret must be secretsmanager:"
                f"{installation.table_prefix}/build/<project id>/<name>"
            )
    return value


def _other_registries(value: dict[str, str], installation: Installation) -> dict[str, str]:
    """Refuse the installation's registry: docker keeps one login for each registry."""
    own = installation.registry
    if any(image.partition("/")[0].lower() == own.lower() for image in value):
        raise ValueError(
            f"also_push_to must name other registries: each build pushes to {own} already, to the "
            "service's image_repository"
        )
    return _own_build_path(value, installation)


def _explain_secrets(value: Any) -> str:
    return _explain(value, "secrets", _MAX_SECRETS, _ID, "letters, digits and _ . -")


def _explain_copies(value: Any) -> str:
    return _explain(
        value, "also_push_to", _MAX_COPIES, _OTHER_REPOSITORY, "a host and a repository, no tag"
    )


def _explain(value: Any, field: str, most: int, names: str, meaning: str) -> str:
    if not isinstance(value, dict):
        return f"{field} must be an object"
    if len(value) > most:
        return f"{field} must have at most {most} members"
    if not all(isinstance(name, str) and re.search(names, name) for name in value):
        return f"each name in {field} must be {meaning}"
    return (
        f"each value in {field} must be secretsmanager:<prefix>/build/<project id>/<name>, "
        "the name of a secret in Secrets Manager and not the secret itself"
    )


GitCredential = Annotated[
    str,
    Meta(
        # No colon after the name: it would name a key of a JSON secret.
        pattern=rf"^{_ARN}{_PREFIX}/git/{_PROJECT}/[{NAME_CHARACTERS}]{{1,400}}{END}",
        max_length=600,
        description=(
            "the ARN of a Secrets Manager secret of this project: "
            "arn:aws:secretsmanager:<region>:<account>:secret:<prefix>/git/<project id>/<name>. "
            "The prefix is the installation's TABLE_PREFIX"
        ),
        extra_json_schema={"format": "git-credential"},
    ),
    Rule(normal=_own_git_path),
]
_Reference = Annotated[
    str,
    Meta(
        pattern=_REFERENCE,
        max_length=500,
        extra_json_schema={"format": "build-secret-reference"},
    ),
]
BuildSecrets = Annotated[
    dict[Annotated[str, Meta(pattern=_ID)], _Reference],
    Meta(
        max_length=_MAX_SECRETS,
        description=(
            "secrets for `RUN --mount=type=secret,id=<name>` in the Dockerfile, by name: "
            "secretsmanager:<prefix>/build/<project id>/<name of the secret>. The log hides the "
            "whole text and each line of a secret, from 6 characters on, but no part of a line"
        ),
    ),
    Rule(normal=_own_build_path, explain=_explain_secrets),
]
Destinations = Annotated[
    dict[Annotated[str, Meta(pattern=_OTHER_REPOSITORY)], _Reference],
    Meta(
        max_length=_MAX_COPIES,
        description=(
            "repositories of other registries that get a copy of each image, with the secret for "
            "the login, which holds user:password: "
            '{"docker.io/acme/web": "secretsmanager:<prefix>/build/<project id>/<name>"}'
        ),
    ),
    Rule(normal=_other_registries, explain=_explain_copies),
]
