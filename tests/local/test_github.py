"""The GitHub on loopback does what GitHub does.

A docstring names the page of docs.github.com/rest, or the project to which others reported what is
not documented. Every exchange is compared with GitHub's OpenAPI description.
"""

import base64
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from infra.local.github.refusals import DOCS
from infra.local.github.routes import ROUTES
from infra.local.github.server import MAX_BODY, GitHub
from tests.support.github import cut
from tests.support.github.validation import validated

REPO = "/repos/acme/app"
FIRST, SECOND, OTHER = "1" * 40, "2" * 40, "3" * 40
NOW = 1_800_000_000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_KEY = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
APP_ID = 1_234_567
WRITES = {"statuses": "write", "deployments": "write", "contents": "read"}


class Clock:
    def __init__(self) -> None:
        self.now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        return str(self.json["message"])


@dataclass
class Client:
    github: GitHub
    token: str | None = "pat"
    headers: dict[str, str] = field(default_factory=lambda: {"User-Agent": "slipway"})

    def __call__(self, request: str, body: Any = None, **headers: str) -> Reply:
        """`body` is a value for JSON, or text or bytes as they are."""
        method, _, path = request.partition(" ")
        connection = http.client.HTTPConnection(self.github.url.removeprefix("http://"), timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        signed = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        content = body if isinstance(body, str | bytes | None) else json.dumps(body)
        try:
            connection.request(method, path, content, signed | self.headers | named)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def as_(self, token: str | None) -> "Client":
        return Client(self.github, token)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def unchecked(clock: Clock) -> Iterator[GitHub]:
    """A public repository with two commits on main, and a token that may write to it."""
    github = GitHub(clock=clock)
    github.add_repository("acme/app")
    github.push("acme/app", "main", FIRST)
    github.push("acme/app", "main", SECOND)
    github.add_token("pat", ["acme/app"], WRITES)
    github.start()
    yield github
    github.stop()


@pytest.fixture
def github(unchecked: GitHub) -> Iterator[GitHub]:
    """The same, with all exchanges compared with GitHub's description."""
    yield unchecked
    done = validated(unchecked)
    assert done.requests + done.answers > 0 or not unchecked.requests()


@pytest.fixture
def call(github: GitHub) -> Client:
    return Client(github)


# Commit statuses


def test_a_commit_has_its_statuses_newest_first(call: Client) -> None:
    """commits/statuses, "Create a commit status" and "List commit statuses for a reference"."""
    body = {"state": "pending", "context": "ci", "target_url": "https://x.y/1", "description": "Hi"}
    created = call(f"POST {REPO}/statuses/{SECOND}", body)
    assert (created.status, created.headers["Location"]) == (201, created.json["url"])
    assert body.items() <= created.json.items()
    assert created.json["creator"]["login"] == "octocat"
    assert call(f"POST {REPO}/statuses/{SECOND}", {"state": "error"}).json["context"] == "default"
    for ref in (SECOND, "main", "heads/main"):
        listed = call(f"GET {REPO}/commits/{ref}/statuses").json
        assert [each["context"] for each in listed] == ["default", "ci"]
    assert call(f"GET {REPO}/commits/{FIRST}/statuses").json == []
    assert call(f"GET {REPO}/commits/none/statuses").status == 404


@pytest.mark.parametrize(
    ("states", "combined"),
    [
        ([], "pending"),
        (["success", "success"], "success"),
        (["success", "pending"], "pending"),
        (["pending", "failure"], "failure"),
        (["success", "error"], "failure"),
    ],
)
def test_statuses_are_combined(call: Client, states: list[str], combined: str) -> None:
    """commits/statuses, "Get the combined status for a specific reference"."""
    for number, state in enumerate(states):
        call(f"POST {REPO}/statuses/{SECOND}", {"state": state, "context": f"ci-{number}"})
    found = call(f"GET {REPO}/commits/main/status").json
    assert (found["state"], found["total_count"], found["sha"]) == (combined, len(states), SECOND)


def test_the_newest_status_of_a_context_counts(call: Client) -> None:
    """commits/statuses, "Create a commit status": "This field is case-insensitive"."""
    call(f"POST {REPO}/statuses/{SECOND}", {"state": "failure", "context": "CI"})
    call(f"POST {REPO}/statuses/{SECOND}", {"state": "success", "context": "ci"})
    found = call(f"GET {REPO}/commits/main/status").json
    assert (found["state"], found["total_count"]) == ("success", 1)
    assert call(f"GET {REPO}/commits/none/status").status == 404


@pytest.mark.parametrize(
    ("sha", "body", "name", "message"),
    [
        (OTHER, {"state": "success"}, None, f"No commit found for SHA: {OTHER}"),
        ("main", {"state": "success"}, "sha", "sha must be a 40 character SHA1"),
        (FIRST, {"state": "done"}, "state", "state is not included in the list"),
        (FIRST, {}, None, 'Invalid request.\n\n"state" wasn\'t supplied.'),
        (
            FIRST,
            {"state": "success", "description": "x" * 141},
            "description",
            "description is too long (maximum is 140 characters)",
        ),
        (
            FIRST,
            {"state": "success", "description": "\N{SHIP}\N{BUG}"},
            "description",
            "description doesn't accept 4-byte Unicode",
        ),
        (
            FIRST,
            {"state": "success", "target_url": "ftp://x"},
            "target_url",
            "target_url must use http(s) scheme",
        ),
        (
            FIRST,
            {"state": "success", "context": 1},
            None,
            "Invalid request.\n\nFor 'properties/context', 1 has a wrong type.",
        ),
    ],
)
def test_a_wrong_status_is_refused(
    github: GitHub, call: Client, sha: str, body: Any, name: str | None, message: str
) -> None:
    """Messages: rust-lang/homu, activebridge/projectr, DamageLabs/clahub, zalando/zappr,
    ouzi-dev/commit-status-updater, jenkinsci/ghprb-plugin.
    """
    refused = call(f"POST {REPO}/statuses/{sha}", body)
    assert refused.status == 422
    assert refused.json["documentation_url"] == f"{DOCS}/commits/statuses#create-a-commit-status"
    if name is None:
        assert refused.message == message
    else:
        error = {"resource": "Status", "code": "custom", "field": name, "message": message}
        assert (refused.message, refused.json["errors"]) == ("Validation Failed", [error])
    assert github.statuses("acme/app", FIRST) == []


def test_a_description_of_140_characters_is_kept(call: Client) -> None:
    body = {"state": "success", "description": "é" * 140, "target_url": None}
    assert call(f"POST {REPO}/statuses/{FIRST}", body).json["description"] == "é" * 140


def test_a_context_has_at_most_1000_statuses(github: GitHub, call: Client) -> None:
    """commits/statuses, "Create a commit status": "more than 1000 statuses will result in a
    validation error". Message: openshift/release.
    """
    first = call(f"POST {REPO}/statuses/{FIRST}", {"state": "pending"}).json
    github.repository("acme/app").statuses[FIRST] = [first] * 1000
    refused = call(f"POST {REPO}/statuses/{FIRST}", {"state": "success", "context": "Default"})
    assert (refused.status, refused.json["errors"][0]["message"]) == (
        422,
        "This SHA and context has reached the maximum number of statuses.",
    )
    body = {"state": "success", "context": "other"}
    assert call(f"POST {REPO}/statuses/{FIRST}", body).status == 201


def test_a_list_has_pages_that_the_link_header_connects(call: Client) -> None:
    """using-the-rest-api, "Using pagination in the REST API"."""
    for number in range(7):
        call(f"POST {REPO}/statuses/{FIRST}", {"state": "pending", "context": str(number)})
    page = call(f"GET {REPO}/commits/{FIRST}/statuses?per_page=3")
    links = [page.headers["Link"]]
    seen = [each["context"] for each in page.json]
    while following := re.search(r'<([^>]+)>; rel="next"', links[-1]):
        page = call("GET " + following[1].removeprefix(call.github.url))
        links.append(page.headers["Link"])
        seen += [each["context"] for each in page.json]
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    assert [re.findall(r'rel="(\w+)"', each) for each in links] == [
        ["next", "last"],
        ["prev", "first", "next", "last"],
        ["prev", "first"],
    ]
    assert "Link" not in call(f"GET {REPO}/commits/{FIRST}/statuses").headers
    assert call(f"GET {REPO}/commits/{FIRST}/statuses?page=9").json == []


def test_a_page_has_30_rows_and_at_most_100(github: GitHub, call: Client) -> None:
    """using-the-rest-api, "Using pagination in the REST API"."""
    first = call(f"POST {REPO}/statuses/{FIRST}", {"state": "pending"}).json
    github.repository("acme/app").statuses[FIRST] = [first] * 150
    for query, rows in {"": 30, "?per_page=200": 100, "?per_page=0": 30}.items():
        assert len(call(f"GET {REPO}/commits/{FIRST}/statuses{query}").json) == rows


def test_check_runs_of_a_commit_are_listed(github: GitHub, call: Client) -> None:
    """checks/runs, "List check runs for a Git reference": the most recent ones by default."""
    github.add_check_run("acme/app", SECOND, "lint", "failure")
    github.add_check_run("acme/app", SECOND, "lint")
    github.add_check_run("acme/app", SECOND, "test", None)
    found = call(f"GET {REPO}/commits/main/check-runs").json
    runs = [(each["name"], each["status"], each["conclusion"]) for each in found["check_runs"]]
    assert runs == [("test", "in_progress", None), ("lint", "completed", "success")]
    path = f"{REPO}/commits/main/check-runs?check_name=lint&filter=all"
    assert call(f"GET {path}").json["total_count"] == 2
    missing = call(f"GET {REPO}/commits/none/check-runs")
    assert (missing.status, missing.message) == (422, "No commit found for SHA: none")


# Deployments


def deploy(call: Client, **body: Any) -> int:
    created = call(f"POST {REPO}/deployments", {"ref": "main", "required_contexts": [], **body})
    assert created.status == 201, created.text
    return int(created.json["id"])


def report(call: Client, deployment: int, **body: Any) -> Reply:
    return call(f"POST {REPO}/deployments/{deployment}/statuses", body)


def states(github: GitHub, deployment: int) -> list[str]:
    found = {each["id"]: each["statuses"] for each in github.deployments("acme/app")}
    return [each["state"] for each in found[deployment]]


def test_a_deployment_has_defaults(call: Client) -> None:
    """deployments/deployments, "Create a deployment"."""
    created = call(f"POST {REPO}/deployments", {"ref": "main"})
    assert created.status == 201
    assert {
        "sha": SECOND,
        "ref": "main",
        "task": "deploy",
        "environment": "production",
        "production_environment": True,
        "transient_environment": False,
        "payload": {},
        "description": None,
    }.items() <= created.json.items()
    assert call(f"GET {REPO}/deployments/{created.json['id']}").json == created.json
    assert call(f"GET {REPO}/deployments/1").status == 404
    assert created.json["id"] > 2**32


def test_a_payload_of_json_text_comes_back_as_an_object(call: Client) -> None:
    """deployments/deployments, "Create a deployment", the example."""
    for payload, kept in [
        ({"job": "deploy-1"}, {"job": "deploy-1"}),
        ('{"deploy": "migrate"}', {"deploy": "migrate"}),
        ("deploy-1", "deploy-1"),
        ("[1]", "[1]"),
    ]:
        number = deploy(call, payload=payload)
        assert call(f"GET {REPO}/deployments/{number}").json["payload"] == kept


def test_deployments_are_listed_newest_first_and_filtered(github: GitHub, call: Client) -> None:
    """deployments/deployments, "List deployments"."""
    first = deploy(call, environment="staging", task="deploy:migrations")
    second = deploy(call, environment="shop/web", ref=FIRST, auto_merge=False)
    third = deploy(call)
    for query, expected in {
        "": [third, second, first],
        "?environment=staging": [first],
        "?environment=shop%2Fweb": [second],
        f"?sha={SECOND}": [third, first],
        f"?ref={FIRST}": [second],
        "?task=deploy:migrations&environment=staging": [first],
        "?per_page=1&page=2": [second],
        "?environment=none": [],
    }.items():
        assert [each["id"] for each in call(f"GET {REPO}/deployments{query}").json] == expected
    assert [each["id"] for each in github.deployments("acme/app")] == [first, second, third]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"ref": "none"}, "No ref found for: none"),
        ({"ref": OTHER}, f"No ref found for: {OTHER}"),
        ({}, 'Invalid request.\n\n"ref" wasn\'t supplied.'),
        (
            {"ref": "main", "auto_merge": "no"},
            "Invalid request.\n\nFor 'properties/auto_merge', 'no' has a wrong type.",
        ),
    ],
)
def test_a_wrong_deployment_is_refused(
    github: GitHub, call: Client, body: Any, message: str
) -> None:
    """deployments/deployments, "Create a deployment": 422."""
    refused = call(f"POST {REPO}/deployments", body)
    assert (refused.status, refused.message) == (422, message)
    assert github.deployments("acme/app") == []


