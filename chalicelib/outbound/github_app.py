"""GitHub's REST API for a GitHub App, which signs in by a JWT."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from chalicelib import clock
from chalicelib.domain.github_app import Permissions, shown
from chalicelib.errors import Rejected, Unavailable
from chalicelib.outbound.github import OF_ONE_REPOSITORY, OneRepository
from chalicelib.outbound.http import Answer, Refused, send
from chalicelib.settings import settings

# GitHub says this with a 403, which is also the status of a rate limit.
_SUSPENDED = "installation has been suspended"


def create_token(jwt: str, repository: str, permissions: Permissions) -> str:
    """A new installation access token for one repository, `owner/name`. It ends after an hour.

    Raises OneRepository if the App has no access to the repository: it is not installed there or
    suspended, the installation lacks one of the permissions, or the repository has another name
    now. Also Later and Unavailable.
    """
    try:
        found = _call(jwt, "GET", f"repos/{quote(repository)}/installation").body
    except Refused as trouble:
        if trouble.status == HTTPStatus.NOT_FOUND:
            raise OneRepository(
                f"the GitHub App is not installed on {repository}, or {repository} does not exist: "
                "install the App for this repository on GitHub"
            ) from trouble
        if trouble.status in OF_ONE_REPOSITORY:
            raise OneRepository(
                f"the GitHub App has no access to {repository} ({trouble.detail}). Is this still "
                "its name?"
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
            f"installation ({refusal.detail})"
        ) from refusal
    except Refused as trouble:
        if trouble.status == HTTPStatus.FORBIDDEN and _SUSPENDED in trouble.detail:
            raise OneRepository(
                f"the GitHub App has no access to {repository} ({trouble.detail}): unsuspend it in "
                "the settings of the installation on GitHub"
            ) from trouble
        raise
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
