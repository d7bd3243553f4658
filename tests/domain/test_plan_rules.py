"""Plans: the differences of two task definitions, and the commits between two releases."""

import json
from typing import Any

import pytest

from chalicelib.domain.definitions import differs
from chalicelib.domain.plan import Changes, ContainerChange, Names, changes, commits_between

A, B = "a" * 40, "b" * 40
GIT_URL = "https://github.com/Codertocat/Hello-World.git"


def definition(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"family": "hello", "containerDefinitions": list(containers), **more}


def app(image: str = "hello:1", **more: Any) -> dict[str, Any]:
    return {"name": "app", "image": image, **more}


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def test_equal_definitions_have_no_changes() -> None:
    described = definition(
        app(mountPoints=[], environment=[]), revision=7, taskDefinitionArn="arn", tags=[]
    )
    requested = definition(app())
    assert changes(described, requested) == Changes()


def test_only_the_containers_that_change_are_named() -> None:
    now = definition(app(), {"name": "proxy", "image": "proxy:1"})
    then = definition(app("hello:2"), {"name": "proxy", "image": "proxy:1"})
    (container,) = changes(now, then).containers
    assert container == ContainerChange(
        name="app",
        image_now="hello:1",
        image_then="hello:2",
        environment=Names(),
        secrets=Names(),
        settings=(),
    )


def test_names_of_variables_and_secrets_are_shown_without_values() -> None:
    now = definition(
        app(
            environment=variables(KEPT="same-value", CHANGED="old-value", REMOVED="gone-value"),
            secrets=[{"name": "TOKEN", "valueFrom": "arn:old"}],
        )
    )
    then = definition(
        app(
            environment=variables(KEPT="same-value", CHANGED="new-value", ADDED="more-value"),
            secrets=[
                {"name": "TOKEN", "valueFrom": "arn:new"},
                {"name": "K", "valueFrom": "arn:k"},
            ],
        )
    )
    (container,) = changes(now, then).containers
    assert container.environment == Names(
        added=("ADDED",), removed=("REMOVED",), changed=("CHANGED",)
    )
    assert container.secrets == Names(added=("K",), changed=("TOKEN",))
    shown = json.dumps([*container.environment.added, container.settings, repr(container)])
    assert "-value" not in shown
    assert "arn:" not in shown


def test_other_settings_are_named() -> None:
    now = definition(app(command=["a"], cpu=1), cpu="256", memory="512")
    then = definition(app(command=["b"], cpu=1), cpu="512", memory="512")
    found = changes(now, then)
    assert found.settings == ("cpu",)
    assert found.containers[0].settings == ("command",)


def test_added_and_removed_containers_are_shown() -> None:
    found = changes(definition(app()), definition({"name": "web", "image": "hello:2"}))
    assert [(each.name, each.image_now, each.image_then) for each in found.containers] == [
        ("app", "hello:1", None),
        ("web", None, "hello:2"),
    ]


@pytest.mark.parametrize(
    ("git_url", "back", "url"),
    [
        (GIT_URL, False, f"https://github.com/Codertocat/Hello-World/compare/{A}...{B}"),
        (GIT_URL, True, f"https://github.com/Codertocat/Hello-World/compare/{B}...{A}"),
        ("https://git.example.com/a/b.git", False, None),
        ("not a url", False, None),
    ],
)
def test_github_shows_the_commits_between_two_releases(
    git_url: str, back: bool, url: str | None
) -> None:
    found = commits_between(A, B, git_url=git_url, back=back)
    assert found is not None
    assert (found.now, found.then, found.compare_url) == (A, B, url)


def test_equal_commits_have_nothing_to_compare() -> None:
    found = commits_between(A, A, git_url=GIT_URL, back=False)
    assert found is not None
    assert found.compare_url is None


@pytest.mark.parametrize(("now", "then"), [(None, B), (A, None), (None, None)])
def test_an_unknown_commit_has_no_range(now: str | None, then: str | None) -> None:
    assert commits_between(now, then, git_url=GIT_URL, back=False) is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (definition(app("hello:2")), False),
        (definition(app("hello:2"), revision=9, registeredBy="ci"), False),
        (definition(app("hello:2", cpu=2)), True),
        (definition(app("hello:2"), cpu="512"), True),
        (definition({"name": "web", "image": "hello:1"}), True),
    ],
)
def test_definitions_are_compared_without_the_image(other: dict[str, Any], expected: bool) -> None:
    assert differs(definition(app()), other, containers=["app"]) is expected
