"""The JSON of GitHub's resources, as its OpenAPI description has it.

`api` is the address of the API, without a slash at its end.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any

from infra.local.play.github import push_event

Json = dict[str, Any]
HTML = "https://github.com"
NO_COMMIT = "0" * 40


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hashed(text: str) -> str:
    """A value with the form of a commit's SHA."""
    return sha1(text.encode(), usedforsecurity=False).hexdigest()


def user(api: str, login: str) -> Json:
    found: Json = _moved(api, push_event(f"{login}/x", "x", NO_COMMIT, pushed_at=0)["sender"])
    return found | {"type": "Bot" if login.endswith("[bot]") else "User"}


def repository(
    api: str, full_name: str, *, number: int, branch: str, private: bool, made_at: float
) -> Json:
    """A repository, from the payload of a push to it."""
    pushed = push_event(full_name, branch, NO_COMMIT, pushed_at=int(made_at))["repository"]
    return {
        **_moved(api, pushed),
        "id": number,
        "private": private,
        "visibility": "private" if private else "public",
        "owner": user(api, full_name.partition("/")[0]),
        "url": f"{api}/repos/{full_name}",
        "created_at": timestamp(made_at),
        "pushed_at": timestamp(made_at),
        "has_discussions": False,
        "subscribers_count": 0,
        "network_count": 0,
    }


def commit(api: str, full_name: str, sha: str, parents: tuple[str, ...]) -> Json:
    login = full_name.partition("/")[0]
    url = f"{api}/repos/{full_name}/commits/{sha}"
    author = {"name": login, "email": f"{login}@example.com", "date": timestamp(0)}
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": url,
        "html_url": f"{HTML}/{full_name}/commit/{sha}",
        "comments_url": f"{url}/comments",
        "commit": {
            "url": f"{api}/repos/{full_name}/git/commits/{sha}",
            "author": author,
            "committer": author,
            "message": f"Commit {sha[:7]}",
            "comment_count": 0,
            "tree": {"sha": hashed(sha), "url": f"{api}/repos/{full_name}/git/trees/{hashed(sha)}"},
        },
        "author": user(api, login),
        "committer": user(api, login),
        "parents": [
            {"sha": each, "url": f"{api}/repos/{full_name}/commits/{each}"} for each in parents
        ],
    }


def git_commit(
    api: str, full_name: str, sha: str, parents: tuple[str, ...], message: str | None
) -> Json:
    """A commit as the Git database has it."""
    found, url = commit(api, full_name, sha, parents), f"{api}/repos/{full_name}/git/commits"
    page = f"{HTML}/{full_name}/commit"
    verification = dict.fromkeys(("signature", "payload", "verified_at"))
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": f"{url}/{sha}",
        "html_url": f"{page}/{sha}",
        "author": found["commit"]["author"],
        "committer": found["commit"]["committer"],
        "tree": found["commit"]["tree"],
        "message": found["commit"]["message"] if message is None else message,
        "parents": [
            {"sha": each, "url": f"{url}/{each}", "html_url": f"{page}/{each}"} for each in parents
        ],
        "verification": {"verified": False, "reason": "unsigned", **verification},
    }


def file_change(api: str, full_name: str, sha: str, name: str) -> Json:
    """A modified file of a comparison."""
    page = f"{HTML}/{full_name}"
    return {
        "sha": hashed(name),
        "filename": name,
        "status": "modified",
        "additions": 1,
        "deletions": 0,
        "changes": 1,
        "blob_url": f"{page}/blob/{sha}/file",
        "raw_url": f"{page}/raw/{sha}/file",
        "contents_url": f"{api}/repos/{full_name}/contents/file?ref={sha}",
        "patch": "@@ -0,0 +1 @@\n+x",
    }


def comparison(
    api: str,
    full_name: str,
    base: Json,
    head: Json,
    *,
    ahead: list[Json],
    behind: int,
    files: list[Json],
) -> Json:
    """Two commits compared. The merge base is right for a head that follows the base."""
    basehead = f"{base['sha']}...{head['sha']}"
    page = f"{HTML}/{full_name}/compare/{basehead}"
    status = {(False, False): "identical", (True, False): "ahead", (False, True): "behind"}
    return {
        "url": f"{api}/repos/{full_name}/compare/{basehead}",
        "html_url": page,
        "permalink_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": base,
        "merge_base_commit": base,
        "status": status.get((bool(ahead), bool(behind)), "diverged"),
        "ahead_by": len(ahead),
        "behind_by": behind,
        "total_commits": len(ahead),
        "commits": ahead,
        "files": files,
    }


