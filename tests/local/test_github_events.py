"""The events of GitHub on this machine have the form that GitHub's schemas describe."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from infra.local.github.folders import LocalGitHub
from infra.local.play.github import push_event
from infra.local.play.sample import GIT_URL, Sample, create_sample
from infra.local.repositories import add_repository
from tests.support.github.cut_webhooks import CUT

DEFINITIONS = json.loads(CUT.read_text())["definitions"]
APP = "example/app"


def problems(event: str, payload: Any) -> list[str]:
    """Where the payload differs from GitHub's schema of the event."""
    schema = {"$ref": f"#/definitions/{event.replace('$', '%24')}", "definitions": DEFINITIONS}
    found = Draft7Validator(schema).iter_errors(payload)
    return [f"{each.json_path}: {each.message[:200]}" for each in found]


def test_a_push_has_the_form_of_github() -> None:
    assert problems("push$event", push_event(APP, "main", "a" * 40, pushed_at=1)) == []


def test_the_schemas_refuse_a_wrong_payload() -> None:
    payload = push_event(APP, "main", "a" * 40, pushed_at=1)
    assert problems("push$event", payload | {"after": 5})


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A repository in a folder, with a commit on its branch "changes"."""
    sample = create_sample(tmp_path / "git")
    add_repository(tmp_path, GIT_URL, sample.path)
    sample.branch("changes")
    sample.commit("2")
    return sample


@pytest.fixture
def github(sample: Sample, tmp_path: Path) -> Iterator[LocalGitHub]:
    github = LocalGitHub(tmp_path)
    github.start()
    yield github
    github.stop()


def test_pull_requests_of_a_folder_have_the_form_of_github(github: LocalGitHub) -> None:
    head = github.repository(APP).branches["changes"]
    events = [
        github.open_pull_request(APP, "changes", title="Say more"),
        github.update_pull_request(APP, 1),
        github.close_pull_request(APP, 1),
        github.reopen_pull_request(APP, 1),
    ]
    for event in events:
        assert problems(f"pull_request${event['action']}", event) == []
        pull = event["pull_request"]
        assert (pull["head"]["sha"], pull["head"]["ref"]) == (head, "changes")
        assert pull["base"]["ref"] == "main"
        assert pull["head"]["repo"]["full_name"] == event["repository"]["full_name"] == APP
    assert [each["action"] for each in events] == ["opened", "synchronize", "closed", "reopened"]


def test_a_push_to_the_branch_moves_the_head(github: LocalGitHub, sample: Sample) -> None:
    first = github.open_pull_request(APP, "changes")["pull_request"]["head"]["sha"]
    newer = sample.commit("3")
    event = github.update_pull_request(APP, 1)
    assert (event["before"], event["after"]) == (first, newer)
    assert event["pull_request"]["head"]["sha"] == newer
