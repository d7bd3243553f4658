"""GitHub's REST API for a GitHub App, which signs in by a JWT."""

import re
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec

from chalicelib.domain.github_app import Permissions, shown
from chalicelib.domain.payloads import seconds_of
from chalicelib.domain.redeliveries import Attempt
from chalicelib.errors import Rejected, Unavailable
from chalicelib.outbound.github import OF_ONE_REPOSITORY, OneRepository, call_github
from chalicelib.outbound.http import Answer, Refused

# GitHub says this with a 403, which is also the status of a rate limit.
_SUSPENDED = "installation has been suspended"
# Of the list of deliveries.
_PAGE, _MOST_PAGES = 100, 10
_NEXT = re.compile(r'<([^<>]{1,2000})>; rel="next"')


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


def list_attempts(jwt: str, *, since: int, ends_at: float) -> list[Attempt]:
    """All attempts to deliver an event to the App's webhook since a time in unix seconds, and
    perhaps earlier ones. Only the newest ones, if there are more than 1,000, or if the monotonic
    clock passes `ends_at` before the last page.

    GitHub's filter by status is not used: it knows only statuses from 200 to 599 ("List deliveries
    for an app webhook"), and there may be no status. An App without a webhook has no deliveries.
    Raises Later, Rejected and Unavailable.
    """
    found: list[Attempt] = []
    cursor = ""
    for _ in range(_MOST_PAGES):
        asked = {"per_page": _PAGE, **({"cursor": cursor} if cursor else {})}
        try:
            answer = _call(jwt, "GET", f"app/hook/deliveries?{urlencode(asked)}")
        except Refused as trouble:
            if trouble.status == HTTPStatus.NOT_FOUND:
                return found
            raise
        if not isinstance(answer.body, list):
            raise Unavailable("GitHub's list of deliveries is not a list")
        page = [_attempt(each) for each in answer.body]
        found += page
        cursor = _next_cursor(answer.link)
        if not cursor or not page or page[-1].delivered_at < since or time.monotonic() > ends_at:
            break
    return found


def repeat_delivery(jwt: str, number: int) -> None:
    """Ask GitHub to deliver an event again ("Redeliver a delivery for an app webhook").

    Raises Rejected if GitHub refuses this one or does not have it any more, Later and Unavailable.
    """
    try:
        _call(jwt, "POST", f"app/hook/deliveries/{number}/attempts")
    except Refused as trouble:
        if trouble.status == HTTPStatus.NOT_FOUND:
            raise Rejected(trouble.detail) from trouble
        raise


def _attempt(found: Any) -> Attempt:
    try:
        return msgspec.convert(
            {**found, "delivered_at": seconds_of(found["delivered_at"])}, type=Attempt
        )
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise Unavailable("GitHub's list of deliveries has an entry of an unknown form") from error


def _next_cursor(link: str) -> str:
    """The cursor of the next page in a header Link; empty if there is none."""
    named = _NEXT.search(link)
    return parse_qs(urlsplit(named[1]).query).get("cursor", [""])[0] if named else ""


def _call(jwt: str, method: str, path: str, body: Any = None) -> Answer:
    try:
        return call_github(jwt, method, path, body)
    except Refused as trouble:
        if trouble.status == HTTPStatus.UNAUTHORIZED:
            raise Unavailable(
                "GitHub does not accept the signature of the GitHub App: the parameter GithubApp "
                "must be the id of the App whose private key is in KMS. To import the key again: "
                f"make github-app ({trouble.detail})"
            ) from trouble
        raise