def test_a_deployment_needs_the_success_of_its_contexts(github: GitHub, call: Client) -> None:
    """deployments/deployments, "Create a deployment": "Failed commit status checks". Check runs
    count: drevops/vortex.
    """
    call(f"POST {REPO}/statuses/{SECOND}", {"state": "success", "context": "ci"})
    deploy(call, required_contexts=["ci"])
    github.add_check_run("acme/app", SECOND, "lint", None)
    for body in ({"ref": "main"}, {"ref": "main", "required_contexts": ["ci", "lint"]}):
        refused = call(f"POST {REPO}/deployments", body)
        assert refused.status == 409
        assert refused.message == "Conflict: Commit status checks failed for main."
        assert refused.json["errors"][0]["contexts"] == [
            {"context": "ci", "state": "success"},
            {"context": "lint", "state": "pending"},
        ]
    assert call(f"POST {REPO}/deployments", {"ref": "main", "required_contexts": []}).status == 201
    missing = {"ref": "main", "required_contexts": ["never"]}
    assert call(f"POST {REPO}/deployments", missing).status == 409


def test_a_branch_that_is_behind_is_merged_instead_of_deployed(
    github: GitHub, call: Client
) -> None:
    """deployments/deployments, "Create a deployment": "Merged branch response"."""
    github.push("acme/app", "topic", OTHER, parent=FIRST)
    merged = call(f"POST {REPO}/deployments", {"ref": "topic"})
    assert (merged.status, merged.json) == (
        202,
        {"message": "Auto-merged main into topic on deployment."},
    )
    head = call(f"GET {REPO}/branches/topic").json["commit"]
    assert [each["sha"] for each in head["parents"]] == [OTHER, SECOND]
    created = call(f"POST {REPO}/deployments", {"ref": "topic"})
    assert (created.status, created.json["sha"]) == (201, head["sha"])


