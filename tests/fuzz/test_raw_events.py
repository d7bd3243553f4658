"""Lambda functions with random events: they answer, ignore the event, or raise so SQS retries."""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

from chalice.local import LambdaContext
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app import app as the_app
from chalicelib.api.http.endpoints import ENDPOINTS, Endpoint
from tests.support.builders import (
    SHA,
    WEBHOOK_SECRET,
    gateway_event,
    pull_payload,
    push_payload,
    signature,
    sqs_event,
)
from tests.support.embedded import Cloud
from tests.support.events import codebuild_event, ecs_event, schedule_event

assert the_app  # importing it declares the routes

text = st.text(st.characters(exclude_categories=[]), max_size=30)  # with lone surrogates
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
# These events have hundreds of values that may be wrong, so they need more examples.
many = settings(
    max_examples=4 * settings().max_examples,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

IDS = st.sampled_from(["1", "1", "2", "9", "0", "build-1", "deploy-1", "delivery-0"]) | text
QUERIES = sorted({parameter.name for each in ENDPOINTS for parameter in each.query})
HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "X-GitHub-Delivery",
    "X-GitHub-Event",
    "X-Hub-Signature-256",
    "X-Request-Id",
    "Accept",
    "Origin",
]
VALUES: dict[str, Any] = {
    "name": "other",
    "git_url": "https://github.com/Codertocat/Hello-World.git",
    "git_ref": "master",
    "image_tag": "hello:master-1",
    "image_repository": "hello",
    "role": "viewer",
    "deployment_id": 1,
    "service_id": 1,
}

junk = st.none() | text | anything.map(json.dumps)


def bodies_of(endpoint: Endpoint) -> st.SearchStrategy[str | None]:
    """Bodies with mostly valid fields, with random fields, and texts that are not JSON."""
    if endpoint.body is None:
        return junk
    fields = endpoint.body.__struct_fields__
    good = {name: st.just(VALUES[name]) for name in fields if name in VALUES}
    bad = {name: anything for name in fields if name not in VALUES}
    objects = st.fixed_dictionaries(good, optional=bad) | st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*fields, "other"], anything)
    )
    return objects.map(json.dumps) | junk


@st.composite
def gateway_events(draw: st.DrawFn, token: str) -> dict[str, Any]:
    """An event of a route, with random values in all parts that a caller can send."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    ids = {name: draw(IDS) for name in re.findall(r"{([a-z_]+)}", endpoint.path)}
    event = gateway_event(endpoint.method, endpoint.path, **ids)
    # Do not revoke the caller's own token: the next event needs it.
    assume(endpoint.view != "revoke_token" or ids["token_id"].strip("0") != "1")
    body = draw(bodies_of(endpoint))
    event["body"] = body
    if body is not None and draw(st.booleans()):
        event["isBase64Encoded"] = True
        encoded = base64.b64encode(body.encode(errors="replace")).decode()
        event["body"] = draw(st.just(encoded) | text)
    event["multiValueQueryStringParameters"] = draw(
        st.none()
        | st.dictionaries(
            st.sampled_from(QUERIES) | text, st.lists(IDS, min_size=1, max_size=2), max_size=2
        )
    )
    event["headers"] = {
        "authorization": f"Bearer {token}",
        **draw(st.dictionaries(st.sampled_from(HEADERS) | text, text, max_size=3)),
    }
    if endpoint.view == "receive_github":
        event |= draw(_deliveries())
    elif endpoint.view == "test_push" and draw(st.booleans()):
        event |= {"body": json.dumps(draw(_pushes())), "isBase64Encoded": False}
    return event


@st.composite
def _pushes(draw: st.DrawFn) -> dict[str, Any]:
    """The payload of a push with random values."""
    payload = push_payload(ref=draw(st.sampled_from(["refs/heads/master", "refs/tags/v1"])))
    lists = st.lists(text, max_size=2) | anything
    commit = st.fixed_dictionaries(
        {"id": st.just(SHA), "added": lists, "removed": lists, "modified": lists}
    )
    payload |= {"before": "1" * 40, "commits": draw(st.lists(commit, max_size=2) | anything)}
    for name in draw(st.sets(st.sampled_from(sorted(payload)), max_size=2)):
        payload[name] = draw(anything)
    repository = payload["repository"]
    if draw(st.booleans()) and isinstance(repository, dict) and repository:
        name = draw(st.sampled_from(sorted(repository)))
        payload["repository"] = repository | {name: draw(anything)}
    return payload


@st.composite
def _pulls(draw: st.DrawFn) -> dict[str, Any]:
    """The payload of a pull request's event with random values."""
    actions = ["opened", "synchronize", "reopened", "closed", "labeled"]
    payload = pull_payload(action=draw(st.sampled_from(actions)))
    pull = payload["pull_request"]
    parts = [payload, pull, *(pull[end] for end in ("head", "base"))]
    parts += [pull[end]["repo"] for end in ("head", "base")]
    for part in draw(st.lists(st.sampled_from(parts), max_size=2)):
        part[draw(st.sampled_from(sorted(part)))] = draw(anything)
    return payload


