"""Receivers of channels in the process of the test: no request leaves it.

They take the place of the connections of urllib3, so the product's own code makes each request and
reads each answer. So a fork has its own, and the injector makes each request fail.
"""

import json
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from msgspec import structs
from urllib3 import HTTPConnectionPool, HTTPResponse

from chalicelib import clock
from chalicelib.domain.telling import Event
from chalicelib.outbound import hooks
from chalicelib.outbound.guard import Place
from chalicelib.pipeline import fetch_tokens, github_app, redeliveries
from chalicelib.pipeline.commands import channels
from chalicelib.settings import settings
from infra.local.github.shapes import timestamp
from tests.faults.rows import builds, deployments, rows, services
from tests.support.embedded import REPOSITORY, Cloud, keep_secret
from tests.support.github.app import APP, create_key

BY_APP = "github by the app"
SECRET = "slipway/tell/all/it"
SECRETS = {
    "github": "ghp_" + "t" * 36,
    "webhook": "https://receiver.example/ whsec_" + "a2tr" * 11,
}
# The conclusions with which a check has passed.
PASSED = {"success", "neutral", "skipped"}
_HOOK = "/hook"
_OF_BUILDS = {
    "queued": "pending",
    "building": "pending",
    "success": "success",
    "failed": "failure",
    "cancelled": "error",
    "superseded": "error",
}
_OF_DEPLOYMENTS = {
    "queued": "queued",
    "deploying": "in_progress",
    "success": "success",
    "failed": "failure",
    "cancelled": "error",
    "superseded": "inactive",
    "rolled_back": "inactive",
}
# The states in their order, those of GitHub and those of messages. A deployment is `inactive` last.
_FIRST, _SECOND, _LAST = {"queued"}, {"building", "deploying", "in_progress"}, {"rolled_back"}
_STATUSES = re.compile(r"^/repos/[^/]+/[^/]+/(?:statuses|deployments)/([^/]+)(?:/statuses)?$")


