"""Parsing events of pull requests, and which of them a service builds."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.pull_requests import (
    BUILDING,
    PullRequest,
    choose,
    parse_pull_request,
    why_ignored,
)
from chalicelib.domain.pushes import Choice
from chalicelib.domain.refs import NULL_SHA
from chalicelib.errors import InvalidInput

PAYLOADS = Path(__file__).parents[1] / "support" / "payloads"
PAYLOAD: dict[str, Any] = json.loads((PAYLOADS / "pull_request.opened.json").read_text())
# Where the values are that decide something.
PATHS = (
    ("action",),
    ("before",),
    ("repository",),
    ("repository", "id"),
    ("repository", "full_name"),
    ("repository", "html_url"),
    ("repository", "clone_url"),
    ("sender",),
    ("pull_request",),
    ("pull_request", "number"),
    ("pull_request", "title"),
    ("pull_request", "user"),
    ("pull_request", "updated_at"),
    *(
        ("pull_request", end, *rest)
        for end in ("head", "base")
        for rest in ((), ("ref",), ("sha",), ("repo",), ("repo", "id"), ("repo", "full_name"))
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@dataclass
class Service:
    branch: str = "master"
    auto_build: bool = True
    build_pull_requests: bool = True
    paths: tuple[str, ...] = ()


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(PAYLOAD)
    inner = changed
    for parent in path[:-1]:
        inner = inner[parent]
    inner[path[-1]] = value
    return changed


def test_githubs_example_is_read() -> None:
    assert parse_pull_request(PAYLOAD) == PullRequest(
        repository="github.com/codertocat/hello-world",
        action="opened",
        number=2,
        title="Update the README with new information.",
        author="Codertocat",
        sender="Codertocat",
        head="changes",
        base="master",
        before=NULL_SHA,
        sha="ec26c3e57ca3a959ca5aad62de7213c562f8c821",
        at=1557933633,
    )


@given(st.sampled_from(PATHS), JSON)
def test_any_value_is_read_or_refused_by_name(path: tuple[str, ...], value: Any) -> None:
    refused = None
    try:
        pull = parse_pull_request(with_value(path, value))
    except InvalidInput as refusal:
        refused = refusal
    if refused is not None:
        assert refused.code == "invalid_payload"
        assert refused.field
    else:
        assert len(pull.sha) == 40
        assert pull.at >= 0
        assert len(pull.title) <= 200


@given(st.sampled_from(PATHS), JSON)
def test_a_head_of_another_repository_is_never_built(path: tuple[str, ...], value: Any) -> None:
    """One wrong value is not enough to make a fork look like the repository."""
    changed = with_value(path, value)
    pull_request = changed.get("pull_request")
    if not isinstance(pull_request, dict) or not isinstance(pull_request.get("head"), dict):
        return
    fork = {"id": 9, "full_name": "mallory/Hello-World"}
    changed["pull_request"] = {**pull_request, "head": {**pull_request["head"], "repo": fork}}
    try:
        pull = parse_pull_request(changed)
    except InvalidInput:
        return
    assert pull.action not in BUILDING or why_ignored(pull)


@pytest.mark.parametrize("value", [None, 5, "text", [], True])
def test_a_payload_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="not an object"):
        parse_pull_request(value)


def test_names_of_repositories_are_compared_without_case() -> None:
    path = ("pull_request", "head", "repo", "full_name")
    assert not parse_pull_request(with_value(path, "CODERTOCAT/hello-world")).unfit


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (Service(), Choice(builds=True)),
        (Service(branch="main"), Choice(builds=False, reason="it follows the branch main")),
        (
            Service(build_pull_requests=False),
            Choice(builds=False, reason="build_pull_requests is off"),
        ),
        (Service(auto_build=False), Choice(builds=False, reason="auto_build is off")),
    ],
)
def test_the_settings_decide(service: Service, expected: Choice) -> None:
    assert choose(parse_pull_request(PAYLOAD), service) == expected
