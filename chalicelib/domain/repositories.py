"""Git repositories: the only kind of URL a build may fetch from."""

import re
from dataclasses import dataclass

from chalicelib.errors import InvalidInput

_MAX_LENGTH = 300
_URL = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]+)"
    r"/(?P<owner>[A-Za-z0-9][A-Za-z0-9_.-]*)"
    r"/(?P<name>[A-Za-z0-9_.-]+?)(?:\.git)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Repository:
    """One repository on one git host."""

    host: str
    owner: str
    name: str

    @property
    def url(self) -> str:
        """What git fetches; hosts compare without case, paths keep theirs."""
        return f"https://{self.host.lower()}/{self.owner}/{self.name}.git"

    @property
    def key(self) -> str:
        """What pushes are matched by: GitHub tells repositories apart without regard to case."""
        return f"{self.host}/{self.owner}/{self.name}".lower()


def parse_git_url(value: object, *, hosts: frozenset[str], field: str = "git_url") -> Repository:
    """Read `https://<host>/<owner>/<name>[.git]` of an allowed host, and nothing else.

    An allow-list of characters leaves no room for what git or another parser might understand
    differently: no other scheme, user, port, query, fragment, escape or dot segment. The value is
    not repeated in the error, for it may hold a password. Raises InvalidInput (invalid_git_url).
    """
    match = _URL.fullmatch(value) if isinstance(value, str) and len(value) <= _MAX_LENGTH else None
    if match is None or not _is_name(match["name"]):
        raise _refuse("a repository is named as https://github.com/owner/name.git", field)
    host = match["host"].lower()
    if host not in hosts:
        allowed = ", ".join(sorted(hosts))
        raise _refuse(
            f"repositories of {host} cannot be built here, only those of {allowed}", field
        )
    return Repository(host, match["owner"], match["name"])


def _is_name(name: str) -> bool:
    # GitHub takes no name that ends in .git; one left over here would be ambiguous.
    return name not in {".", ".."} and not name.lower().endswith(".git")


def _refuse(detail: str, field: str) -> InvalidInput:
    return InvalidInput(detail, code="invalid_git_url", field=field)
