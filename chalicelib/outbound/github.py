"""GitHub's REST API: statuses of commits, deployments and their statuses."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from chalicelib import clock
from chalicelib.domain.github_messages import is_marked
from chalicelib.errors import Unavailable
from chalicelib.outbound.http import Answer, Refused, send
from chalicelib.settings import settings

# How GitHub answers for a repository that was moved or deleted, or that the token may not see.
_OF_ONE_REPOSITORY = {301, 307, 308, 404, 410, 451}
# Of the deployments of one commit to one environment, ours is among the newest hundred.
_PAGE = 100


class OneRepository(Unavailable):
    """GitHub does not do this for one repository. Others may work with the same token."""


class GitHub(msgspec.Struct, frozen=True):
    """GitHub's API for one repository, `owner/name`, with a token.

    If GitHub refuses the token (401), the request is repeated once with the one that `renew` gives.
    Each method raises Later, Rejected and Unavailable like `outbound.http.send`, and OneRepository.
    """

    token: str
    repository: str
    renew: Callable[[], str] | None = None

    def set_status(self, sha: str, body: dict[str, Any]) -> None:
        """Set the status of a commit. A repetition has the same effect."""
        self._call("POST", f"statuses/{sha}", body)

    def find_deployment(self, sha: str, environment: str, mark: dict[str, str]) -> int | None:
        """The number of the deployment with a mark, or None."""
        wanted = urlencode({"sha": sha, "environment": environment, "per_page": _PAGE})
        found = self._call("GET", f"deployments?{wanted}").body
        if not isinstance(found, list):
            raise Unavailable("GitHub's list of deployments is not a list")
        return next((int(each["id"]) for each in found if is_marked(each, mark)), None)

    def create_deployment(self, body: dict[str, Any]) -> int:
        """Create a deployment; return its number. A repetition creates another one."""
        made = self._call("POST", "deployments", body).body
        if not isinstance(made, dict) or not isinstance(made.get("id"), int):
            raise Unavailable("GitHub's answer names no deployment")
        return int(made["id"])

    def set_deployment_status(self, number: int, body: dict[str, Any]) -> None:
        """Set the status of a deployment. A repetition has the same effect."""
        self._call("POST", f"deployments/{number}/statuses", body)

    def look(self) -> None:
        """Read the repository, to see whether the token may."""
        self._call("GET", "")

    def _call(self, method: str, path: str, body: Any = None) -> Answer:
        try:
            return self._send(self.token, method, path, body)
        except Refused as refusal:
            if self.renew is None or refusal.status != HTTPStatus.UNAUTHORIZED:
                raise
        return self._send(self.renew(), method, path, body)

    def _send(self, token: str, method: str, path: str, body: Any) -> Answer:
        place = f"{settings().github_api}/repos/{quote(self.repository)}"
        try:
            return send(
                "GitHub",
                method,
                f"{place}/{path}" if path else place,
                headers={
                    "Accept": "application/vnd.github+json",
                    "Authorization": f"Bearer {token}",
                    "X-GitHub-Api-Version": "2022-11-28",
                },
                body=body,
                now=clock.now(),
            )
        except Refused as refusal:
            if refusal.status not in _OF_ONE_REPOSITORY:
                raise
            raise OneRepository(
                f"{refusal.detail}. Is {self.repository} still its name, and may the token write "
                "to it?"
            ) from refusal


def github_host() -> str:
    """The host of the repositories that the API knows.

    That of GitHub Enterprise Server is the API's own host.
    """
    host = urlsplit(settings().github_api).hostname or ""
    return "github.com" if host in {"api.github.com", "127.0.0.1"} else host
