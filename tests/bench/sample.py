"""The push that Slipway and Buildbot get: one of GitHub's example payloads, with another commit."""

import json

from tests.support.builders import real_payload


def push_body(sha: str) -> bytes:
    """The body of a delivery. Its commit is `sha`, of branch master."""
    payload = real_payload("push.branch_created", after=sha)
    payload["commits"] = [payload["head_commit"] | {"id": sha}]
    payload["head_commit"] = payload["commits"][0]
    return json.dumps(payload).encode()
