"""GitHub's REST API for a GitHub App, which signs in by a JWT."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from chalicelib import clock
from chalicelib.domain.github_app import Permissions, shown
from chalicelib.errors import Rejected, Unavailable
from chalicelib.outbound.github import OneRepository
from chalicelib.outbound.http import Answer, Refused, send
from chalicelib.settings import settings

# The codes of the two refusals that a person mends on GitHub.
NOT_INSTALLED, NOT_GRANTED = "github_app_not_installed", "github_app_not_granted"


def create_token(jwt: str, repository: str, permissions: Permissions) -> str:
    """A new installation access token for one repository, `owner/name`. It ends after an hour.

    Raises OneRepository, with the code NOT_INSTALLED if the App is not installed on the repository,
    and NOT_GRANTED if the installation has not all the permissions. Also Later and Unavailable.
    """
    try:
        found = _call(jwt, "GET", f"repos/{quote(repository)}/installation").body
    except Refused as trouble:
        if trouble.status == HTTPStatus.NOT_FOUND:
            raise OneRepository(
                f"the GitHub App is not installed on {repository}, or {repository} does not exist: "
                "install the App for this repository on GitHub",
                code=NOT_INSTALLED,
            ) from trouble
        raise
    number = found.get("id") if isinstance(found, dict) else None
    if not isinstance(number, int):
        raise Unavailable("GitHub's answer names no installation of the App")
    name = repository.rpartition("/")[2]
    body = {"repositories": [name], "permissions": dict(permissions)}
    try:
        made = _call(jwt, "POST", f"app/installations/{number}/access_tokens", body).body
    except Rejected as refusal:
        raise OneRepository(
            f"the GitHub App lacks a permission for {repository}: it needs {shown(permissions)}. "
            "Add the permission in the App's settings on GitHub, and accept it in the "
            f"installation ({refusal.detail})",
            code=NOT_GRANTED,
        ) from refusal
    token = made.get("token") if isinstance(made, dict) else None
    if not isinstance(token, str) or not token:
        raise Unavailable("GitHub's answer has no installation access token")
    return token


def _call(jwt: str, method: str, path: str, body: Any = None) -> Answer:
    try:
        return send(
            "GitHub",
            method,
            f"{settings().github_api}/{path}",
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {jwt}",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            body=body,
            now=clock.now(),
        )
    except Refused as trouble:
        if trouble.status == HTTPStatus.UNAUTHORIZED:
            raise Unavailable(
                "GitHub does not accept the signature of the GitHub App: the parameter GithubApp "
                "must be the id of the App whose private key is in KMS. To import the key again: "
                f"make github-app ({trouble.detail})"
            ) from trouble
        raise
