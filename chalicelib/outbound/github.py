"""GitHub's REST API: statuses of commits, their checks, deployments, heads of branches."""

import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from chalicelib import clock
from chalicelib.domain.changed_files import ChangedFiles
from chalicelib.domain.checks import Check, check_run, check_suite, commit_status
from chalicelib.domain.github_messages import is_marked
from chalicelib.domain.heads import Activity, files_between
from chalicelib.domain.payloads import seconds_of
from chalicelib.domain.refs import is_commit_sha
from chalicelib.errors import Unavailable
from chalicelib.outbound.http import Answer, Refused, send
from chalicelib.settings import settings

# How GitHub answers for a repository that was moved or deleted, or that the token may not see.
OF_ONE_REPOSITORY = {301, 307, 308, 404, 410, 451}
# Of the deployments of one commit to one environment, ours is among the newest hundred.
_PAGE = 100
# GitHub shows the check runs of the newest 1,000 suites of a commit ("List check runs for a Git
# reference").
_MOST_PAGES = 10
# A check run has up to 128 KiB of text for people.
_MOST_BYTES = 16 * 1024 * 1024
# Seconds for all pages: the function lives 30.
_LONGEST_READ = 15
_MOST_KNOWN = 100


class OneRepository(Unavailable):
    """GitHub does not do this for one repository. Others may work with the same token."""


class Head(msgspec.Struct, frozen=True):
    """The head of a branch, and the ETag by which GitHub knows this answer."""

    sha: str
    etag: str


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

    def checks(self, sha: str, *, with_suites: bool) -> list[Check]:
        """All check runs and statuses of a commit, with its check suites if they matter.

        The suites are read first: all runs of a suite that has ended then are among those that are
        read after it. An answer that GitHub gave before costs no request of its hourly limit
        ("Best practices for using the REST API", "Use conditional requests").
        """
        ends_at = time.monotonic() + _LONGEST_READ
        commit = f"commits/{sha}"
        found: list[Check] = []
        if with_suites:
            found += self._all(f"{commit}/check-suites", "check_suites", check_suite, ends_at)
        found += self._all(f"{commit}/check-runs", "check_runs", check_run, ends_at)
        found += self._all(f"{commit}/status", "statuses", commit_status, ends_at)
        return found

    def _all(
        self, path: str, field: str, read: Callable[[Any], Check | None], ends_at: float
    ) -> Iterator[Check]:
        """The values of all pages of a list."""
        seen = 0
        for page in range(1, _MOST_PAGES + 1):
            if time.monotonic() > ends_at:
                raise Unavailable("GitHub answers too slowly")
            known = self._page(f"{path}?per_page={_PAGE}&page={page}", field, read)
            yield from known.checks
            seen += known.count
            if seen >= known.total:
                return
            if not known.count:
                raise Unavailable("GitHub's list of checks changes while it is read")
        raise Unavailable(f"the commit has more than {_MOST_PAGES * _PAGE} checks")

    def _page(self, path: str, field: str, read: Callable[[Any], Check | None]) -> "_Page":
        key = (self.token, self.repository, path)
        known = _pages.pop(key, None)
        headers = _if_changed(known.etag if known else "")
        answer = self._call("GET", path, headers=headers, most_bytes=_MOST_BYTES)
        if answer.status != HTTPStatus.NOT_MODIFIED or known is None:
            try:
                values = answer.body[field]
                known = _Page(
                    etag=answer.etag or "",
                    total=int(answer.body["total_count"]),
                    count=len(values),
                    checks=tuple(filter(None, map(read, values))),
                )
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise Unavailable(f"GitHub's list of {field} has an unknown form") from error
        if known.etag:
            _pages[key] = known
        for oldest in list(_pages)[:-_MOST_KNOWN]:
            _pages.pop(oldest, None)
        return known

    def look(self) -> None:
        """Read the repository, to see whether the token may."""
        self._call("GET", "")

    def head_of(self, branch: str, known: Head | None) -> Head:
        """The head of a branch. If it is the `known` one, the request counts for no limit.

        GitHub Docs, "Get a reference" and "Best practices for using the REST API": conditional
        requests.
        """
        answer = self._call(
            "GET",
            f"git/ref/heads/{quote(branch)}",
            headers=_if_changed(known.etag if known else ""),
        )
        if known is not None and answer.status == HTTPStatus.NOT_MODIFIED:
            return known
        named = answer.body.get("object") if isinstance(answer.body, dict) else None
        sha = named.get("sha") if isinstance(named, dict) else None
        if not isinstance(sha, str) or not is_commit_sha(sha):
            raise Unavailable("GitHub's answer names no head")
        return Head(sha.lower(), answer.etag)

    def last_activity(self, branch: str) -> Activity | None:
        """The last change of a branch ("List repository activities"), or None."""
        wanted = urlencode({"ref": f"refs/heads/{branch}", "per_page": 1})
        found = self._call("GET", f"activity?{wanted}").body
        if not isinstance(found, list):
            raise Unavailable("GitHub's list of activities is not a list")
        return _activity(found[0]) if found else None

    def commit(self, sha: str) -> tuple[str, str]:
        """The message and the author of a commit ("Get a commit object")."""
        found = self._call("GET", f"git/commits/{sha}").body
        author = found.get("author") if isinstance(found, dict) else None
        if not isinstance(author, dict):
            raise Unavailable("GitHub's answer is no commit")
        return str(found.get("message") or ""), str(author.get("name") or "")

    def changed_files(self, base: str, head: str) -> ChangedFiles:
        """The files that differ between two commits ("Compare two commits")."""
        # Files are on the first page, whatever its size. One commit keeps the answer short.
        return files_between(self._call("GET", f"compare/{base}...{head}?per_page=1").body)

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **limits: int,
    ) -> Answer:
        try:
            return self._send(self.token, method, path, body, headers, **limits)
        except Refused as refusal:
            if self.renew is None or refusal.status != HTTPStatus.UNAUTHORIZED:
                raise
        return self._send(self.renew(), method, path, body, headers, **limits)

    def _send(
        self,
        token: str,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str] | None,
        **limits: int,
    ) -> Answer:
        place = f"repos/{quote(self.repository)}"
        whole = f"{place}/{path}" if path else place
        try:
            return call_github(token, method, whole, body, headers, **limits)
        except Refused as refusal:
            if refusal.status not in OF_ONE_REPOSITORY:
                raise
            raise OneRepository(
                f"{refusal.detail}. Is {self.repository} still its name, and may the token write "
                "to it?"
            ) from refusal