def test_an_older_commit_cannot_be_merged(call: Client) -> None:
    """deployments/deployments, "Merge conflict response". Message: simplytestme/website."""
    refused = call(f"POST {REPO}/deployments", {"ref": FIRST})
    assert (refused.status, refused.message) == (409, f"Conflict merging main into {FIRST}.")
    assert call(f"POST {REPO}/deployments", {"ref": FIRST, "auto_merge": False}).status == 201


def test_a_deployment_has_its_statuses_newest_first(call: Client) -> None:
    """deployments/statuses, "Create a deployment status" and "List deployment statuses"."""
    number = deploy(call, environment="staging")
    for state in ("queued", "pending", "in_progress", "failure", "error", "inactive"):
        assert report(call, number, state=state).json["state"] == state
    found = report(
        call,
        number,
        state="success",
        log_url="https://ci.example.com/1",
        environment_url="https://example.com",
        description="Done",
    )
    assert (found.status, found.headers["Location"]) == (201, found.json["url"])
    assert {
        "target_url": "https://ci.example.com/1",
        "log_url": "https://ci.example.com/1",
        "environment_url": "https://example.com",
        "description": "Done",
        "environment": "staging",
        "deployment_url": f"{call.github.url}{REPO}/deployments/{number}",
    }.items() <= found.json.items()
    listed = call(f"GET {REPO}/deployments/{number}/statuses?per_page=2").json
    assert [each["state"] for each in listed] == ["success", "inactive"]
    assert call(f"GET {REPO}/deployments/1/statuses").status == 404
    assert report(call, 1, state="success").status == 404


def test_a_status_can_change_the_environment(call: Client) -> None:
    """deployments/statuses, "Create a deployment status": `environment`."""
    number = deploy(call, environment="staging")
    report(call, number, state="success", environment="qa")
    found = call(f"GET {REPO}/deployments/{number}").json
    assert (found["environment"], found["original_environment"]) == ("qa", "staging")
    assert report(call, number, state="inactive").json["environment"] == "qa"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"state": "done"}, "state is not included in the list"),
        ({"state": "success", "description": "x" * 141}, "description is too long (maximum is"),
        ({"state": "success", "log_url": "x"}, "log_url must use http(s) scheme"),
        ({"state": "success", "environment_url": "x"}, "environment_url must use http(s) scheme"),
    ],
)
def test_a_wrong_deployment_status_is_refused(call: Client, body: Any, message: str) -> None:
    """deployments/statuses, "Create a deployment status": 422. Message: Shopify/shipit-engine."""
    refused = report(call, deploy(call), **body)
    assert refused.status == 422
    assert refused.json["errors"][0]["resource"] == "DeploymentStatus"
    assert message in refused.json["errors"][0]["message"]


def test_a_success_makes_prior_deployments_of_its_environment_inactive(
    github: GitHub, call: Client
) -> None:
    """deployments/statuses, "Create a deployment status": `auto_inactive`."""
    prior = deploy(call, environment="staging")
    failed = deploy(call, environment="staging")
    elsewhere = deploy(call, environment="qa")
    transient = deploy(call, environment="staging", transient_environment=True)
    production = deploy(call, environment="staging", production_environment=True)
    for each in (prior, elsewhere, transient, production):
        report(call, each, state="success", auto_inactive=False)
    report(call, failed, state="failure")
    last = deploy(call, environment="staging")
    report(call, last, state="in_progress")
    assert states(github, prior) == ["success"]
    report(call, last, state="success")
    assert states(github, prior) == ["success", "inactive"]
    assert states(github, failed) == ["failure"]
    for each in (elsewhere, transient, production):
        assert states(github, each) == ["success"]
    assert call(f"GET {REPO}/deployments/{prior}/statuses").json[0]["state"] == "inactive"


