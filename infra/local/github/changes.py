"""What requests create: commit statuses, deployments, installation access tokens.

Each function raises Refusal for what GitHub refuses. Quoted texts and the names of pages are from
GitHub's REST API. The messages of refusals are not documented: they are as clients reported them.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from infra.local.github import shapes
from infra.local.github.refusals import Refusal, invalid_field, not_found
from infra.local.github.shapes import Json
from infra.local.github.state import Repository, State, Token

SHA = re.compile(r"[0-9a-f]{40}", re.ASCII)
STATUS_STATES = ("error", "failure", "pending", "success")
DEPLOYMENT_STATES = (*STATUS_STATES, "inactive", "in_progress", "queued")
# "Create a commit status": "There is a limit of 1000 statuses per sha and context".
MAX_STATUSES = 1000
# "Create a deployment status". GitHub applies the same limit to commit statuses.
MAX_DESCRIPTION = 140
# "Create an installation access token for an app": "Installation tokens expire one hour from the
# time you create them."
TOKEN_LIFETIME = 3600


def create_status(state: State, repository: Repository, sha: str, body: Json, by: Token) -> Json:
    """The new status of a commit."""
    if not SHA.fullmatch(sha):
        raise invalid_field("Status", "sha", "sha must be a 40 character SHA1")
    if sha not in repository.parents:
        raise Refusal(422, f"No commit found for SHA: {sha}")
    _check_state("Status", body, STATUS_STATES)
    _check_description("Status", body)
    _check_url("Status", "target_url", body)
    context = body.get("context", "default")
    before = repository.statuses.setdefault(sha, [])
    same = [each for each in before if each["context"].lower() == context.lower()]
    if len(same) >= MAX_STATUSES:
        message = "This SHA and context has reached the maximum number of statuses."
        error = {"resource": "Status", "code": "custom", "message": message}
        raise Refusal(422, "Validation Failed", [error])
    status = _new(state, "SC", by) | {
        "url": f"{state.url}/repos/{repository.full_name}/statuses/{sha}",
        "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4",
        "state": body["state"],
        "description": body.get("description"),
        "target_url": body.get("target_url"),
        "context": context,
    }
    before.append(status)
    return status


def create_deployment(
    state: State, repository: Repository, body: Json, by: Token
) -> tuple[int, Json]:
    """201 and the deployment, or 202 and a message after a merge."""
    sha = repository.resolve(body["ref"])
    if sha is None:
        raise Refusal(422, f"No ref found for: {body['ref']}")
    if body.get("auto_merge", True) and (merged := _merge(repository, body["ref"], sha)):
        return 202, {"message": merged}
    _check_contexts(repository, sha, body)
    environment = body.get("environment", "production")
    deployment = _new(state, "DE", by)
    url = f"{state.url}/repos/{repository.full_name}/deployments/{deployment['id']}"
    deployment |= {
        "url": url,
        "sha": sha,
        "ref": body["ref"],
        "task": body.get("task", "deploy"),
        "payload": _payload(body),
        "original_environment": environment,
        "environment": environment,
        "description": body.get("description"),
        "statuses_url": f"{url}/statuses",
        "repository_url": f"{state.url}/repos/{repository.full_name}",
        "transient_environment": body.get("transient_environment", False),
        "production_environment": body.get("production_environment", environment == "production"),
        **_performed_by(state, by),
    }
    repository.deployments[deployment["id"]] = deployment
    repository.deployment_statuses[deployment["id"]] = []
    return 201, deployment


def create_deployment_status(
    state: State, repository: Repository, deployment: Json, body: Json, by: Token
) -> Json:
    """The new status. It may change the deployment's environment, and other deployments."""
    _check_state("DeploymentStatus", body, DEPLOYMENT_STATES)
    _check_description("DeploymentStatus", body)
    for name in ("environment_url", "log_url", "target_url"):
        _check_url("DeploymentStatus", name, body)
    deployment["environment"] = body.get("environment", deployment["environment"])
    log_url = body.get("log_url") or body.get("target_url", "")
    status = _add_deployment_status(state, deployment, repository, by) | {
        "state": body["state"],
        "description": body.get("description", ""),
        "environment_url": body.get("environment_url", ""),
        "log_url": log_url,
        "target_url": log_url,
    }
    repository.deployment_statuses[deployment["id"]].append(status)
    if body["state"] == "success" and body.get("auto_inactive", True):
        _make_prior_inactive(state, repository, deployment, by)
    return status


def create_installation_token(state: State, number: int, body: Json) -> Json:
    """A token for the repositories and permissions that the body asks for, or for all."""
    installation = state.installations.get(number)
    if installation is None or state.app is None:
        raise not_found()
    if installation.is_suspended:
        raise Refusal(403, "This installation has been suspended")
    mine = [each for each in state.repositories.values() if installation.includes(each)]
    # Names of repositories are not case-sensitive.
    names = [name.lower() for name in body.get("repositories", [])]
    numbers = body.get("repository_ids", [])
    chosen = [
        each
        for each in mine
        if each.full_name.lower().partition("/")[2] in names or each.number in numbers
    ]
    if len(chosen) < len(set(names)) + len(set(numbers)):
        message = "There is at least one repository that does not exist or is not accessible"
        raise Refusal(422, f"{message} to the parent installation.")
    permissions = body.get("permissions", state.app.permissions)
    granted = {"metadata": "read", **state.app.permissions}
    if any(granted.get(name) not in ("write", each) for name, each in permissions.items()):
        message = "The permissions requested are not granted to this installation."
        raise Refusal(422, message)
    expires_at = int(state.clock()) + TOKEN_LIFETIME
    # The same page says not to rely on tokens of 40 characters.
    secret = f"ghs_{state.app.number}_{state.next_id()}.{shapes.hashed(str(number)) * 8}"
    may_use = frozenset(each.full_name.lower() for each in chosen or mine)
    state.tokens[secret] = Token("slipway[bot]", may_use, permissions, expires_at, number)
    all_of_account = installation.repositories is None and not chosen
    return {
        "token": secret,
        "expires_at": shapes.timestamp(expires_at),
        "permissions": {**permissions, "metadata": "read"},
        "repository_selection": "all" if all_of_account else "selected",
        **({"repositories": [state.described(each) for each in chosen]} if chosen else {}),
    }


