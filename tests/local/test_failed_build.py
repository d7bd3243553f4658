"""A failed build says why when `python -m infra.local serve` runs it: real git and buildspec."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from tests.support.serving import serving


def call(ready: dict[str, Any], path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {ready['token']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ready["api"] + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_failed_build_shows_its_cause_and_a_missing_repository_is_refused() -> None:
    with serving() as (_, ready):
        call(ready, "/v1/projects", {"name": "shop"})
        service = {
            "name": "web",
            "git_url": "https://github.com/example/app.git",
            "image_repository": "nothere",
            "dockerfile": "docker/Dockerfile",
        }
        status, refused = call(ready, "/v1/projects/1/services", service)
        assert (status, refused["code"]) == (400, "image_repository_not_found")
        service["image_repository"] = "myapp"
        assert call(ready, "/v1/projects/1/services", service)[0] == 201
        call(ready, "/v1/cicd/services/1/build", {})
        deadline = time.monotonic() + 60
        while (build := call(ready, "/v1/cicd/builds/1")[1])["finished_at"] is None:
            assert time.monotonic() < deadline, build
            time.sleep(0.2)
    failure = build["failure"]
    assert (build["status"], failure["phase"], failure["exit_code"]) == ("failed", "prepare", 1)
    assert failure["summary"] == build["error"]
    assert "docker/Dockerfile" in failure["summary"]
    assert failure["log_tail"][-1] == f"error: {failure['summary']}"
    assert failure["next_step"].startswith("Commit a Dockerfile")
    assert len(build["commit_sha"]) == 40
