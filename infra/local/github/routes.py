"""The routes, each with the page of GitHub's REST API (version 2022-11-28) that describes it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any
from urllib.parse import urlencode

from infra.local.github import changes, shapes
from infra.local.github.refusals import DOCS, Refusal, not_found
from infra.local.github.shapes import Json
from infra.local.github.state import Repository, State, Token

Fields = Mapping[str, type | UnionType]
# The needed permission of routes for the app itself, which signs in by a JWT.
AS_APP = "app"
STATUS: Fields = {
    "state": str,
    "target_url": str | None,
    "description": str | None,
    "context": str,
}
DEPLOYMENT: Fields = {
    "ref": str,
    "task": str,
    "auto_merge": bool,
    "required_contexts": list,
    "payload": dict | str,
    "environment": str,
    "description": str | None,
    "transient_environment": bool,
    "production_environment": bool,
}
DEPLOYMENT_STATUS: Fields = {
    "state": str,
    "target_url": str,
    "log_url": str,
    "description": str,
    "environment": str,
    "environment_url": str,
    "auto_inactive": bool,
}
ACCESS_TOKEN: Fields = {"repositories": list, "repository_ids": list, "permissions": dict}


@dataclass
class Answer:
    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request that the sender is allowed to make. `named` is the repository in the path."""

    state: State
    path: str
    values: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    by: Token
    named: Repository | None
    redeliver: Callable[[Json, Json], None]

    @property
    def repository(self) -> Repository:
        if self.named is None:
            raise not_found()
        return self.named

    def sha(self) -> str | None:
        return self.repository.resolve(self.values["ref"])

    def deployment(self) -> Json:
        found = self.repository.deployments.get(int(self.values["deployment_id"]))
        if found is None:
            raise not_found()
        return found


