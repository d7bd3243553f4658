"""Bad input is refused with an error code, and changes no row, queue or AWS resource.

All tests share one world. A refused request leaves it unchanged, and a test with an accepted
request runs in a forked copy.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from moto import mock_aws

from chalicelib import clock
from chalicelib.domain.tokens import Role, new_token
from chalicelib.store.tokens import create_token
from tests.api.bad_inputs import (
    BUILD,
    BUILD_UNDER_WAY,
    BUILT,
    CURRENT,
    FAILED,
    IGNORED,
    LOG_LINES,
    MESSAGES,
    NEIGHBOUR,
    NEIGHBOURS_BUILD,
    NEIGHBOURS_DEPLOYMENT,
    REFUSED,
    SERVICE,
    STALE_MESSAGES,
    UNCONFIGURED,
    UNREADABLE,
    UNREADABLE_PULLS,
    Headers,
    Refused,
    push,
)
from tests.faults.rows import rows
from tests.faults.trials import forked
from tests.support.builders import SHA, delivery_headers, sqs_event
from tests.support.client import Answer
from tests.support.embedded import (
    MINUTE,
    REGISTRY,
    Cloud,
    add_topic,
    client,
    create_image_repository,
    put_image,
)
from tests.support.events import codebuild_event
from tests.support.sdk import Calls, record_calls
from tests.support.written import everything_written, nothing_is_written

# The calls that find the token and the object of a request.
READS = {"dynamodb.GetItem", "dynamodb.BatchGetItem", "dynamodb.Query"}
DEPLOY = f"/v1/cicd/services/{SERVICE}/deploy"


def _first(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [str(row[0]) for row in rows]


class World:
    """Three services, and tokens of all kinds.

    The first service runs its first release, its second deployment failed, and a build is running.
    The neighbour was deployed once. The third service has no ECS target.
    """

    def __init__(self, cloud: Cloud, calls: Calls) -> None:
        self.cloud, self.calls = cloud, calls
        cloud.release(1)
        cloud.begin_release(2)
        cloud.fail_rollout()
        cloud.finish_rollout()  # ECS is back at the first release
        cloud.add_service("neighbour", branch="$(id)")
        for name in ("bare", "other"):
            create_image_repository(name)
        self.bare = self._made(
            "/v1/projects/1/services",
            {
                "name": "bare",
                "git_url": "https://github.com/Codertocat/Hello-World.git",
                "branch": "none",
                "image_repository": "bare",
            },
        )
        for service in (SERVICE, NEIGHBOUR):
            path = f"/v1/cicd/services/{service}/build"
            answer = cloud.api.post(path, {}, headers={"Idempotency-Key": "used"})
            assert answer.status == 202, answer.text
        digest = put_image("neighbour", "x")
        cloud.api.post(
            f"/v1/cicd/services/{NEIGHBOUR}/deploy", {"image_tag": f"neighbour@{digest}"}
        )
        cloud.settle()
        cloud.finish_rollout("neighbour")
        self.digest = put_image("hello", "latest")
        add_topic(cloud)
        self._write_log()
        self.tokens = self._make_tokens()
        for _ in range(3):
            cloud.tick()
        cloud.settle()
        assert cloud.service()["current_deployment_id"] == CURRENT
        assert cloud.statuses(CURRENT, FAILED, NEIGHBOURS_DEPLOYMENT) == [
            "success",
            "failed",
            "success",
        ]
        assert cloud.build(BUILD_UNDER_WAY)["status"] == "building"
        assert cloud.build(NEIGHBOURS_BUILD)["service_id"] == NEIGHBOUR
        assert self.bare["id"] == UNCONFIGURED

    def send(self, row: Refused) -> Answer:
        return self.cloud.api.request(
            row.method,
            row.path.format_map(self.tokens),
            body=row.body,
            raw=row.raw,
            headers={
                name: value and value.format_map(self.tokens) for name, value in row.headers.items()
            },
        )

    def deliver(self, body: bytes, headers: Headers) -> Answer:
        headers = {**delivery_headers(body), **headers}
        return self.cloud.api.post("/v1/webhooks/github", raw=body, headers=headers)

    def wake_by(self, message: str) -> None:
        self.cloud.app.handler_map["on_wakeup"](sqs_event(message), None)

    @contextmanager
    def untouched(self, *, reads: frozenset[str] = frozenset()) -> Iterator[None]:
        """Fail if a row or message changes, or on AWS calls other than READS and `reads`."""
        with nothing_is_written():
            self.calls.clear()
            yield
            assert set(self.calls.counted) <= READS | reads

    def _made(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.cloud.api.post(path, body)
        assert answer.status == 201, answer.text
        return answer.body

    def _make_tokens(self) -> dict[str, str]:
        revoked = self._made("/v1/tokens", {"name": "revoked", "role": "admin"})
        assert self.cloud.api.delete(f"/v1/tokens/{revoked['id']}").status == 204
        made = {
            "viewer": create_token("viewer", Role.VIEWER),
            "neighbours": create_token(
                "neighbours", Role.DEPLOYER, project_id=1, service_id=NEIGHBOUR
            ),
            "expired": create_token("expired", Role.ADMIN, expires_at=clock.now() + MINUTE),
        }
        tokens = {name: token.secret for name, token in made.items()}
        for token in tokens.values():
            # This records the use of the token, so that later requests do not.
            assert self.cloud.api.as_holder_of(token).get("/v1/projects").status == 200
        return {
            **tokens,
            "admin": self.cloud.api.token,
            "revoked": revoked["token"],
            "unknown": new_token(),
        }

    def _write_log(self) -> None:
        group, _, stream = self.cloud.build(BUILD)["log_path"].rpartition("/builds/")
        target = {"logGroupName": f"{group}/builds", "logStreamName": stream}
        logs = client("logs")
        logs.create_log_stream(**target)
        at = clock.now() * 1000
        events = [{"timestamp": at, "message": f"{line}\n"} for line, _ in LOG_LINES]
        logs.put_log_events(**target, logEvents=events)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        yield World(Cloud(monkeypatch), record_calls(monkeypatch))


@pytest.mark.parametrize("row", REFUSED, ids=[row.case for row in REFUSED])
def test_bad_input_is_refused_and_changes_nothing(world: World, row: Refused) -> None:
    with world.untouched(reads=row.reads):
        answer = world.send(row)
        if row.status in {401, 413}:
            # Without authorisation, or with a body too large, the only read is of a token.
            assert world.calls.counted in ({}, {"dynamodb.GetItem": 1})
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.body
    assert (answer.status, problem["code"]) == (row.status, row.code), answer.text
    assert problem.get("field", "") == row.field
    assert (problem["status"], problem["instance"]) == (row.status, answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "/v1/projects", "name"),
        *(
            ("PATCH", f"/v1/services/{SERVICE}", field)
            for field in ("name", "ecs_cluster", "ecs_service")
        ),
    ],
)
def test_the_rule_for_a_name_is_explained_in_words(
    world: World, method: str, path: str, field: str
) -> None:
    detail = world.cloud.api.request(method, path, body={field: "!"}).body["detail"]
    assert re.match(rf"{field} must be (an?|1 to 63) [a-z]", detail)
    assert "regex" not in detail


def in_a_copy(check: Callable[[], None]) -> None:
    """Run a check in a forked copy of the world, because it may change the world."""
    trouble = forked(check).trouble
    assert not trouble, trouble


@pytest.mark.parametrize(("case", "body", "headers", "reason"), IGNORED, ids=_first(IGNORED))
def test_an_ignored_delivery_is_recorded_with_the_reason(
    world: World, case: str, body: bytes, headers: Headers, reason: str
) -> None:
    def check() -> None:
        before = everything_written()
        answer = world.deliver(body, {**headers, "X-GitHub-Delivery": "d-bad"})
        after = everything_written()
        assert answer.status == 200, answer.text
        assert reason in answer.body["ignored"]
        assert "builds" not in answer.body
        assert {name for name in after if after[name] != before[name]} == {"slipway-receipts"}
        noted = world.cloud.api.get("/v1/webhooks/github/deliveries/d-bad").body
        assert (noted["outcome"], noted["reason"]) == ("ignored", answer.body["ignored"])

    in_a_copy(check)


@pytest.mark.parametrize(
    ("case", "body", "headers", "status", "code", "field"),
    [*UNREADABLE, *UNREADABLE_PULLS],
    ids=_first([*UNREADABLE, *UNREADABLE_PULLS]),
)
def test_an_unreadable_delivery_is_refused_and_recorded_with_the_reason(
    world: World, case: str, body: bytes, headers: Headers, status: int, code: str, field: str
) -> None:
    def check() -> None:
        before = everything_written()
        answer = world.deliver(body, {**headers, "X-GitHub-Delivery": "d-bad"})
        after = everything_written()
        problem = answer.body
        assert (answer.status, problem["code"]) == (status, code), answer.text
        assert problem.get("field", "") == field
        assert {name for name in after if after[name] != before[name]} == {"slipway-receipts"}
        noted = world.cloud.api.get("/v1/webhooks/github/deliveries/d-bad").body
        at = f"{field}: " if field else ""
        assert noted["outcome"] == "ignored"
        assert noted["reason"] == f"refused: {at}{problem['detail']}"

    in_a_copy(check)


@pytest.mark.parametrize(("case", "body", "branch"), BUILT, ids=_first(BUILT))
def test_an_unusual_but_valid_push_is_built_at_its_commit(
    world: World, case: str, body: bytes, branch: str
) -> None:
    def check() -> None:
        answer = world.deliver(body, {"X-GitHub-Delivery": "d" * 100})
        assert answer.status == 202, answer.text
        (started,) = answer.body["builds"]
        build = world.cloud.build(started["build_id"])
        assert (build["git_ref"], build["commit_sha"]) == (branch, SHA)
        assert build["git_url"] == "https://github.com/Codertocat/Hello-World.git"
        assert build["image_tag"].endswith(f"-{SHA[:12]}-{build['id']}")

    in_a_copy(check)


def test_a_redelivery_names_the_build_of_the_first_delivery(world: World) -> None:
    def check() -> None:
        first, again = (world.deliver(push(), {"X-GitHub-Delivery": "d-1"}) for _ in range(2))
        assert (first.status, again.status) == (202, 200)
        assert again.body["duplicate"] is True
        (known,), (started,) = again.body["builds"], first.body["builds"]
        assert known["build_id"] == started["build_id"]

    in_a_copy(check)


def test_a_reason_may_be_any_text_and_is_never_served_as_html(world: World) -> None:
    def check() -> None:
        for reason in ("<script>alert(1)</script>", "x" * 500):
            body = {"image_tag": f"hello@{world.digest}", "reason": reason}
            accepted = world.cloud.api.post(DEPLOY, body)
            assert accepted.status == 202, accepted.text
            path = f"/v1/cicd/deployments/{accepted.body['deployment_id']}"
            shown = world.cloud.api.get(path)
            assert shown.body["reason"] == reason
            assert shown.headers["content-type"] == "application/json"
            assert shown.headers["x-content-type-options"] == "nosniff"

    in_a_copy(check)


def test_an_image_is_deployed_by_the_tag_of_a_build_or_by_digest(world: World) -> None:
    def check() -> None:
        tag = world.cloud.build(BUILD)["image_tag"]
        for image in (tag, f"{REGISTRY}/{tag}", f"hello@{world.digest}"):
            answer = world.cloud.deploy(image)
            assert answer.status == 202, answer.text

    in_a_copy(check)


def test_the_name_of_a_repository_may_look_like_a_host(world: World) -> None:
    def check() -> None:
        client("ecr").create_repository(repositoryName="my.team/app")
        digest = put_image("my.team/app", "x")
        service = world.cloud.add_service("team", image_repository=f"{REGISTRY}/my.team/app")
        path = f"/v1/cicd/services/{service}/deploy"
        for name in ("my.team/app", f"{REGISTRY}/my.team/app"):
            answer = world.cloud.api.post(path, {"image_tag": f"{name}@{digest}"})
            assert answer.status == 202, answer.text
        for name in ("app", f"{REGISTRY}/app", "your.team/app"):
            answer = world.cloud.api.post(path, {"image_tag": f"{name}@{digest}"})
            assert (answer.status, answer.body["code"]) == (403, "image_not_allowed")

    in_a_copy(check)


def test_a_newer_deployment_replaces_the_waiting_one(world: World) -> None:
    def check() -> None:
        running, waiting, newest = (
            int(world.cloud.deploy(f"hello@{world.digest}").body["deployment_id"]) for _ in range(3)
        )
        service = world.cloud.service()
        assert service["active_deployment_id"] == running
        assert service["waiting_deployment_id"] == newest
        assert world.cloud.statuses(waiting) == ["superseded"]

    in_a_copy(check)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"git_ref": "a" * 200}, {}),
        ({"git_ref": "\u65e5" * 200}, {}),
        ({"context_path": "a" * 200}, {}),
        ({"build_args": {f"A{number}": "x" for number in range(100)}}, {}),
        ({"build_args": {"A": "x" * (16 * 1024 - 1)}}, {}),
        ({}, {"Idempotency-Key": "k" * 255}),
        ({}, {"X-Request-Id": "r" * 9000}),
    ],
    ids=[
        "ref",
        "ref beyond ASCII",
        "path",
        "build args",
        "size of build args",
        "key",
        "request id",
    ],
)
def test_input_of_the_maximum_length_is_accepted(
    world: World, body: dict[str, Any], headers: dict[str, str | None]
) -> None:
    def check() -> None:
        path = f"/v1/cicd/services/{SERVICE}/build"
        answer = world.cloud.api.post(path, body, headers=headers)
        assert answer.status == 202, answer.text
        build = world.cloud.build(answer.body["build_id"])
        assert {name: build[name] for name in body} == body
        assert len(answer.headers["x-request-id"]) <= 64

    in_a_copy(check)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:40])
def test_a_malformed_message_raises_so_that_sqs_keeps_it(world: World, message: str) -> None:
    with world.untouched(), pytest.raises((ValueError, RecursionError)):
        world.wake_by(message)
    assert world.calls.counted == {}


@pytest.mark.parametrize(("message", "reads"), STALE_MESSAGES, ids=_first(STALE_MESSAGES))
def test_a_message_about_a_missing_or_ended_job_changes_nothing(
    world: World, message: str, reads: frozenset[str]
) -> None:
    with world.untouched(reads=reads):
        world.wake_by(message)
        assert all(read["ConsistentRead"] for read in world.calls.to("dynamodb.GetItem"))


def test_a_forged_message_changes_nothing(world: World) -> None:
    def check() -> None:
        before, started = statuses(), world.cloud.builds_in_codebuild()
        for row_id in (f"build-{BUILD_UNDER_WAY}", f"service-{SERVICE}", f"deploy-{CURRENT}"):
            world.cloud.wake(row_id)
        assert (statuses(), world.cloud.builds_in_codebuild()) == (before, started)

    in_a_copy(check)


def test_events_of_other_codebuild_projects_are_ignored(world: World) -> None:
    with world.untouched():
        world.cloud.hear(codebuild_event("State", project="other-project"))
        assert world.calls.counted == {}


def test_a_replayed_event_changes_nothing(world: World) -> None:
    stream = world.cloud.build(BUILD)["log_path"].rpartition("/builds/")[2]
    event = codebuild_event("State", stream=stream)
    event |= {"replay-name": "last-week", "time": "2026-11-15T00:00:00Z"}
    with world.untouched():
        world.cloud.hear(event)
        assert world.calls.counted == {"dynamodb.GetItem": 1}


def test_unknown_properties_of_an_event_are_ignored(world: World) -> None:
    def check() -> None:
        stream = world.cloud.build(BUILD_UNDER_WAY)["log_path"].rpartition("/builds/")[2]
        event = codebuild_event("State", stream=stream) | {"trace": {"id": 1}}
        event["detail"] |= {"new": [], "version": "2"}
        event["detail"]["additional-information"]["logs"]["s3"] = None
        world.cloud.end_build(BUILD_UNDER_WAY, "FAILED", settle=False)
        world.cloud.lose_events()
        world.cloud.hear(event)
        assert world.cloud.build(BUILD_UNDER_WAY)["status"] == "failed"

    in_a_copy(check)


def test_hostile_build_output_is_cleaned_before_it_is_shown(world: World) -> None:
    path, shown = f"/v1/cicd/builds/{BUILD}/logs", [line for _, line in LOG_LINES]
    with world.untouched(reads=frozenset({"logs.GetLogEvents"})):
        answer, text = world.cloud.api.get(path), world.cloud.api.get(f"{path}?format=text")
    assert [line["message"] for line in answer.body["lines"]] == shown
    assert text.text == "".join(f"{line}\n" for line in shown)
    assert answer.headers["content-type"] == "application/json"
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    for sent in (answer, text):
        assert sent.headers["x-content-type-options"] == "nosniff"


def statuses() -> dict[str, str]:
    """The status of every job, by job id."""
    return {name: row["status"] for name, row in rows("jobs").items()}