# Branches


def test_a_branch_and_its_head(github: GitHub, call: Client) -> None:
    """branches/branches, "Get a branch", and git/refs, "Get a reference"."""
    github.push("acme/app", "feature/a", OTHER)
    branch = call(f"GET {REPO}/branches/feature/a").json
    assert (branch["name"], branch["commit"]["sha"]) == ("feature/a", OTHER)
    assert [each["sha"] for each in branch["commit"]["parents"]] == [SECOND]
    found = call(f"GET {REPO}/git/ref/heads/feature/a").json
    assert (found["ref"], found["object"]["sha"]) == ("refs/heads/feature/a", OTHER)
    missing = call(f"GET {REPO}/branches/feature")
    assert (missing.status, missing.message) == (404, "Branch not found")
    assert call(f"GET {REPO}/git/ref/heads/feature").status == 404
    github.delete_branch("acme/app", "feature/a")
    assert call(f"GET {REPO}/branches/feature/a").status == 404


def test_the_changes_of_a_branch_are_listed_newest_first(
    github: GitHub, call: Client, clock: Clock
) -> None:
    """repos/repos, "List repository activities"."""
    clock.now += 60
    github.push("acme/app", "main", FIRST)
    github.push("acme/app", "next", OTHER)
    github.delete_branch("acme/app", "next")
    for ref in ("main", "refs/heads/main"):
        listed = call(f"GET {REPO}/activity?ref={ref}").json
        assert [(each["before"], each["after"], each["activity_type"]) for each in listed] == [
            (SECOND, FIRST, "force_push"),
            (FIRST, SECOND, "push"),
            ("0" * 40, FIRST, "branch_creation"),
        ]
    assert listed[0]["timestamp"] == "2027-01-15T08:01:00Z"
    assert listed[0]["actor"]["login"] == "acme"
    assert len(call(f"GET {REPO}/activity?per_page=1").json) == 1
    (deleted,) = call(f"GET {REPO}/activity?ref=next&per_page=1").json
    assert (deleted["after"], deleted["activity_type"]) == ("0" * 40, "branch_deletion")
    assert call(f"GET {REPO}/activity?ref=none").json == []


def test_a_commit_object_has_its_message(github: GitHub, call: Client) -> None:
    """git/commits, "Get a commit object"."""
    github.push("acme/app", "main", OTHER, message="Fix\n\nIt was wrong.")
    found = call(f"GET {REPO}/git/commits/{OTHER}").json
    assert found["message"] == "Fix\n\nIt was wrong."
    assert [each["sha"] for each in found["parents"]] == [SECOND]
    assert call(f"GET {REPO}/git/commits/{'f' * 40}").status == 404


def test_two_commits_are_compared(github: GitHub, call: Client) -> None:
    """commits/commits, "Compare two commits". The files are on the first page only."""
    github.push("acme/app", "main", OTHER, files=["a", "b"])
    github.push("acme/app", "main", "4" * 40, files=["b", "c"])
    found = call(f"GET {REPO}/compare/{SECOND}...main?per_page=1").json
    assert (found["status"], found["ahead_by"], found["total_commits"]) == ("ahead", 2, 2)
    assert [each["sha"] for each in found["commits"]] == [OTHER]
    assert [each["filename"] for each in found["files"]] == ["a", "b", "c"]
    second = call(f"GET {REPO}/compare/{SECOND}...main?per_page=1&page=2").json
    assert (len(second["commits"]), second["files"]) == (1, [])
    assert call(f"GET {REPO}/compare/main...{SECOND}").json["status"] == "behind"
    assert call(f"GET {REPO}/compare/main...main").json["status"] == "identical"
    github.push("acme/app", "next", "5" * 40, parent=FIRST)
    assert call(f"GET {REPO}/compare/main...next").json["status"] == "diverged"
    assert call(f"GET {REPO}/compare/none...main").status == 404


def test_a_comparison_lists_at_most_300_files(github: GitHub, call: Client) -> None:
    github.push("acme/app", "main", OTHER, files=[str(number) for number in range(301)])
    assert len(call(f"GET {REPO}/compare/{SECOND}...{OTHER}").json["files"]) == 300


def test_references_match_by_their_beginning(github: GitHub, call: Client) -> None:
    """git/refs, "List matching references"."""
    for name in ("featureA", "featureB", "other"):
        github.push("acme/app", name, OTHER)
    for ref, expected in {
        "heads/feature": ["featureA", "featureB"],
        "heads/": ["featureA", "featureB", "main", "other"],
        "heads/none": [],
        "tags/v1": [],
    }.items():
        found = call(f"GET {REPO}/git/matching-refs/{ref}").json
        assert [each["ref"].removeprefix("refs/heads/") for each in found] == expected


def test_an_empty_repository_has_no_references(github: GitHub, call: Client) -> None:
    """git/refs: 409."""
    github.add_repository("acme/empty")
    for path in ("git/ref/heads/main", "git/matching-refs/heads/main"):
        refused = call(f"GET /repos/acme/empty/{path}")
        assert (refused.status, refused.message) == (409, "Git Repository is empty.")


def test_a_repository_is_found_by_its_name_in_any_case(call: Client) -> None:
    """repos/repos, "Get a repository": the names are not case sensitive."""
    found = call("GET /repos/Acme/APP").json
    assert (found["full_name"], found["default_branch"], found["private"]) == (
        "acme/app",
        "main",
        False,
    )


def remaining(reply: Reply) -> int:
    return int(reply.headers["X-RateLimit-Remaining"])


