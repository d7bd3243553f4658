"""What the GitHub on loopback knows: repositories, tokens, an app and its webhook deliveries.

Statuses and deployments are stored as the JSON that GitHub answers. Requests hold the lock of the
state, and so do the methods for tests, which may therefore run at any time.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from infra.local.github import shapes
from infra.local.github.refusals import not_found
from infra.local.github.shapes import Json
from infra.local.play.github import pull_request_event

NULL_SHA = "0" * 40
# GitHub's ids do not fit into 32 bits.
FIRST_ID = 4_442_074_271
# "Viewing webhook deliveries": deliveries of the past three days.
DELIVERIES_KEPT = 3 * 86_400

# What a token needs for commit statuses, deployments and branch heads.
PERMISSIONS: Mapping[str, str] = {
    "statuses": "write",
    "deployments": "write",
    "contents": "read",
    "checks": "read",
}


@dataclass
class Repository:
    full_name: str
    number: int
    private: bool
    default_branch: str
    made_at: float
    # Every known commit, with the commits before it.
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, "PullRequest"] = field(default_factory=dict)
    # The message and the changed files of a commit, if a push had any.
    messages: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # Changes of branches, oldest first.
    activities: list[Json] = field(default_factory=list)
    # Oldest first, by the commit's SHA or the deployment's id.
    statuses: dict[str, list[Json]] = field(default_factory=dict)
    check_runs: dict[str, list[Json]] = field(default_factory=dict)
    check_suites: dict[str, list[Json]] = field(default_factory=dict)
    deployments: dict[int, Json] = field(default_factory=dict)
    deployment_statuses: dict[int, list[Json]] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    def resolve(self, ref: str) -> str | None:
        """The SHA of a branch, with or without `heads/` or `refs/heads/`, or of a commit."""
        name = ref.removeprefix("refs/").removeprefix("heads/")
        return self.branches.get(name) or (ref if ref in self.parents else None)

    def contains(self, sha: str, wanted: str) -> bool:
        """Whether `wanted` is `sha` or a commit before it."""
        return wanted in self.before(sha)

    def before(self, sha: str) -> set[str]:
        """A commit and all commits before it."""
        seen: set[str] = set()
        waiting = [sha]
        while waiting:
            seen.add(each := waiting.pop())
            waiting += [parent for parent in self.parents.get(each, ()) if parent not in seen]
        return seen

    def contexts(self, sha: str) -> dict[str, Json]:
        """The newest status of each context. "This field is case-insensitive"."""
        return {each["context"].lower(): each for each in self.statuses.get(sha, [])}


@dataclass
class PullRequest:
    """A pull request from a branch of the same repository. `sha` is its head commit."""

    number: int
    title: str
    head: str
    base: str
    sha: str


@dataclass(frozen=True)
class Token:
    """A personal access token, an installation access token, or no token (no login)."""

    login: str
    # None: all.
    repositories: frozenset[str] | None
    permissions: Mapping[str, str]
    expires_at: float | None = None
    installation: int | None = None

    def sees(self, repository: Repository) -> bool:
        return not repository.private or self.selects(repository)

    def selects(self, repository: Repository) -> bool:
        return self.repositories is None or repository.full_name.lower() in self.repositories

    def may(self, repository: Repository, needed: str) -> bool:
        """`needed` is like `statuses=write`. Everybody reads public repositories."""
        name, _, level = needed.partition("=")
        if level == "read" and not repository.private:
            return True
        granted = {"metadata": "read", **self.permissions}.get(name)
        return self.selects(repository) and granted in ("write", level)


ANONYMOUS = Token(login="", repositories=frozenset(), permissions={})


@dataclass
class App:
    """`public_key` is PEM. Its private key signs the JWTs of the app."""

    public_key: str
    number: int
    client_id: str
    permissions: Mapping[str, str]


@dataclass
class Installation:
    """`repositories` is None if the app may access all repositories of the account."""

    number: int
    account: str
    repositories: frozenset[str] | None
    is_suspended: bool = False

    def includes(self, repository: Repository) -> bool:
        if self.repositories is None:
            return repository.owner.lower() == self.account.lower()
        return repository.full_name.lower() in self.repositories


class State:
    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self.url = url
        self.clock = clock
        self.lock = threading.RLock()
        self.repositories: dict[str, Repository] = {}
        self.tokens: dict[str, Token] = {}
        self.app: App | None = None
        self.installations: dict[int, Installation] = {}
        # Oldest first: the item that GitHub lists, and the payload.
        self.deliveries: list[tuple[Json, Json]] = []
        self._ids = itertools.count(FIRST_ID)

    def add_repository(
        self, full_name: str, *, private: bool = False, default_branch: str = "main"
    ) -> None:
        with self.lock:
            self.repositories[full_name.lower()] = Repository(
                full_name, next(self._ids), private, default_branch, self.clock()
            )

    def add_commit(self, full_name: str, sha: str, parent: str | None = None) -> None:
        """Make a commit known that no branch points to."""
        with self.lock:
            repository = self.repository(full_name)
            repository.parents.setdefault(sha, (parent,) if parent else ())

    def push(
        self,
        full_name: str,
        branch: str,
        sha: str,
        parent: str | None = None,
        *,
        message: str | None = None,
        files: Iterable[str] = (),
    ) -> None:
        """Move a branch. A new commit follows `parent`, the branch, or the default branch.

        `message` and `files` are those of the commit.
        """
        with self.lock:
            repository = self.repository(full_name)
            before = repository.branches.get(branch)
            heads = (before, repository.branches.get(repository.default_branch))
            self.add_commit(full_name, sha, parent or next(filter(None, heads), None))
            repository.files.setdefault(sha, tuple(files))
            if message is not None:
                repository.messages.setdefault(sha, message)
            repository.branches[branch] = sha
            kind = "branch_creation" if before is None else "push"
            if before is not None and not repository.contains(sha, before):
                kind = "force_push"
            self._note_activity(repository, branch, kind, before or NULL_SHA, sha)

    # Pull requests. Each method returns the payload of the event that GitHub delivers.

    def open_pull_request(
        self, full_name: str, head: str, *, base: str | None = None, title: str = "Say hello"
    ) -> Json:
        """Open a pull request from a branch to another one, by default to the default branch."""
        with self.lock:
            repository = self.repository(full_name)
            number = len(repository.pulls) + 1
            into, sha = base or repository.default_branch, repository.branches[head]
            pull = PullRequest(number, title, head, into, sha)
            repository.pulls[number] = pull
            return self._event(repository, pull, "opened")

    def update_pull_request(self, full_name: str, number: int) -> Json:
        """Take the commit that its branch has now, as GitHub does after a push to the branch."""
        with self.lock:
            repository = self.repository(full_name)
            pull = repository.pulls[number]
            before, pull.sha = pull.sha, repository.branches[pull.head]
            return self._event(repository, pull, "synchronize", before=before)

    def close_pull_request(self, full_name: str, number: int) -> Json:
        with self.lock:
            repository = self.repository(full_name)
            return self._event(repository, repository.pulls[number], "closed")

    def reopen_pull_request(self, full_name: str, number: int) -> Json:
        with self.lock:
            repository = self.repository(full_name)
            return self._event(repository, repository.pulls[number], "reopened")

    def _event(
        self, repository: Repository, pull: PullRequest, action: str, *, before: str | None = None
    ) -> Json:
        return pull_request_event(
            repository.full_name,
            pull.number,
            action=action,
            head=pull.head,
            base=pull.base,
            sha=pull.sha,
            at=int(self.clock()),
            before=before,
            title=pull.title,
        )

    def delete_branch(self, full_name: str, branch: str) -> None:
        with self.lock:
            repository = self.repository(full_name)
            before = repository.branches.pop(branch)
            self._note_activity(repository, branch, "branch_deletion", before, NULL_SHA)

    def _note_activity(
        self, repository: Repository, branch: str, kind: str, before: str, after: str
    ) -> None:
        number = next(self._ids)
        repository.activities.append(
            {
                "id": number,
                "node_id": f"PSH_{number}",
                "before": before,
                "after": after,
                "ref": f"refs/heads/{branch}",
                "timestamp": shapes.timestamp(self.clock()),
                "activity_type": kind,
                "actor": shapes.user(self.url, repository.owner),
            }
        )

    def add_token(
        self,
        token: str,
        repositories: Iterable[str] | None,
        permissions: Mapping[str, str] = PERMISSIONS,
        *,
        login: str = "octocat",
        expires_at: float | None = None,
    ) -> None:
        """A fine-grained personal access token. Permissions are like `{"statuses": "write"}`.

        None are all repositories.
        """
        names = None if repositories is None else frozenset(map(str.lower, repositories))
        with self.lock:
            self.tokens[token] = Token(login, names, permissions, expires_at)

    def revoke(self, token: str) -> None:
        with self.lock:
            del self.tokens[token]

    def add_check_run(
        self,
        full_name: str,
        sha: str,
        name: str,
        conclusion: str | None = "success",
        *,
        app: str | None = None,
        suite: int | None = None,
    ) -> None:
        """Add a check run, of the app with a name. One without a conclusion is in progress.

        Without a `suite` it is in the suite of the app's first run of the commit.
        """
        with self.lock:
            number, at = next(self._ids), self.clock()
            by = None if app is None else self._other_app(app)
            runs = self.repository(full_name).check_runs.setdefault(sha, [])
            suites = [run["check_suite"]["id"] for run in runs if run["app"] == by]
            run = shapes.check_run(
                self.url,
                full_name,
                sha,
                number=number,
                name=name,
                conclusion=conclusion,
                at=at,
                by=by,
                suite=suite or next(iter(suites), number),
            )
            runs.append(run)

    def add_check_suite(
        self,
        full_name: str,
        sha: str,
        status: str = "completed",
        conclusion: str | None = None,
        *,
        runs: int = 0,
        app: str = "GitHub Actions",
    ) -> int:
        """Add a suite of check runs, of which only the number is known; return its id."""
        with self.lock:
            number, repository = next(self._ids), self.repository(full_name)
            suite = shapes.check_suite(
                self.url,
                self.described(repository),
                sha,
                number=number,
                status=status,
                conclusion=conclusion,
                runs=runs,
                at=self.clock(),
                by=self._other_app(app),
            )
            repository.check_suites.setdefault(sha, []).append(suite)
            return number

    def end_check_suite(self, full_name: str, sha: str, number: int, conclusion: str) -> None:
        with self.lock:
            for suite in self.repository(full_name).check_suites[sha]:
                if suite["id"] == number:
                    suite |= {"status": "completed", "conclusion": conclusion}

    def _other_app(self, name: str) -> Json:
        number = int(shapes.hashed(name)[:6], 16)
        return shapes.app(
            self.url, number=number, client_id=f"Iv1.{number}", permissions={}, name=name
        )

    def register_app(
        self,
        public_key: str,
        permissions: Mapping[str, str],
        *,
        number: int = 1_234_567,
        client_id: str = "Iv23liSlipway",
    ) -> None:
        with self.lock:
            self.app = App(public_key, number, client_id, permissions)

    def install(self, account: str, repositories: Iterable[str] | None = None) -> int:
        """Install the app for some repositories of the account, or for all. Returns the id."""
        names = None if repositories is None else frozenset(name.lower() for name in repositories)
        with self.lock:
            number = next(self._ids)
            self.installations[number] = Installation(number, account, names)
            return number

    def uninstall(self, number: int) -> None:
        """The tokens of the installation end, too."""
        with self.lock:
            del self.installations[number]
            for name in [name for name, each in self.tokens.items() if each.installation == number]:
                del self.tokens[name]

    def suspend(self, number: int) -> None:
        """Suspend an installation: it exists, and gets no tokens."""
        with self.lock:
            self.installations[number].is_suspended = True

    def add_delivery(
        self,
        event: str,
        payload: Json,
        *,
        status_code: int,
        action: str | None = None,
        guid: str | None = None,
    ) -> int:
        """Record a delivery of the app's webhook. With a guid it is a redelivery."""
        with self.lock:
            number = next(self._ids)
            item = {
                "id": number,
                "guid": guid or f"{number:032x}",
                "delivered_at": shapes.timestamp(self.clock()),
                "redelivery": guid is not None,
                "duration": 0.1,
                "status": "OK" if status_code < 400 else "Invalid HTTP Response",
                "status_code": status_code,
                "event": event,
                "action": action,
                "installation_id": None,
                "repository_id": None,
                "throttled_at": None,
            }
            self.deliveries.append((item, payload))
            return number

    def statuses(self, full_name: str, sha: str) -> list[Json]:
        """The statuses of a commit, oldest first."""
        with self.lock:
            return list(self.repository(full_name).statuses.get(sha, []))

    def deployments(self, full_name: str) -> list[Json]:
        """The deployments, oldest first. Each has its statuses in `statuses`, oldest first."""
        with self.lock:
            found = self.repository(full_name)
            return [
                each | {"statuses": list(found.deployment_statuses[number])}
                for number, each in found.deployments.items()
            ]

    def forget(self) -> None:
        """Delete all statuses and deployments."""
        with self.lock:
            for repository in self.repositories.values():
                repository.statuses.clear()
                repository.deployments.clear()
                repository.deployment_statuses.clear()

    def repository(self, full_name: str) -> Repository:
        """Names are not case-sensitive."""
        if found := self.repositories.get(full_name.lower()):
            return found
        raise not_found()

    def token(self, secret: str) -> Token | None:
        found = self.tokens.get(secret)
        over = found and found.expires_at is not None and found.expires_at <= self.clock()
        return None if over else found

    def next_id(self) -> int:
        return next(self._ids)

    def described(self, repository: Repository) -> Json:
        return shapes.repository(
            self.url,
            repository.full_name,
            number=repository.number,
            branch=repository.default_branch,
            private=repository.private,
            made_at=repository.made_at,
        )

    def integration(self) -> Json:
        """The app, as GitHub describes it. Raises Refusal if there is none."""
        if self.app is None:
            raise not_found()
        return shapes.app(
            self.url,
            number=self.app.number,
            client_id=self.app.client_id,
            permissions=self.app.permissions,
        )

    def recent_deliveries(self) -> list[tuple[Json, Json]]:
        """The deliveries of the past three days, newest first."""
        oldest = shapes.timestamp(self.clock() - DELIVERIES_KEPT)
        return [each for each in reversed(self.deliveries) if each[0]["delivered_at"] > oldest]
