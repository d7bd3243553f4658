"""Requests and events as GitHub, API Gateway and SQS send them."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from chalicelib import clock
from chalicelib.domain.timing import rfc3339

WEBHOOK_SECRET = "It's a Secret to Everybody"  # GitHub's documentation uses this one
SHA = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


def push_payload(**changes: Any) -> dict[str, Any]:
    """GitHub's push event: the fields that Slipway reads, and some that it must ignore."""
    return {
        "ref": "refs/heads/master",
        "before": "0" * 40,
        "after": SHA,
        "created": False,
        "deleted": False,
        "forced": False,
        "repository": {
            "id": 186853002,
            "full_name": "Codertocat/Hello-World",
            "html_url": "https://github.com/Codertocat/Hello-World",
            "clone_url": "https://github.com/Codertocat/Hello-World.git",
            "pushed_at": clock.now(),
        },
        "sender": {"login": "Codertocat"},
        "head_commit": {
            "id": SHA,
            "message": "Say hello\n\nand more",
            "author": {"name": "Codertocat"},
        },
        "commits": [],
        **changes,
    }


def pull_payload(**changes: Any) -> dict[str, Any]:
    """GitHub's pull_request event: the fields that Slipway reads, and some that it must ignore.

    `pull_request__head__ref` is the field `ref` of `head` of `pull_request`.
    """
    repository = {
        "id": 186853002,
        "full_name": "Codertocat/Hello-World",
        "html_url": "https://github.com/Codertocat/Hello-World",
        "clone_url": "https://github.com/Codertocat/Hello-World.git",
    }
    pull = {
        "number": 2,
        "state": "open",
        "title": "Update the README",
        "draft": False,
        "user": {"login": "octocat"},
        "updated_at": rfc3339(clock.now()),
        "head": {"ref": "changes", "sha": SHA, "repo": dict(repository)},
        "base": {"ref": "master", "sha": "f" * 40, "repo": dict(repository)},
    }
    payload: dict[str, Any] = {
        "action": "opened",
        "number": 2,
        "pull_request": pull,
        "repository": repository,
        "sender": {"login": "Codertocat"},
    }
    for path, value in changes.items():
        *parents, key = path.split("__")
        inner = payload
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
    return payload


def real_payload(name: str, **changes: Any) -> dict[str, Any]:
    """One of GitHub's example payloads (octokit/webhooks, payload-examples), pushed now."""
    path = Path(__file__).parent / "payloads" / f"{name}.json"
    payload: dict[str, Any] = json.loads(path.read_text()) | changes
    payload["repository"]["pushed_at"] = clock.now()
    if "pull_request" in payload:
        payload["pull_request"]["updated_at"] = rfc3339(clock.now())
    return payload


def signature(body: bytes, secret: str) -> str:
    """GitHub's X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def delivery_headers(
    body: bytes,
    *,
    secret: str = WEBHOOK_SECRET,
    event: str = "push",
    delivery: str = "72d3162e-cc78-11e3-81ab",
) -> dict[str, str | None]:
    """The headers of a delivery. GitHub sends no API token."""
    return {
        "Authorization": None,
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": signature(body, secret),
    }


def sqs_event(*bodies: str) -> dict[str, Any]:
    """A Lambda invocation by SQS (AWS Lambda developer guide: "Using Lambda with Amazon SQS")."""
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:slipway-wakeups",
                "awsRegion": "eu-west-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def wakeup_event(row_id: str) -> dict[str, Any]:
    """The SQS event that delivers one of Slipway's wake-ups."""
    return sqs_event(json.dumps({"v": 1, "reconcile": row_id}))


def gateway_event(
    method: str, resource: str, *, stage: str = "api", body: str | None = None, **ids: str
) -> dict[str, Any]:
    """A Lambda invocation by API Gateway's proxy integration; its request path has the stage."""
    return {
        "resource": resource,
        "path": resource.format(**ids),
        "httpMethod": method,
        "headers": {"content-type": "application/json"},
        "multiValueHeaders": {"content-type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": ids or None,
        "stageVariables": None,
        "requestContext": {
            "httpMethod": method,
            "resourcePath": resource,
            "path": f"/{stage}{resource.format(**ids)}",
            "requestId": "deef4878-7910-11e6-8f14-25afc3e9ae33",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": body,
        "isBase64Encoded": False,
    }