@dataclass(frozen=True)
class Route:
    """`template` is the path as GitHub's OpenAPI description has it."""

    method: str
    template: str
    path: re.Pattern[str]
    needs: str
    document: str
    fields: Fields
    required: tuple[str, ...]
    view: Callable[[Call], Answer]

    def check_body(self, body: Json) -> None:
        """Raises Refusal for a missing field, or one of a wrong type."""
        for name in self.required:
            if name not in body:
                raise Refusal(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        for name, kind in self.fields.items():
            if name in body and not isinstance(body[name], kind):
                wrong = f"For 'properties/{name}', {body[name]!r} has a wrong type."
                raise Refusal(422, f"Invalid request.\n\n{wrong}")


# "Compare two commits": "it includes up to 300 changed files".
MAX_FILES = 300
ROUTES: list[Route] = []
PATTERNS = {
    "owner": "[^/]+",
    "repo": "[^/]+",
    "deployment_id": r"\d{1,18}",
    "installation_id": r"\d{1,18}",
    "delivery_id": r"\d{1,18}",
    "commit_sha": "[^/]+",
    "basehead": r".+\.\.\..+",
}


def route(
    request: str,
    document: str,
    *,
    needs: str,
    fields: Fields | None = None,
    required: tuple[str, ...] = (),
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """`needs` is a permission, like `statuses=write`, or AS_APP. `document` is below DOCS."""
    method, _, path = request.partition(" ")

    def pattern(name: re.Match[str]) -> str:
        return f"(?P<{name[1]}>{PATTERNS.get(name[1], '.+')})"

    def register(view: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        regex = re.compile(re.sub(r"\{(\w+)\}", pattern, path))
        ROUTES.append(
            Route(method, path, regex, needs, f"{DOCS}/{document}", fields or {}, required, view)
        )
        return view

    return register


@route("GET /repos/{owner}/{repo}", "repos/repos#get-a-repository", needs="metadata=read")
def get_repository(call: Call) -> Answer:
    return Answer(call.state.described(call.repository))


@route(
    "GET /repos/{owner}/{repo}/branches/{branch}",
    "branches/branches#get-a-branch",
    needs="contents=read",
)
def get_branch(call: Call) -> Answer:
    repository, name = call.repository, call.values["branch"]
    sha = repository.branches.get(name)
    if sha is None:
        raise not_found("Branch not found")
    head = shapes.commit(call.state.url, repository.full_name, sha, repository.parents[sha])
    return Answer(shapes.branch(call.state.url, repository.full_name, name, head))


@route("GET /repos/{owner}/{repo}/git/ref/{ref}", "git/refs#get-a-reference", needs="contents=read")
def get_reference(call: Call) -> Answer:
    for found in _references(call):
        if found["ref"] == f"refs/{call.values['ref']}":
            return Answer(found)
    raise not_found()


@route(
    "GET /repos/{owner}/{repo}/activity",
    "repos/repos#list-repository-activities",
    needs="contents=read",
)
def list_activities(call: Call) -> Answer:
    """Newest first. The needed permission is not in GitHub's description: that of heads is used."""
    ref = call.query.get("ref", "")
    wanted = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    found = [
        each for each in reversed(call.repository.activities) if not ref or each["ref"] == wanted
    ]
    return Answer(found[: _per_page(call)])


@route(
    "GET /repos/{owner}/{repo}/git/commits/{commit_sha}",
    "git/commits#get-a-commit-object",
    needs="contents=read",
)
def get_git_commit(call: Call) -> Answer:
    repository, sha = call.repository, call.values["commit_sha"]
    parents = repository.parents.get(sha)
    if parents is None:
        raise not_found()
    message = repository.messages.get(sha)
    found = shapes.git_commit(call.state.url, repository.full_name, sha, parents, message)
    return Answer(found)


@route(
    "GET /repos/{owner}/{repo}/compare/{basehead}",
    "commits/commits#compare-two-commits",
    needs="contents=read",
)
def compare(call: Call) -> Answer:
    """The files are on the first page of the commits: "the first page of results"."""
    repository = call.repository
    ends = [repository.resolve(each) for each in call.values["basehead"].split("...")]
    if len(ends) != 2 or None in ends:
        raise not_found()
    base, head = map(str, ends)
    # Every commit comes after its parents in the order of their first push.
    new = [each for each in repository.parents if each in repository.before(head)]
    ahead = [each for each in new if each not in repository.before(base)]
    behind = repository.before(base) - repository.before(head)
    names = dict.fromkeys(name for each in ahead for name in repository.files.get(each, ()))
    page, links = _page(call, [_commit(call, each) for each in ahead])
    files = [
        shapes.file_change(call.state.url, repository.full_name, head, name)
        for name in list(names)[:MAX_FILES]
    ]
    body = shapes.comparison(
        call.state.url,
        repository.full_name,
        _commit(call, base),
        _commit(call, head),
        ahead=page,
        behind=len(behind),
        files=files if call.query.get("page", "1") == "1" else [],
    )
    body |= {"ahead_by": len(ahead), "total_commits": len(ahead)}
    return Answer(body, headers=links)


@route(
    "GET /repos/{owner}/{repo}/git/matching-refs/{ref}",
    "git/refs#list-matching-references",
    needs="contents=read",
)
def list_matching_references(call: Call) -> Answer:
    prefix = f"refs/{call.values['ref']}"
    return Answer([each for each in _references(call) if each["ref"].startswith(prefix)])


@route(
    "POST /repos/{owner}/{repo}/statuses/{sha}",
    "commits/statuses#create-a-commit-status",
    needs="statuses=write",
    fields=STATUS,
    required=("state",),
)
def create_status(call: Call) -> Answer:
    sha = call.values["sha"]
    status = changes.create_status(call.state, call.repository, sha, call.body, call.by)
    return Answer(status, 201, {"Location": status["url"]})


@route(
    "GET /repos/{owner}/{repo}/commits/{ref}/statuses",
    "commits/statuses#list-commit-statuses-for-a-reference",
    needs="statuses=read",
)
def list_statuses(call: Call) -> Answer:
    sha = call.sha()
    if sha is None:
        raise not_found()
    found, links = _page(call, list(reversed(call.repository.statuses.get(sha, []))))
    return Answer(found, headers=links)


@route(
    "GET /repos/{owner}/{repo}/commits/{ref}/status",
    "commits/statuses#get-the-combined-status-for-a-specific-reference",
    needs="statuses=read",
)
def get_combined_status(call: Call) -> Answer:
    repository, sha = call.repository, call.sha()
    if sha is None:
        raise not_found()
    newest = list(repository.contexts(sha).values())
    states = {each["state"] for each in newest}
    found, links = _page(call, [_without(each, "creator") for each in newest])
    commit_url = f"{call.state.url}/repos/{repository.full_name}/commits/{sha}"
    body = {
        "state": "failure" if states & {"error", "failure"} else "pending",
        "statuses": found,
        "sha": sha,
        "total_count": len(newest),
        "repository": call.state.described(repository),
        "commit_url": commit_url,
        "url": f"{commit_url}/status",
    }
    if states == {"success"}:
        body["state"] = "success"
    return Answer(body, headers=links)


@route(
    "GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
    "checks/runs#list-check-runs-for-a-git-reference",
    needs="checks=read",
)
def list_check_runs(call: Call) -> Answer:
    """A missing ref gets 422. Not documented. Reported to squalrus/merge-bot.

    "latest" is the newest of each name in a suite. Not documented. Reported to
    lewagon/wait-on-check-action.
    """
    sha = call.sha()
    if sha is None:
        raise Refusal(422, f"No commit found for SHA: {call.values['ref']}")
    runs = call.repository.check_runs.get(sha, [])
    wanted = call.query.get("check_name")
    runs = [each for each in reversed(runs) if wanted in (None, each["name"])]
    if call.query.get("filter", "latest") == "latest":
        newest: dict[tuple[str, int], Json] = {}
        for each in runs:
            newest.setdefault((each["name"], each["check_suite"]["id"]), each)
        runs = list(newest.values())
    found, links = _page(call, runs)
    return Answer({"total_count": len(runs), "check_runs": found}, headers=links)


@route(
    "GET /repos/{owner}/{repo}/commits/{ref}/check-suites",
    "checks/suites#list-check-suites-for-a-git-reference",
    needs="checks=read",
)
def list_check_suites(call: Call) -> Answer:
    sha = call.sha()
    if sha is None:
        raise Refusal(422, f"No commit found for SHA: {call.values['ref']}")
    suites = list(reversed(call.repository.check_suites.get(sha, [])))
    found, links = _page(call, suites)
    return Answer({"total_count": len(suites), "check_suites": found}, headers=links)


@route(
    "POST /repos/{owner}/{repo}/deployments",
    "deployments/deployments#create-a-deployment",
    needs="deployments=write",
    fields=DEPLOYMENT,
    required=("ref",),
)
def create_deployment(call: Call) -> Answer:
    status, body = changes.create_deployment(call.state, call.repository, call.body, call.by)
    return Answer(body, status)


@route(
    "GET /repos/{owner}/{repo}/deployments",
    "deployments/deployments#list-deployments",
    needs="deployments=read",
)
def list_deployments(call: Call) -> Answer:
    names = [name for name in ("sha", "ref", "task", "environment") if name in call.query]
    found = [
        each
        for each in reversed(call.repository.deployments.values())
        if all(each[name] == call.query[name] for name in names)
    ]
    page, links = _page(call, found)
    return Answer(page, headers=links)


@route(
    "GET /repos/{owner}/{repo}/deployments/{deployment_id}",
    "deployments/deployments#get-a-deployment",
    needs="deployments=read",
)
def get_deployment(call: Call) -> Answer:
    return Answer(call.deployment())


@route(
    "POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses",
    "deployments/statuses#create-a-deployment-status",
    needs="deployments=write",
    fields=DEPLOYMENT_STATUS,
    required=("state",),
)
def create_deployment_status(call: Call) -> Answer:
    status = changes.create_deployment_status(
        call.state, call.repository, call.deployment(), call.body, call.by
    )
    return Answer(status, 201, {"Location": status["url"]})


@route(
    "GET /repos/{owner}/{repo}/deployments/{deployment_id}/statuses",
    "deployments/statuses#list-deployment-statuses",
    needs="deployments=read",
)
def list_deployment_statuses(call: Call) -> Answer:
    statuses = call.repository.deployment_statuses[call.deployment()["id"]]
    found, links = _page(call, list(reversed(statuses)))
    return Answer(found, headers=links)


@route("GET /app", "apps/apps#get-the-authenticated-app", needs=AS_APP)
def get_app(call: Call) -> Answer:
    count = len(call.state.installations)
    return Answer(call.state.integration() | {"installations_count": count})


@route(
    "GET /repos/{owner}/{repo}/installation",
    "apps/apps#get-a-repository-installation-for-the-authenticated-app",
    needs=AS_APP,
)
def get_installation(call: Call) -> Answer:
    for each in call.state.installations.values():
        if each.includes(call.repository):
            selection = "all" if each.repositories is None else "selected"
            found = shapes.installation(
                call.state.url,
                call.state.integration(),
                number=each.number,
                account=each.account,
                selection=selection,
            )
            return Answer(found)
    raise not_found()


@route(
    "POST /app/installations/{installation_id}/access_tokens",
    "apps/apps#create-an-installation-access-token-for-an-app",
    needs=AS_APP,
    fields=ACCESS_TOKEN,
)
def create_access_token(call: Call) -> Answer:
    number = int(call.values["installation_id"])
    return Answer(changes.create_installation_token(call.state, number, call.body), 201)


@route("GET /app/hook/deliveries", "apps/webhooks#list-deliveries-for-an-app-webhook", needs=AS_APP)
def list_deliveries(call: Call) -> Answer:
    """Newest first. The Link header has the cursor of the next page."""
    size = _per_page(call)
    wanted = {"success": range(200, 400), "failure": range(400, 600)}.get(
        call.query.get("status", "")
    )
    items = [
        each
        for each, _ in call.state.recent_deliveries()
        if wanted is None or each["status_code"] in wanted
    ]
    if cursor := call.query.get("cursor"):
        newest = cursor.removeprefix("v1_")
        if not newest.isdecimal():
            raise Refusal(400, "Invalid cursor")
        items = [each for each in items if each["id"] <= int(newest)]
    links = {"next": {"cursor": f"v1_{items[size]['id']}"}} if len(items) > size else {}
    return Answer(items[:size], headers=_links(call, links))


@route(
    "POST /app/hook/deliveries/{delivery_id}/attempts",
    "apps/webhooks#redeliver-a-delivery-for-an-app-webhook",
    needs=AS_APP,
)
def redeliver(call: Call) -> Answer:
    for item, payload in call.state.recent_deliveries():
        if item["id"] == int(call.values["delivery_id"]):
            call.redeliver(item, payload)
            return Answer({}, 202)
    raise not_found()


def _commit(call: Call, sha: str) -> Json:
    repository = call.repository
    return shapes.commit(call.state.url, repository.full_name, sha, repository.parents[sha])


def _references(call: Call) -> list[Json]:
    """All branches as references. Raises Refusal for a repository without a commit."""
    repository = call.repository
    if not repository.parents:
        raise Refusal(409, "Git Repository is empty.")
    return [
        shapes.reference(call.state.url, repository.full_name, name, sha)
        for name, sha in sorted(repository.branches.items())
    ]


def _without(value: Json, name: str) -> Json:
    return {key: each for key, each in value.items() if key != name}


def _per_page(call: Call) -> int:
    """REST API, "Using pagination in the REST API": 30 by default, at most 100."""
    asked = call.query.get("per_page", "")
    return min(int(asked), 100) if asked.isdecimal() and int(asked) else 30


def _page(call: Call, rows: list[Json]) -> tuple[list[Json], dict[str, str]]:
    """The rows of the asked page, and its Link header."""
    size = _per_page(call)
    asked = call.query.get("page", "")
    page = max(int(asked), 1) if asked.isdecimal() else 1
    last = max(-(-len(rows) // size), 1)
    links = {}
    if page > 1:
        links = {"prev": {"page": min(page - 1, last)}, "first": {"page": 1}}
    if page < last:
        links |= {"next": {"page": page + 1}, "last": {"page": last}}
    return rows[(page - 1) * size : page * size], _links(call, links)


def _links(call: Call, links: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The Link header, with the parameters of the request and others in their place."""
    header = ", ".join(
        f'<{call.state.url}{call.path}?{urlencode({**call.query, **changed})}>; rel="{relation}"'
        for relation, changed in links.items()
    )
    return {"Link": header} if header else {}