def _new(state: State, prefix: str, by: Token) -> Json:
    number, now = state.next_id(), shapes.timestamp(state.clock())
    return {
        "id": number,
        "node_id": f"{prefix}_{number}",
        "creator": shapes.user(state.url, by.login),
        "created_at": now,
        "updated_at": now,
    }


def _performed_by(state: State, by: Token) -> Json:
    return {"performed_via_github_app": state.integration()} if by.installation else {}


def _add_deployment_status(
    state: State, deployment: Json, repository: Repository, by: Token
) -> Json:
    status = _new(state, "DES", by)
    deployment["updated_at"] = status["created_at"]
    return status | {
        "url": f"{deployment['statuses_url']}/{status['id']}",
        "environment": deployment["environment"],
        "deployment_url": deployment["url"],
        "repository_url": f"{state.url}/repos/{repository.full_name}",
        **_performed_by(state, by),
    }


def _make_prior_inactive(state: State, repository: Repository, deployment: Json, by: Token) -> None:
    """`auto_inactive` of "Create a deployment status"."""
    for number, prior in repository.deployments.items():
        statuses = repository.deployment_statuses[number]
        if (
            number < deployment["id"]
            and prior["environment"] == deployment["environment"]
            and not prior["transient_environment"]
            and not prior["production_environment"]
            and statuses
            and statuses[-1]["state"] == "success"
        ):
            status = _add_deployment_status(state, prior, repository, by)
            kept = {name: statuses[-1][name] for name in ("log_url", "target_url")}
            kept |= {"description": "", "environment_url": statuses[-1]["environment_url"]}
            statuses.append(status | kept | {"state": "inactive"})


def _merge(repository: Repository, ref: str, sha: str) -> str | None:
    """`auto_merge` of "Create a deployment": merge the default branch into a branch behind it.

    Returns GitHub's message if it merged. Raises Refusal for a commit, which cannot be merged into.
    """
    base = repository.default_branch
    base_sha = repository.branches.get(base)
    if base_sha is None or repository.contains(sha, base_sha):
        return None
    name = ref.removeprefix("refs/").removeprefix("heads/")
    if name not in repository.branches:
        raise Refusal(409, f"Conflict merging {base} into {ref}.")
    merged = shapes.hashed(sha + base_sha)
    repository.parents[merged] = (sha, base_sha)
    repository.branches[name] = merged
    return f"Auto-merged {base} into {ref} on deployment."


def _check_state(resource: str, body: Json, known: tuple[str, ...]) -> None:
    if body["state"] not in known:
        raise invalid_field(resource, "state", "state is not included in the list")


def _check_description(resource: str, body: Json) -> None:
    description = body.get("description") or ""
    if len(description) > MAX_DESCRIPTION:
        message = f"description is too long (maximum is {MAX_DESCRIPTION} characters)"
        raise invalid_field(resource, "description", message)
    # Not documented. Reported to ouzi-dev/commit-status-updater and wip/app.
    if resource == "Status" and any(character > "\uffff" for character in description):
        raise invalid_field(resource, "description", "description doesn't accept 4-byte Unicode")


def _check_url(resource: str, name: str, body: Json) -> None:
    """Not documented. Reported to jenkinsci/ghprb-plugin."""
    value = body.get(name)
    if value and not value.startswith(("http://", "https://")):
        raise invalid_field(resource, name, f"{name} must use http(s) scheme")


def _payload(body: Json) -> Json | str:
    """Text that holds a JSON object comes back as the object: "Create a deployment", example."""
    payload: Json | str = body.get("payload", {})
    if isinstance(payload, str):
        with suppress(ValueError):
            value = json.loads(payload)
            return value if isinstance(value, dict) else payload
    return payload


def _check_contexts(repository: Repository, sha: str, body: Json) -> None:
    """`required_contexts` of "Create a deployment".

    That check runs count as contexts is not documented. Reported to drevops/vortex.
    """
    states = {each["context"]: each["state"] for each in repository.contexts(sha).values()}
    for run in repository.check_runs.get(sha, []):
        states[run["name"]] = run["conclusion"] or "pending"
    required: Iterable[Any] = body.get("required_contexts", states)
    found = [{"context": name, "state": states.get(name, "pending")} for name in required]
    if any(each["state"] != "success" for each in found):
        error = {
            "contexts": found,
            "resource": "Deployment",
            "field": "required_contexts",
            "code": "invalid",
        }
        raise Refusal(409, f"Conflict: Commit status checks failed for {body['ref']}.", [error])