def test_an_unchanged_answer_is_free(github: GitHub, call: Client) -> None:
    """using-the-rest-api, "Best practices for using the REST API": conditional requests."""
    path = f"GET {REPO}/git/matching-refs/heads/main"
    first = call(path)
    same = call(path, If_None_Match=first.headers["ETag"])
    assert (same.status, same.text, remaining(same)) == (304, "", remaining(first))
    github.push("acme/app", "main", OTHER)
    moved = call(path, If_None_Match=first.headers["ETag"])
    assert (moved.status, remaining(moved)) == (200, remaining(first) - 1)
    assert moved.headers["ETag"] != first.headers["ETag"]


def test_an_etag_is_valid_for_one_token(github: GitHub, call: Client) -> None:
    """Not documented: github/docs."""
    github.add_token("new", ["acme/app"], WRITES)
    etag = call(f"GET {REPO}").headers["ETag"]
    assert call.as_("new")(f"GET {REPO}", If_None_Match=etag).status == 200


def test_an_unchanged_answer_is_not_free_without_a_token(call: Client) -> None:
    """using-the-rest-api, "Best practices for using the REST API": "correctly authorized"."""
    anonymous = call.as_(None)
    first = anonymous(f"GET {REPO}")
    same = anonymous(f"GET {REPO}", If_None_Match=first.headers["ETag"])
    assert (same.status, remaining(same)) == (304, remaining(first) - 1)


# Who may do what


def test_wrong_credentials_are_refused(github: GitHub, call: Client, clock: Clock) -> None:
    """overview, "Authenticating to the REST API": 401."""
    github.add_token("short", ["acme/app"], WRITES, expires_at=NOW + 60)
    github.add_token("old", ["acme/app"], WRITES)
    assert call.as_("short")(f"GET {REPO}").status == 200
    clock.now += 60
    github.revoke("old")
    for token in ("short", "old", "wrong"):
        refused = call.as_(token)(f"GET {REPO}")
        assert (refused.status, refused.message) == (401, "Bad credentials")
    assert call.as_(None)(f"GET {REPO}", Authorization="token pat").status == 200
    assert call.as_(None)(f"GET {REPO}", Authorization="Basic pat").status == 401


def test_without_credentials_public_repositories_can_be_read(github: GitHub, call: Client) -> None:
    """rate-limits-for-the-rest-api: 60 requests per hour."""
    github.add_repository("acme/secret", private=True)
    anonymous = call.as_(None)
    assert anonymous(f"GET {REPO}/git/ref/heads/main").headers["X-RateLimit-Limit"] == "60"
    refused = anonymous(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
    assert (refused.status, refused.message) == (401, "Requires authentication")
    assert anonymous("GET /repos/acme/secret").status == 404


def test_a_repository_outside_the_token_is_hidden_if_it_is_private(
    github: GitHub, call: Client
) -> None:
    """troubleshooting-the-rest-api: "404 Not Found for an existing resource"."""
    github.add_repository("acme/secret", private=True)
    github.push("acme/secret", "main", FIRST)
    path = "/repos/acme/secret"
    for request in (f"GET {path}", f"GET {path}/branches/main", "GET /repos/acme/missing"):
        assert call(request).json == {
            "message": "Not Found",
            "documentation_url": call(request).json["documentation_url"],
            "status": "404",
        }
    refused = call(f"POST {path}/statuses/{FIRST}", {"state": "success"})
    assert (refused.status, github.statuses("acme/secret", FIRST)) == (404, [])


def test_a_permission_that_the_token_lacks_is_refused(github: GitHub, call: Client) -> None:
    """troubleshooting-the-rest-api: "Resource not accessible by personal access token"."""
    github.add_repository("acme/secret", private=True)
    github.push("acme/secret", "main", FIRST)
    github.add_token("reader", ["acme/app", "acme/secret"], {"statuses": "read"})
    reader = call.as_("reader")
    refused = reader(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
    assert (refused.status, refused.message) == (
        403,
        "Resource not accessible by personal access token",
    )
    assert refused.headers["X-Accepted-GitHub-Permissions"] == "statuses=write"
    assert reader("GET /repos/acme/secret/commits/main/statuses").status == 200
    assert reader("GET /repos/acme/secret").status == 200
    assert reader("GET /repos/acme/secret/branches/main").status == 403
    # Everybody may read public repositories, and writing needs the repository in the token.
    assert reader(f"GET {REPO}/branches/main").status == 200
    github.add_token("elsewhere", ["acme/secret"], WRITES)
    assert call.as_("elsewhere")(f"POST {REPO}/deployments", {"ref": "main"}).status == 403


# Requests


def test_a_request_needs_a_user_agent(call: Client) -> None:
    """using-the-rest-api, "Getting started with the REST API": `User-Agent`."""
    call.headers = {}
    refused = call(f"GET {REPO}")
    assert refused.status == 403
    assert "make sure your request has a User-Agent header" in refused.text


def test_the_headers_of_a_request_are_read(call: Client) -> None:
    """about-the-rest-api, "API Versions": 400. using-the-rest-api, "Getting started": `Accept`."""
    assert call(f"GET {REPO}", X_GitHub_Api_Version="2022-11-28").status == 200
    assert call(f"GET {REPO}", X_GitHub_Api_Version="2019-01-01").status == 400
    for accept in ("*/*", "application/json", "application/vnd.github+json"):
        assert call(f"GET {REPO}", Accept=accept).status == 200
    refused = call(f"GET {REPO}", Accept="text/plain")
    assert (refused.status, refused.message) == (
        415,
        "Unsupported 'Accept' header: 'text/plain'. Must accept 'application/json'.",
    )
    found = call(f"GET {REPO}")
    assert found.headers["Content-Type"] == "application/json; charset=utf-8"
    assert found.headers["X-GitHub-Media-Type"] == "github.v3; format=json"
    assert (
        found.headers["X-GitHub-Request-Id"] != call(f"GET {REPO}").headers["X-GitHub-Request-Id"]
    )


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ('{"state":', 400, "Problems parsing JSON"),
        ("[" * 100_000, 400, "Problems parsing JSON"),
        (b'{"state": "\xff"}', 400, "Problems parsing JSON"),
        ('["state"]', 400, "Body should be a JSON object"),
        ("x" * (MAX_BODY + 1), 413, "The body is too long."),
    ],
)
def test_a_body_must_be_a_json_object(
    call: Client, body: str | bytes, status: int, message: str
) -> None:
    """using-the-rest-api, "Troubleshooting the REST API": invalid request body."""
    refused = call(f"POST {REPO}/statuses/{FIRST}", body)
    assert (refused.status, refused.message) == (status, message)