class Receivers:
    """GitHub with its deployments and a branch, and a webhook. `failures` requests fail first.

    Each commit has one check, "test", with a `conclusion`, or its own in `conclusions`. Without one
    it runs.
    """

    def __init__(self) -> None:
        # The bodies that created a deployment, each with its number.
        self.deployments: list[dict[str, Any]] = []
        # What was set for a commit and a context, or for a deployment, the earliest first.
        self.statuses: dict[str, list[str]] = {}
        # What the webhook got: the id and the body, the earliest first.
        self.messages: list[tuple[str, dict[str, Any]]] = []
        # The pushes to the branch as GitHub's list of activities has them, the earliest first.
        self.pushes: list[dict[str, Any]] = []
        # The attempts of GitHub to deliver events to the App's webhook, the earliest first.
        self.deliveries: list[dict[str, Any]] = []
        self.failures = 0
        self.conclusion: str | None = "success"
        self.conclusions: dict[str, str | None] = {}
        # Seconds after which a failing receiver asks to be told again.
        self.retry_after: int | None = None

    def push(self, commit: str, *, before: str, at: int) -> None:
        """Somebody pushes to the branch."""
        self.pushes.append(
            {"before": before, "after": commit, "timestamp": timestamp(at), "actor": {"login": "a"}}
        )

    def deliver(self, guid: str, status: int, *, at: int) -> None:
        """GitHub makes an attempt to deliver a push."""
        attempt = {
            "id": len(self.deliveries) + 1,
            "guid": guid,
            "event": "push",
            "delivered_at": timestamp(at),
            "status_code": status,
            "redelivery": guid in {each["guid"] for each in self.deliveries},
        }
        self.deliveries.append(attempt)

    def undelivered(self) -> set[str]:
        """The ids of the events of which no attempt has succeeded."""
        succeeded = {each["guid"] for each in self.deliveries if each["status_code"] < 400}
        return {each["guid"] for each in self.deliveries} - succeeded

    def has_unknown_head(self) -> bool:
        """Whether Slipway does not know the head of the branch yet."""
        if not self.pushes:
            return False
        known = rows("claims")[f"repository:github.com/{REPOSITORY.lower()}"].get("heads", "")
        return self.pushes[-1]["after"] not in known

    def respond(self, _conn: Any, method: str, url: str, **request: Any) -> HTTPResponse:
        """Takes the place of `HTTPConnectionPool._make_request`."""
        if self.failures:
            self.failures -= 1
            headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            return answer_of(503, headers)
        body = json.loads(request["body"]) if request.get("body") else {}
        path = urlsplit(url).path
        if path == _HOOK:
            self.messages.append((request["headers"]["webhook-id"], body))
            return _answer(200)
        if path.startswith("/app/") or path.endswith("/installation"):
            return self._of_app(method, path)
        if method == "GET" and (found := self._of_branch(path)) is not None:
            return found
        if "/commits/" in path:
            return _answer(200, self._checks(path))
        if method == "GET":
            (wanted,) = parse_qs(urlsplit(url).query).get("sha", [""])
            return _answer(200, [each for each in self.deployments if each["ref"] == wanted])
        if path.endswith("/deployments"):
            self.deployments.append({**body, "id": len(self.deployments) + 1})
            return _answer(201, self.deployments[-1])
        if named := _STATUSES.match(path):
            name = " ".join(filter(None, (named[1], body.get("context"))))
            self.statuses.setdefault(name, []).append(body["state"])
            return _answer(201)
        return _answer(404)

    def _of_app(self, method: str, path: str) -> HTTPResponse:
        """The answer to a request with a JWT of the App."""
        if path.endswith("/installation"):
            return _answer(200, {"id": 1})
        if path.endswith("/access_tokens"):
            return _answer(201, {"token": SECRETS["github"]})
        if method == "GET":
            return _answer(200, self.deliveries[::-1])
        repeated = self.deliveries[int(path.split("/")[-2]) - 1]
        self.deliver(repeated["guid"], 200, at=clock.now())
        return _answer(202)

    def _of_branch(self, path: str) -> HTTPResponse | None:
        """The answer to a question about the branch; None for any other one."""
        if "/git/ref/heads/" in path:
            sha = self.pushes[-1]["after"] if self.pushes else None
            return _answer(200, {"object": {"sha": sha}}) if sha else _answer(404)
        if path.endswith("/activity"):
            return _answer(200, self.pushes[-1:])
        if "/git/commits/" in path:
            return _answer(200, {"message": "Found", "author": {"name": "a"}})
        if "/compare/" in path:
            return _answer(200, {"status": "ahead", "files": [{"filename": "a"}]})
        return None

    def _checks(self, path: str) -> dict[str, Any]:
        sha = path.split("/")[-2]
        conclusion = self.conclusions.get(sha, self.conclusion)
        status = "completed" if conclusion else "in_progress"
        run = {"id": 1, "name": "test", "conclusion": conclusion, "status": status}
        if path.endswith("/check-runs"):
            return {"total_count": 1, "check_runs": [run]}
        return {"total_count": 0, "statuses": [], "check_suites": []}

    def problems(self) -> list[str]:
        """What the receivers know that is not so, after all tellings."""
        found = [*self._wrong_statuses(), *self._wrong_deployments(), *self._wrong_messages()]
        orders = [*self.statuses.items(), *self._told().items()]
        found += [f"{name} went back: {states}" for name, states in orders if _goes_back(states)]
        return found

    def _wrong_statuses(self) -> Iterator[str]:
        """Each commit has the status of its newest build, for each service."""
        names = {row["id"]: row["settings"]["name"] for row in services().values()}
        newest = {
            (row["commit_sha"], names[row["service_id"]], "pull_request" in row): row["status"]
            for _, row in sorted(builds().items())
            if "commit_sha" in row
        }
        for name, states in self.statuses.items():
            commit, _, context = name.partition(" ")
            if not context:
                continue
            _, _, service, *pull = context.split("/")
            status = newest[commit, service, bool(pull)]
            if states[-1] != _OF_BUILDS[status]:
                yield f"{name} is {status}, and {states[-1]} was set last"

    def _wrong_deployments(self) -> Iterator[str]:
        """Each deployment is there once, in its state. A release that was replaced is inactive."""
        marks = [each["payload"]["job_id"] for each in self.deployments]
        yield from (f"{mark} is there twice" for mark in {*marks} if marks.count(mark) > 1)
        rows_now = {row["id"]: row for row in deployments().values()}
        for each in self.deployments:
            row = rows_now[each["payload"]["job_id"]]
            runs = services()[row["service_id"]].get("current") == row["number"]
            replaced = row["status"] == "success" and not runs
            wanted = "inactive" if replaced else _OF_DEPLOYMENTS[row["status"]]
            (*_, last) = self.statuses.get(str(each["id"]), ["none"])
            if last != wanted:
                yield f"{row['id']} is {wanted}, and {last} was set last"

    def _wrong_messages(self) -> Iterator[str]:
        """The last message about a job has its status, and messages with one id say the same."""
        for name, states in self._told().items():
            if (now := rows("jobs").get(name, {}).get("status", states[-1])) != states[-1]:
                yield f"{name} is {now}, and {states[-1]} was told last"
        said: dict[str, Any] = {}
        for message_id, body in self.messages:
            if said.setdefault(message_id, body["data"]) != body["data"]:
                yield f"{message_id} says two things"

    def _told(self) -> dict[str, list[Any]]:
        """What the webhook was told of each row, the earliest first, without tests of it."""
        told: dict[str, list[Any]] = {}
        for _, body in self.messages:
            if body["type"] == "channel.tested":
                continue
            told.setdefault(_subject(body), []).append(_state(body))
        return told

    def known(self) -> dict[str, Any]:
        """What the receivers know in the end, without what they were told before.

        A fault may leave gaps in the numbers of deployments, so they are numbered anew.
        """
        order = {row["id"]: place for place, (_, row) in enumerate(sorted(deployments().items()))}
        last = {name: states[-1] for name, states in self.statuses.items()}
        shown = sorted(
            (order[each["payload"]["job_id"]], last.pop(str(each["id"]), None))
            for each in self.deployments
        )
        told = {name: states[-1] for name, states in self._told().items()}
        return {
            "statuses": last,
            "deployments": shown,
            "told": told,
            "undelivered": sorted(self.undelivered()),
        }