def branch(api: str, full_name: str, name: str, head: Json) -> Json:
    url = f"{api}/repos/{full_name}/branches/{name}"
    return {
        "name": name,
        "commit": head,
        "_links": {"self": url, "html": f"{HTML}/{full_name}/tree/{name}"},
        "protected": False,
        "protection": {
            "enabled": False,
            "required_status_checks": {
                "enforcement_level": "off",
                "contexts": [],
                "checks": [],
            },
        },
        "protection_url": f"{url}/protection",
    }


def reference(api: str, full_name: str, name: str, sha: str) -> Json:
    return {
        "ref": f"refs/heads/{name}",
        "node_id": f"REF_{hashed(full_name + name)}",
        "url": f"{api}/repos/{full_name}/git/refs/heads/{name}",
        "object": {
            "type": "commit",
            "sha": sha,
            "url": f"{api}/repos/{full_name}/git/commits/{sha}",
        },
    }


def check_run(
    api: str,
    full_name: str,
    sha: str,
    *,
    number: int,
    name: str,
    conclusion: str | None,
    at: float,
    by: Json | None,
    suite: int,
) -> Json:
    """A check run. One without a conclusion is in progress."""
    url = f"{api}/repos/{full_name}/check-runs/{number}"
    return {
        "id": number,
        "node_id": f"CR_{number}",
        "head_sha": sha,
        "external_id": "",
        "url": url,
        "html_url": f"{HTML}/{full_name}/runs/{number}",
        "details_url": None,
        "status": "completed" if conclusion else "in_progress",
        "conclusion": conclusion,
        "started_at": timestamp(at),
        "completed_at": timestamp(at) if conclusion else None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{url}/annotations",
        },
        "name": name,
        "check_suite": {"id": suite},
        "app": by,
        "pull_requests": [],
    }


def check_suite(
    api: str,
    described: Json,
    sha: str,
    *,
    number: int,
    status: str,
    conclusion: str | None,
    runs: int,
    at: float,
    by: Json,
) -> Json:
    """A suite of `runs` check runs, in the `described` repository."""
    url = f"{api}/repos/{described['full_name']}/check-suites/{number}"
    person = {"name": "octocat", "email": "octocat@example.com"}
    return {
        "id": number,
        "node_id": f"CS_{number}",
        "head_branch": described["default_branch"],
        "head_sha": sha,
        "status": status,
        "conclusion": conclusion,
        "url": url,
        "before": NO_COMMIT,
        "after": sha,
        "pull_requests": [],
        "app": by,
        "repository": described,
        "created_at": timestamp(at),
        "updated_at": timestamp(at),
        "head_commit": {
            "id": sha,
            "tree_id": hashed(sha),
            "message": f"Commit {sha[:7]}",
            "timestamp": timestamp(at),
            "author": person,
            "committer": person,
        },
        "latest_check_runs_count": runs,
        "check_runs_url": f"{url}/check-runs",
    }


def app(
    api: str,
    *,
    number: int,
    client_id: str,
    permissions: Mapping[str, str],
    name: str = "Slipway",
) -> Json:
    """A GitHub App, which GitHub's description calls an integration."""
    slug = name.lower().replace(" ", "-")
    return {
        "id": number,
        "slug": slug,
        "client_id": client_id,
        "node_id": f"A_{number}",
        "owner": user(api, "example"),
        "name": name,
        "description": None,
        "external_url": "https://example.com",
        "html_url": f"{HTML}/apps/{slug}",
        "created_at": timestamp(0),
        "updated_at": timestamp(0),
        "permissions": {**permissions, "metadata": "read"},
        "events": ["push"],
    }


def installation(api: str, integration: Json, *, number: int, account: str, selection: str) -> Json:
    url = f"{api}/app/installations/{number}"
    return {
        "id": number,
        "account": user(api, account),
        "app_id": integration["id"],
        "client_id": integration["client_id"],
        "app_slug": integration["slug"],
        "target_id": user(api, account)["id"],
        "target_type": "User",
        "repository_selection": selection,
        "access_tokens_url": f"{url}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "html_url": f"{HTML}/settings/installations/{number}",
        "permissions": integration["permissions"],
        "events": integration["events"],
        "created_at": timestamp(0),
        "updated_at": timestamp(0),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None,
        "suspended_at": None,
    }


def _moved(api: str, value: Json) -> Json:
    """The same value with addresses of this API in place of api.github.com's."""
    moved: Json = json.loads(json.dumps(value).replace("https://api.github.com", api))
    return moved