def test_a_body_needs_its_length(unchecked: GitHub) -> None:
    """Unlike GitHub: no client of this API sends a body in chunks."""
    call = Client(unchecked)
    refused = call(f"POST {REPO}/statuses/{FIRST}", Transfer_Encoding="chunked")
    assert (refused.status, refused.headers["Connection"]) == (411, "close")


def test_the_content_type_is_not_read(call: Client) -> None:
    """The examples of every page use curl, which sends JSON as a form."""
    form = "application/x-www-form-urlencoded"
    body = {"state": "success"}
    assert call(f"POST {REPO}/statuses/{FIRST}", body, Content_Type=form).status == 201


@pytest.mark.parametrize(
    "request_line", ["GET /", "GET /repos/acme", f"DELETE {REPO}", f"POST {REPO}/statuses"]
)
def test_an_unknown_route_is_not_found(unchecked: GitHub, request_line: str) -> None:
    found = Client(unchecked)(request_line)
    assert (found.status, found.message) == (404, "Not Found")
    with pytest.raises(AssertionError, match="GitHub has no such operation"):
        validated(unchecked)


def test_all_requests_are_recorded_without_the_token(github: GitHub, call: Client) -> None:
    call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
    call(f"GET {REPO}/commits/main/statuses?per_page=1")
    first, second = github.requests()
    assert (first.method, first.path, first.status) == ("POST", f"{REPO}/statuses/{FIRST}", 201)
    assert (first.body, second.body) == ('{"state": "success"}', "")
    assert second.path == f"{REPO}/commits/main/statuses?per_page=1"
    assert first.headers["user-agent"] == "slipway"
    assert "authorization" not in first.headers
    assert "pat" not in str(first.headers)


def test_many_clients_may_write_at_once(github: GitHub, call: Client) -> None:
    def write(number: int) -> int:
        body = {"state": "success", "context": f"ci-{number}"}
        return int(call(f"POST {REPO}/statuses/{FIRST}", body).json["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(write, range(80)))
    assert len(set(ids)) == 80
    assert {each["id"] for each in github.statuses("acme/app", FIRST)} == set(ids)


# Limits and faults


def test_a_primary_limit_refuses_until_its_reset(
    github: GitHub, call: Client, clock: Clock
) -> None:
    """rate-limits-for-the-rest-api: 403 or 429, and x-ratelimit-remaining is 0."""
    github.limit(1, NOW + 90, status=429)
    last = call(f"GET {REPO}")
    assert (last.status, remaining(last)) == (200, 0)
    for _ in range(2):
        refused = call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
        assert (refused.status, remaining(refused)) == (429, 0)
        assert refused.headers["X-RateLimit-Reset"] == str(NOW + 90)
        assert refused.message.startswith("API rate limit exceeded for user octocat.")
    assert github.statuses("acme/app", FIRST) == []
    clock.now += 90
    assert call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"}).status == 201


def test_a_secondary_limit_says_how_long_to_wait(
    github: GitHub, call: Client, clock: Clock
) -> None:
    """rate-limits-for-the-rest-api: "Exceeding the rate limit"."""
    github.limit(0, NOW + 60, secondary=True, retry_after=60)
    refused = call(f"POST {REPO}/deployments", {"ref": "main"})
    assert (refused.status, refused.headers["Retry-After"]) == (403, "60")
    assert refused.message.startswith("You have exceeded a secondary rate limit.")
    assert remaining(refused) > 0
    github.limit(0, NOW + 60, secondary=True)
    assert "Retry-After" not in call(f"GET {REPO}").headers
    clock.now += 60
    assert call(f"GET {REPO}").status == 200


def test_each_caller_has_its_own_limit_for_each_hour(
    github: GitHub, call: Client, clock: Clock
) -> None:
    """rate-limits-for-the-rest-api: 5,000 requests per hour, shared by a user's tokens."""
    github.add_token("same", ["acme/app"], WRITES)
    github.add_token("other", ["acme/app"], WRITES, login="hubot")
    replies = [call.as_(token)(f"GET {REPO}") for token in ("pat", "same", "other")]
    assert [remaining(each) for each in replies] == [4999, 4998, 4999]
    clock.now = int(replies[0].headers["X-RateLimit-Reset"])
    assert remaining(call(f"GET {REPO}")) == 4999
    anonymous = call.as_(None)
    assert [anonymous(f"GET {REPO}").status for _ in range(61)] == [200] * 60 + [403]


def test_a_failed_request_has_no_effect(github: GitHub, call: Client) -> None:
    """GitHub's 5xx are web pages."""
    github.fail(2, 502, match="statuses")
    for _ in range(2):
        failed = call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
        assert (failed.status, failed.headers["Content-Type"]) == (502, "text/html")
        assert call(f"GET {REPO}").status == 200
    assert github.statuses("acme/app", FIRST) == []
    assert call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"}).status == 201


@pytest.mark.parametrize("status", [500, None])
def test_an_answer_can_be_lost_after_the_effect(
    github: GitHub, call: Client, status: int | None
) -> None:
    github.fail(1, status, after_effect=True, match=f"POST {REPO}/deployments$")
    assert call(f"GET {REPO}/deployments").json == []
    if status:
        assert call(f"POST {REPO}/deployments", {"ref": "main"}).status == status
    else:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            call(f"POST {REPO}/deployments", {"ref": "main"})
    assert len(call(f"GET {REPO}/deployments").json) == 1
    assert [each.status for each in github.requests()] == [200, status or 0, 200]


def test_a_late_answer_has_its_effect(github: GitHub, call: Client) -> None:
    github.hang(0.05, match="statuses")
    began = time.monotonic()
    assert call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"}).status == 201
    assert time.monotonic() - began >= 0.05


def test_a_hanging_request_ends_with_the_server(clock: Clock) -> None:
    github = GitHub(clock=clock)
    github.add_repository("acme/app")
    github.start()
    github.hang(3600)
    ended: list[str] = []

    def ask() -> None:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            Client(github, None)(f"GET {REPO}")
        ended.append("closed")

    thread = threading.Thread(target=ask)
    thread.start()
    while not github.requests():
        time.sleep(0.005)
    github.stop()
    thread.join(10)
    assert ended == ["closed"]


def test_everything_can_be_forgotten(github: GitHub, call: Client) -> None:
    call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
    number = deploy(call)
    github.forget()
    assert call(f"GET {REPO}/commits/{FIRST}/statuses").json == []
    assert call(f"GET {REPO}/deployments").json == []
    assert call(f"GET {REPO}/deployments/{number}").status == 404


# The app


def signed(**changes: Any) -> str:
    """A JWT of the app. A claim that is None is left out."""
    claims = {"iat": NOW - 60, "exp": NOW + 540, "iss": str(APP_ID), **changes}
    header = {"alg": changes.pop("alg", "RS256"), "typ": "JWT"}
    claims = {name: value for name, value in claims.items() if value is not None and name != "alg"}
    text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
    signature = KEY.sign(text.encode(), PKCS1v15(), hashes.SHA256())
    return f"{text}.{_encoded(signature)}"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.fixture
def app(github: GitHub) -> Client:
    """The app, which may write statuses and deployments. It is not installed."""
    github.register_app(PUBLIC_KEY, {"statuses": "write", "deployments": "write"}, number=APP_ID)
    return Client(github, signed())


def test_an_app_signs_in_by_a_jwt(app: Client) -> None:
    """apps, "Generating a JSON Web Token (JWT) for a GitHub App": `iss` is either id."""
    found = app("GET /app").json
    assert (found["id"], found["slug"], found["installations_count"]) == (APP_ID, "slipway", 0)
    for issuer in (APP_ID, found["client_id"]):
        assert app.as_(signed(iss=issuer))("GET /app").status == 200
    assert app.as_(signed(exp=NOW + 600))("GET /app").status == 200


NOT_DECODED = "A JSON web token could not be decoded"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, NOT_DECODED),
        ("pat", NOT_DECODED),
        ("a.b.c", NOT_DECODED),
        (signed()[:-8] + "AAAAAAAA", NOT_DECODED),
        (signed().replace(".", "..", 1), NOT_DECODED),
        (signed(alg="HS256"), NOT_DECODED),
        (signed(alg="none"), NOT_DECODED),
        (signed(iss="7654321"), NOT_DECODED),
        (signed(iss=None), NOT_DECODED),
        (signed(exp=NOW + 601), "'Expiration time' claim ('exp') is too far in the future"),
        (signed(exp=NOW), "'Expiration time' claim ('exp') must be a numeric value"),
        (signed(exp=None), "'Expiration time' claim ('exp') must be a numeric value"),
        (signed(iat=NOW + 1), "'Issued at' claim ('iat') must be an Integer"),
        (signed(iat=NOW - 0.5), "'Issued at' claim ('iat') must be an Integer"),
        (signed(iat=None), "'Issued at' claim ('iat') must be an Integer"),
    ],
)
def test_a_wrong_jwt_is_refused(app: Client, token: str | None, message: str) -> None:
    """apps, "Generating a JSON Web Token (JWT) for a GitHub App". Messages: octokit/auth-app.js,
    probot/probot.
    """
    refused = app.as_(token)("GET /app")
    assert refused.status == 401
    assert refused.message.startswith(message)


