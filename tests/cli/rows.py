"""Rows of the API for the tests of the command line. Each test changes what it is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

SHA = "3f2a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c"


def summary(number: int, status: str = "success", **changes: Any) -> dict[str, Any]:
    """A deployment in the list of services."""
    return {
        "id": number,
        "job_id": f"deploy-{number}",
        "status": status,
        "progress": 100 if status == "success" else 40,
        "trigger": "manual",
        "requested_by": "token:ada",
        "reason": None,
        "commit_sha": SHA,
        "commit_message": "Fix the login",
        "author": "Ada",
        "image_tag": "myapp:main-7",
        "image_digest": f"sha256:{'ab' * 32}",
        "build_id": 7,
        "error": None,
        "created_at": "2026-01-02T03:04:05Z",
        "started_at": "2026-01-02T03:04:06Z",
        "finished_at": "2026-01-02T03:05:05Z" if status != "deploying" else None,
        **changes,
    }


def service(name: str = "web", project: str = "shop", **changes: Any) -> dict[str, Any]:
    """A service in the list of services, with a release that runs."""
    return {
        "id": 1,
        "name": name,
        "project_id": 1,
        "project": project,
        "branch": "main",
        "image_from": None,
        "auto_build": True,
        "auto_deploy": True,
        "auto_deploy_paused": None,
        "drift": None,
        "health": None,
        "attention": None,
        "tasks": {"running": 2, "desired": 2, "seen_at": None},
        "current": summary(3),
        "active": None,
        "waiting": None,
        "last_deployment": summary(3),
        "failed_deployment": None,
        "last_build": None,
        "open_builds": 0,
        **changes,
    }


def checks(**changes: Any) -> dict[str, Any]:
    """The checks that a deployment waits for, since five minutes and for 25 minutes more."""
    now = datetime.now(UTC)
    return {
        "required": ["lint", "test"],
        "running": [],
        "missing": [],
        "since": (now - timedelta(hours=3, minutes=30)).isoformat(),
        "deadline_at": (now + timedelta(hours=5, minutes=30)).isoformat(),
        "asked_at": None,
        "trouble": None,
        **changes,
    }


def page(*items: Any, after: str | None = None) -> dict[str, Any]:
    """A page of a list."""
    return {"items": list(items), "next_cursor": after}


def build(number: int, status: str = "success", **changes: Any) -> dict[str, Any]:
    """A build."""
    return {
        "id": number,
        "job_id": f"build-{number}",
        "status": status,
        "progress": 100 if status == "success" else 40,
        "trigger": "manual",
        "requested_by": "token:ada",
        "error": None,
        "failure": None,
        "warnings": [],
        "git_ref": "main",
        "ref_type": "branch",
        "commit_sha": SHA,
        "commit_message": "Fix the login",
        "image_tag": f"myapp:main-{number}",
        "deployment_id": None,
        "created_at": "2026-01-02T03:04:05Z",
        "finished_at": None if status in {"queued", "building"} else "2026-01-02T03:05:05Z",
        **changes,
    }


def deployment(number: int, status: str = "success", **changes: Any) -> dict[str, Any]:
    """A deployment."""
    return {**summary(number, status), "failure": None, "warnings": [], "restores": None, **changes}


def awaiting(number: int = 4, hook: str = "hook-1", **changes: Any) -> dict[str, Any]:
    """A canary that awaits approval for five hours more."""
    deadline = (datetime.now(UTC) + timedelta(hours=5, minutes=30)).isoformat()
    return {
        **deployment(number, "deploying"),
        "service_id": 1,
        "step": "pre production traffic shift",
        "strategy": "CANARY",
        "stage": "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "traffic": 10.0,
        "test_traffic": 100.0,
        "awaiting": "approval",
        "approval": {"hook_id": hook, "number": 1, "since": None, "expires_at": deadline},
        "approvals": [],
        **changes,
    }


def approval(hook: str = "hook-1", **changes: Any) -> dict[str, Any]:
    """The answer of a person."""
    return {
        "action": "approve",
        "hook_id": hook,
        "number": 1,
        "steps": "next",
        "by": "token:grace",
        "reason": None,
        "at": "2026-01-02T03:04:05Z",
        **changes,
    }


def failure(**changes: Any) -> dict[str, Any]:
    """Why a job failed."""
    return {
        "phase": "roll_out",
        "summary": "container web exited with code 1",
        "exit_code": 1,
        "tasks": [],
        "events": [],
        "log_tail": ["Traceback:", "KeyError: 'DATABASE_URL'"],
        "next_step": "Set the variable that the program needs.",
        **changes,
    }


def plan(**changes: Any) -> dict[str, Any]:
    """A plan that changes nothing but the image."""
    return {
        "possible": True,
        "image_now": {"image": "myapp", "image_tag": "main-7", "deployment_id": 3},
        "image_then": {"image": "myapp", "image_tag": "main-6", "deployment_id": 2},
        "commits": None,
        "changes": None,
        "findings": [],
        "ends": [],
        "starts_after": None,
        "expected": 3,
        "auto_deploy": "paused",
        "release_command": None,
        "desired_count": None,
        "config": None,
        **changes,
    }


def preview(**changes: Any) -> dict[str, Any]:
    """What a rollback would do."""
    return {
        "possible": True,
        "target": deployment(2),
        "code": None,
        "reason": None,
        "findings": [],
        "plan": plan(),
        **changes,
    }


def channel(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A channel of all projects that was not tested yet."""
    return {
        "id": number,
        "kind": "slack",
        "name": "Team",
        "project_id": None,
        "service_id": None,
        "secret": "secretsmanager:slipway/tell/all/slack",
        "target": None,
        "events": [],
        "branches": [],
        "failing_since": None,
        "trouble": None,
        "off_since": None,
        "tested_at": None,
        "created_by": "token:ada",
        "created_at": "2026-01-02T03:04:05Z",
        **changes,
    }


def kinds() -> dict[str, Any]:
    """Two kinds of channels, one of them unknown to the command line."""

    def kind(name: str, field: str, **changes: Any) -> dict[str, Any]:
        return {
            "kind": name,
            "receives": "a message",
            "needs": f"the {field} of {name}",
            "field": field,
            "example": f"secretsmanager:slipway/tell/all/{name}",
            "command": f"aws secretsmanager create-secret --name slipway/tell/all/{name}",
            "without": None,
            "takes_events": True,
            **changes,
        }

    pigeon = kind("pigeon", "target", example="<loft>-1", command="aws pigeons create-loft")
    return {
        "items": [kind("slack", "secret"), pigeon],
        "events": ["build.failed", "build.queued"],
        "usual_events": ["build.failed"],
    }