def _goes_back(states: list[Any]) -> bool:
    """Whether an earlier state of a job was told after a later one.

    `pending` is that of every open build of a commit, so it may also follow an end.
    """
    ranks = [
        0 if each in _FIRST else 1 if each in _SECOND else 3 if each in _LAST else 2
        for each in states
        if isinstance(each, str) and each != "pending"
    ]
    return ranks != sorted(ranks)


def _answer(status: int, body: Any = None) -> HTTPResponse:
    return answer_of(status, {}, json.dumps(body if body is not None else {}).encode())


def answer_of(status: int, headers: dict[str, str], content: bytes = b"{}") -> HTTPResponse:
    """An answer as urllib3 gives it before its body was read."""
    return HTTPResponse(BytesIO(content), headers, status, preload_content=False)


def _subject(body: dict[str, Any]) -> str:
    data = body["data"]
    return data.get("job_id") or f"service-{data['service_id']}"


def _state(body: dict[str, Any]) -> Any:
    data = body["data"]
    return data.get("status") or [data.get("begun"), data.get("over")]


# Those of the test that runs.
current = Receivers()


def _connect(cloud: Cloud) -> Receivers:
    receivers = Receivers()
    cloud.monkeypatch.setattr(f"{__name__}.current", receivers)
    cloud.monkeypatch.setattr(HTTPConnectionPool, "_make_request", receivers.respond)
    cloud.monkeypatch.setattr(hooks, "place_of", lambda *_, **__: _PLACE)
    return receivers


def add_app(cloud: Cloud) -> Receivers:
    """Let the installation have the GitHub App, also for fetches; this process answers."""
    create_key()
    with_app = structs.replace(settings(), github_app=APP)
    for module in (channels, github_app, fetch_tokens, redeliveries):
        cloud.monkeypatch.setattr(module, "settings", lambda: with_app)
    return _connect(cloud)


def add_receiver(cloud: Cloud, kind: str) -> Receivers:
    """Create a channel to GitHub, or to a webhook that is told everything; this process answers.

    BY_APP is a channel to GitHub without a token.
    """
    receivers = add_app(cloud) if kind == BY_APP else _connect(cloud)
    body: dict[str, Any] = {"kind": kind, "name": kind}
    if kind == "webhook":
        body["events"] = [str(each) for each in Event]
    if kind == BY_APP:
        body["kind"] = "github"
    else:
        body["secret"] = keep_secret(SECRETS[kind], SECRET)
    answer = cloud.api.post("/v1/channels", body)
    assert answer.status == 201, answer.text
    return receivers


# Nobody connects to it.
_PLACE = Place("http", "127.0.0.1", "127.0.0.1", 1, _HOOK)