def test_an_installation_is_found_by_its_repository(github: GitHub, app: Client) -> None:
    """apps/apps, "Get a repository installation for the authenticated app"."""
    assert app(f"GET {REPO}/installation").status == 404
    number = github.install("acme", ["acme/app"])
    github.add_repository("acme/other")
    found = app(f"GET {REPO}/installation").json
    assert (found["id"], found["repository_selection"]) == (number, "selected")
    assert found["permissions"] == {
        "statuses": "write",
        "deployments": "write",
        "metadata": "read",
    }
    assert app("GET /repos/acme/other/installation").status == 404
    assert app("GET /repos/acme/none/installation").status == 404
    github.uninstall(number)
    assert app(f"GET {REPO}/installation").status == 404


def test_an_installation_token_acts_as_the_app_for_one_hour(
    github: GitHub, app: Client, clock: Clock
) -> None:
    """apps/apps, "Create an installation access token for an app"."""
    github.add_repository("acme/private", private=True)
    number = github.install("acme")
    made = app(f"POST /app/installations/{number}/access_tokens")
    assert (made.status, made.json["repository_selection"]) == (201, "all")
    assert made.json["expires_at"] == "2027-01-15T09:00:00Z"
    assert len(made.json["token"]) > 255
    bot = app.as_(made.json["token"])
    created = bot(f"POST {REPO}/deployments", {"ref": "main"})
    assert created.json["creator"]["login"] == "slipway[bot]"
    assert created.json["performed_via_github_app"]["id"] == APP_ID
    assert bot("GET /repos/acme/private").status == 200
    refused = bot("GET /repos/acme/private/branches/main")
    assert (refused.status, refused.message) == (403, "Resource not accessible by integration")
    clock.now += 3600
    assert bot(f"GET {REPO}").message == "Bad credentials"


def test_an_installation_token_can_be_limited(github: GitHub, app: Client) -> None:
    """apps/apps, "Create an installation access token for an app": `repositories`, `permissions`.

    The messages: tibdex/github-app-token, peter-murray/workflow-application-token-action.
    """
    github.add_repository("acme/private", private=True)
    path = f"POST /app/installations/{github.install('acme')}/access_tokens"
    body = {"repositories": ["app"], "permissions": {"statuses": "read"}}
    made = app(path, body).json
    assert [each["full_name"] for each in made["repositories"]] == ["acme/app"]
    assert (made["repository_selection"], made["permissions"]) == (
        "selected",
        {"statuses": "read", "metadata": "read"},
    )
    limited = app.as_(made["token"])
    assert limited("GET /repos/acme/private").status == 404
    assert limited(f"POST {REPO}/statuses/{FIRST}", {"state": "success"}).status == 403
    by_id = {"repository_ids": [made["repositories"][0]["id"]]}
    assert app(path, by_id).json["repositories"] == made["repositories"]
    for wrong, message in [
        ({"repositories": ["acme/app"]}, "There is at least one repository that does not exist"),
        ({"repository_ids": [1]}, "There is at least one repository that does not exist"),
        ({"permissions": {"contents": "read"}}, "The permissions requested are not granted"),
    ]:
        refused = app(path, wrong)
        assert refused.status == 422
        assert refused.message.startswith(message)


