"""GitHub's deliveries of pushes and pull requests, for the demo and the tests.

The fields are from GitHub's "Webhook events and payloads": push, pull_request.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

_USER_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_URLS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def push_event(
    full_name: str, branch: str, sha: str, *, pushed_at: int, message: str = "Say hello"
) -> dict[str, Any]:
    """The payload of a push of one commit to a branch."""
    login = full_name.partition("/")[0]
    repository = _repository(full_name, branch, pushed_at)
    commit = _commit(repository["html_url"], login, sha, pushed_at, message)
    return {
        "ref": f"refs/heads/{branch}",
        "before": hashlib.sha1(sha.encode(), usedforsecurity=False).hexdigest(),
        "after": sha,
        "repository": repository,
        "pusher": {"name": login, "email": f"{login}@users.noreply.github.com"},
        "sender": _user(login),
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": commit["url"],
        "commits": [commit],
        "head_commit": commit,
    }


def pull_request_event(
    full_name: str,
    number: int,
    *,
    action: str,
    head: str,
    base: str,
    sha: str,
    at: int,
    before: str | None = None,
    title: str = "Say hello",
) -> dict[str, Any]:
    """The payload of an event of a pull request from a branch of the same repository.

    `before` is the head commit before a push to it (action `synchronize`).
    """
    login, is_closed = full_name.partition("/")[0], action == "closed"
    repository = _repository(full_name, base, at) | {"pushed_at": _iso(at), "created_at": _iso(0)}
    repository |= {f"allow_{how}_merge": True for how in ("squash", "rebase")}
    repository |= {"allow_merge_commit": True, "allow_auto_merge": False, "allow_forking": True}
    repository |= {"delete_branch_on_merge": False, "allow_update_branch": False}
    del repository["master_branch"]
    html = f"{repository['html_url']}/pull/{number}"
    api = f"https://api.github.com/repos/{full_name}"
    urls = {
        "self": f"{api}/pulls/{number}",
        "html": html,
        "issue": f"{api}/issues/{number}",
        "comments": f"{api}/issues/{number}/comments",
        "review_comments": f"{api}/pulls/{number}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{api}/pulls/{number}/commits",
        "statuses": f"{api}/statuses/{sha}",
    }
    pull: dict[str, Any] = {
        "url": urls["self"],
        "id": 279147437,
        "node_id": "PR_kwDOCyMeys4Qo3dt",
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        **{f"{name}_url": urls[name] for name in urls if name not in {"self", "html"}},
        "number": number,
        "state": "closed" if is_closed else "open",
        "locked": False,
        "title": title,
        "user": _user(login),
        "body": None,
        "created_at": _iso(at),
        "updated_at": _iso(at),
        "closed_at": _iso(at) if is_closed else None,
        "merged_at": None,
        "merge_commit_sha": None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [],
        "milestone": None,
        "head": _end(repository, login, head, sha),
        "base": _end(repository, login, base, hashlib.sha1(base.encode()).hexdigest()),
        "_links": {name: {"href": url} for name, url in urls.items()},
        "author_association": "OWNER",
        "auto_merge": None,
        "active_lock_reason": None,
        "draft": False,
        "merged": False,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "merged_by": None,
        "maintainer_can_modify": False,
        **dict.fromkeys(("comments", "review_comments", "deletions"), 0),
        **dict.fromkeys(("commits", "additions", "changed_files"), 1),
    }
    pushed = {"before": before, "after": sha} if action == "synchronize" else {}
    return {
        "action": action,
        "number": number,
        **pushed,
        "pull_request": pull,
        "repository": repository,
        "sender": _user(login),
    }


def _end(repository: dict[str, Any], login: str, branch: str, sha: str) -> dict[str, Any]:
    return {
        "label": f"{login}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": _user(login),
        "repo": repository,
    }


def signature(body: bytes, secret: str) -> str:
    """X-Hub-Signature-256 of a delivery's body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _repository(full_name: str, branch: str, pushed_at: int) -> dict[str, Any]:
    owner, _, name = full_name.partition("/")
    html = f"https://github.com/{full_name}"
    api = f"https://api.github.com/repos/{full_name}"
    counts = ("stargazers", "watchers", "forks", "open_issues")
    return {
        "id": 186853002,
        "node_id": "R_kgDOCyMeyg",
        "name": name,
        "full_name": full_name,
        "private": False,
        "owner": _user(owner) | {"name": owner, "email": f"{owner}@users.noreply.github.com"},
        "html_url": html,
        "description": None,
        "fork": False,
        "url": html,
        **{field: api + path for field, path in _REPOSITORY_URLS.items()},
        "created_at": 1557933565,
        "updated_at": _iso(pushed_at),
        "pushed_at": pushed_at,
        "git_url": f"git://github.com/{full_name}.git",
        "ssh_url": f"git@github.com:{full_name}.git",
        "clone_url": f"{html}.git",
        "svn_url": html,
        "homepage": None,
        "size": 0,
        "language": "Python",
        **{f"has_{what}": True for what in ("issues", "projects", "downloads", "wiki", "pages")},
        **dict.fromkeys(counts, 0),
        **{f"{count}_count": 0 for count in counts},
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "license": None,
        "default_branch": branch,
        "master_branch": branch,
        "is_template": False,
        "topics": [],
        "visibility": "public",
        "web_commit_signoff_required": False,
        "custom_properties": {},
    }


def _user(login: str) -> dict[str, Any]:
    api = f"https://api.github.com/users/{login}"
    return {
        "login": login,
        "id": 21031067,
        "node_id": "U_kgDOAUDs2w",
        "avatar_url": "https://avatars.githubusercontent.com/u/21031067?v=4",
        "gravatar_id": "",
        "url": api,
        "html_url": f"https://github.com/{login}",
        **{field: api + path for field, path in _USER_URLS.items()},
        "type": "User",
        "site_admin": False,
    }


def _commit(html: str, login: str, sha: str, at: int, message: str) -> dict[str, Any]:
    author = {
        "name": login,
        "email": f"{login}@users.noreply.github.com",
        "username": login,
    }
    return {
        "id": sha,
        "tree_id": hashlib.sha1(message.encode(), usedforsecurity=False).hexdigest(),
        "distinct": True,
        "message": message,
        "timestamp": _iso(at),
        "url": f"{html}/commit/{sha}",
        "author": author,
        "committer": author,
        "added": [],
        "removed": [],
        "modified": ["site/index.html"],
    }


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