@st.composite
def _deliveries(draw: st.DrawFn) -> dict[str, Any]:
    """A delivery with a valid signature and random values in its payload."""
    event, payloads = draw(st.sampled_from([("push", _pushes()), ("pull_request", _pulls())]))
    body = json.dumps(draw(payloads))
    headers = {
        "X-Hub-Signature-256": signature(body.encode(), WEBHOOK_SECRET),
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": draw(st.sampled_from(["a", "b"]) | text),
    }
    return {"body": body, "isBase64Encoded": False, "headers": headers}


def check_answer(answer: Any) -> None:
    """Check that an answer is complete for the proxy integration, and is not a 5xx."""
    assert isinstance(answer["body"], str)
    assert all(isinstance(value, str) for value in answer["headers"].values())
    json.dumps(answer)
    status = answer["statusCode"]
    assert 200 <= status < 500, answer
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    assert headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        document = json.loads(answer["body"])
        assert {"type", "title", "status", "detail", "code", "instance"} <= set(document)
        assert document["status"] == status


def test_any_request_gets_an_answer_without_an_internal_error(cloud: Cloud) -> None:
    cloud.release(1)
    cloud.change_service(paths=["a*/**", "!*b"], tags=["v*"], build_pull_requests=True)

    @many
    @given(gateway_events(cloud.api.token))
    def check(event: dict[str, Any]) -> None:
        check_answer(cloud.app(event, LambdaContext("api_handler", 512)))

    check()


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in an event, also inside objects and lists."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [
        each for name, part in inner for each in [(*path, name), *paths_in(part, (*path, name))]
    ]


@st.composite
def damaged(draw: st.DrawFn, event: dict[str, Any]) -> Any:
    """An event in which some values are missing or random."""
    copy = json.loads(json.dumps(event))
    for path in draw(st.lists(st.sampled_from(paths_in(event)), min_size=1, max_size=3)):
        parent = copy
        for name in path[:-1]:
            parent = parent[name] if name in keys_of(parent) else None
        if path[-1] not in keys_of(parent):
            continue  # an earlier change removed this value
        if draw(st.booleans()):
            del parent[path[-1]]
        else:
            parent[path[-1]] = draw(anything)
    return copy


def keys_of(value: Any) -> Iterable[Any]:
    """The keys of an object or the indexes of a list."""
    return (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )


def test_a_damaged_event_of_api_gateway_gets_an_answer_without_an_internal_error(
    cloud: Cloud,
) -> None:
    event = gateway_event("GET", "/v1/services/{service_id}", service_id="1")
    event["headers"]["authorization"] = f"Bearer {cloud.api.token}"

    @many
    @given(anything | damaged(event))
    def check(event: Any) -> None:
        check_answer(cloud.app(event, LambdaContext("api_handler", 512)))

    check()


def test_any_message_is_done_or_redelivered(cloud: Cloud) -> None:
    cloud.handlers_may_fail = True
    row_ids = st.sampled_from(["build-1", "service-1", "deploy-1", "build-0", "service-99"]) | text
    messages = (
        text
        | anything.map(json.dumps)
        | st.just("[" * 100_000)
        | st.builds(
            lambda v, row_id: json.dumps({"v": v, "reconcile": row_id}),
            st.just(1) | anything,
            row_ids,
        )
        | anything
    )
    events = st.builds(sqs_event, messages) | damaged(sqs_event("{}")) | anything
    counts = {"retried": 0, "done": 0}

    @many
    @given(events)
    def check(event: Any) -> None:
        try:
            cloud.app.handler_map["on_wakeup"](event, LambdaContext("on_wakeup", 512))
        except ValueError:
            counts["retried"] += 1
        else:
            counts["done"] += 1

    check()
    assert all(counts.values())


def test_any_event_of_eventbridge_is_accepted(cloud: Cloud) -> None:
    """Events only say which row to reconcile, so a malformed one is ignored."""
    cloud.push(f"{1:040x}")
    valid = [codebuild_event("State"), codebuild_event("Phase"), ecs_event("hello")]
    events = anything | st.sampled_from([*valid, schedule_event()]).flatmap(damaged)

    @many
    @given(events)
    def check(event: Any) -> None:
        cloud.app.handler_map["on_cloud_event"](event, LambdaContext("on_cloud_event", 512))
        cloud.app.handler_map["on_schedule"](event, LambdaContext("on_schedule", 512, 30_000))

    check()