def call_github(
    token: str,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    **limits: int,
) -> Answer:
    """Make a request of GitHub's API with a token, or with a JWT of the GitHub App.

    Raises Later, Rejected and Unavailable like `outbound.http.send`, which has the `limits`.
    """
    return send(
        "GitHub",
        method,
        f"{settings().github_api}/{path}",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
            **(headers or {}),
        },
        body=body,
        now=clock.now(),
        **limits,
    )


def _if_changed(etag: str) -> dict[str, str]:
    return {"If-None-Match": etag} if etag else {}


def _activity(found: Any) -> Activity:
    fields = found if isinstance(found, dict) else {}
    before, after, time = (str(fields.get(name)) for name in ("before", "after", "timestamp"))
    at, actor = seconds_of(time), fields.get("actor")
    if not is_commit_sha(before) or not is_commit_sha(after) or at is None:
        raise Unavailable("GitHub's list of activities has an entry that is no change of a branch")
    login = actor.get("login") if isinstance(actor, dict) else None
    return Activity(before.lower(), after.lower(), at, str(login or ""))


class _Page(msgspec.Struct, frozen=True):
    """A page of a list, as GitHub gave it with this ETag. The list has `total` values."""

    etag: str
    total: int
    count: int
    checks: tuple[Check, ...]


# By token and path: an ETag is valid for one token.
_pages: dict[tuple[str, str, str], _Page] = {}


def github_host() -> str:
    """The host of the repositories that the API knows.

    That of GitHub Enterprise Server is the API's own host.
    """
    host = urlsplit(settings().github_api).hostname or ""
    return "github.com" if host in {"api.github.com", "127.0.0.1"} else host