def test_an_uninstalled_app_loses_its_tokens(github: GitHub, app: Client) -> None:
    number = github.install("acme")
    path = f"POST /app/installations/{number}/access_tokens"
    bot = app.as_(app(path).json["token"])
    github.uninstall(number)
    assert bot(f"GET {REPO}").message == "Bad credentials"
    assert app(path).status == 404


def test_deliveries_are_listed_by_cursor(github: GitHub, app: Client, clock: Clock) -> None:
    """apps/webhooks, "List deliveries for an app webhook". Kept for three days: "Viewing webhook
    deliveries".
    """
    github.add_delivery("push", {}, status_code=200)
    clock.now += 3 * 86_400
    app.token = signed(iat=int(clock.now) - 60, exp=int(clock.now) + 60)
    ids = [github.add_delivery("push", {}, status_code=code) for code in (200, 500, 200, 404, 200)]
    page = app("GET /app/hook/deliveries?per_page=2")
    seen = [each["id"] for each in page.json]
    while link := re.search(r'<([^>]+)>; rel="next"', page.headers.get("Link", "")):
        address = urlsplit(link[1])
        page = app(f"GET {address.path}?{address.query}")
        seen += [each["id"] for each in page.json]
    assert seen == ids[::-1]
    failed = app("GET /app/hook/deliveries?status=failure").json
    assert [each["status_code"] for each in failed] == [404, 500]
    assert app("GET /app/hook/deliveries?cursor=x").status == 400


def test_a_delivery_is_repeated_with_the_same_guid(github: GitHub, app: Client) -> None:
    """apps/webhooks, "Redeliver a delivery for an app webhook": 202."""
    number = github.add_delivery("push", {"ref": "refs/heads/main"}, status_code=502)
    answer = app(f"POST /app/hook/deliveries/{number}/attempts")
    assert (answer.status, answer.json) == (202, {})
    assert app("POST /app/hook/deliveries/1/attempts").status == 404
    github.stop()
    (first, _), (second, payload) = github.deliveries
    assert (first["guid"], first["redelivery"]) == (second["guid"], False)
    assert (second["redelivery"], second["status_code"]) == (True, 200)
    assert payload == {"ref": "refs/heads/main"}


def test_a_redelivery_reaches_the_receiver(clock: Clock) -> None:
    received: list[tuple[str, Any]] = []

    def deliver(item: dict[str, Any], payload: dict[str, Any]) -> int:
        received.append((item["guid"], payload))
        return 503

    github = GitHub(clock=clock, deliver=deliver)
    github.register_app(PUBLIC_KEY, {}, number=APP_ID)
    github.start()
    number = github.add_delivery("ping", {"zen": "x"}, status_code=500)
    Client(github, signed())(f"POST /app/hook/deliveries/{number}/attempts")
    github.stop()
    assert received == [(github.deliveries[0][0]["guid"], {"zen": "x"})]
    assert github.deliveries[1][0]["status_code"] == 503


# The comparison with GitHub's description


@pytest.mark.parametrize(
    ("request_line", "body", "problem"),
    [
        (f"POST {REPO}/statuses/{FIRST}", {"state": "success", "desc": "x"}, "desc: not a field"),
        (f"GET {REPO}/deployments?environments=x", None, "environments: not a parameter"),
        (f"GET {REPO}/deployments?per_page=many", None, "per_page: 'many' is not of type"),
        (
            f"POST {REPO}/deployments",
            {"ref": "main", "required_contexts": [1]},
            "body.required_contexts[0]: 1 is not of type 'string'",
        ),
    ],
)
def test_a_request_that_github_does_not_describe_is_found(
    unchecked: GitHub, request_line: str, body: Any, problem: str
) -> None:
    Client(unchecked)(request_line, body)
    with pytest.raises(AssertionError, match=re.escape(problem)):
        validated(unchecked)


@pytest.mark.parametrize(
    ("answer", "status", "problem"),
    [
        ({"state": 1}, 201, "'url' is a required property"),
        ({"state": 1}, 201, "body.state: 1 is not of type 'string'"),
        ({"message": 1}, 418, "body.message: 1 is not of type 'string'"),
        ({}, 200, "the operation has no such status"),
    ],
)
def test_an_answer_that_github_does_not_describe_is_found(
    unchecked: GitHub, answer: Any, status: int, problem: str
) -> None:
    Client(unchecked)(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
    exchange = unchecked.requests()[0]
    assert validated(unchecked).answers == 1
    exchange.answer, exchange.status = json.dumps(answer), status
    with pytest.raises(AssertionError, match=re.escape(problem)):
        validated(unchecked)


def test_comparisons_are_counted(unchecked: GitHub) -> None:
    call = Client(unchecked)
    call(f"POST {REPO}/statuses/{FIRST}", {"state": "success"})
    call(f"POST {REPO}/statuses/{FIRST}", {"state": "wrong"})
    unchecked.fail(1)
    call(f"GET {REPO}")
    found = validated(unchecked)
    # The refused request may be invalid, and the failed answer is none of GitHub's API.
    assert (found.requests, found.answers) == (2, 2)


def test_the_description_is_small_and_has_exactly_the_routes() -> None:
    document = json.loads(cut.CUT.read_text())
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == {(each.method, each.template) for each in ROUTES}
    assert cut.CUT.stat().st_size < 300_000
    assert document["info"]["license"]["name"] == "MIT"
    assert "MIT License" in (Path(cut.__file__).parent / "LICENSE").read_text()
    assert cut.cut(document) == document
