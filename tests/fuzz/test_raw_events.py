"""Whatever the Lambda functions are invoked with, they answer, or fail as SQS is to see it."""

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
from tests.support.builders import WEBHOOK_SECRET, gateway_event, push_payload, signature, sqs_event
from tests.support.embedded import Cloud
from tests.support.events import codebuild_event, ecs_event, schedule_event

assert the_app  # its import declares the routes

text = st.text(st.characters(exclude_categories=[]), max_size=30)  # lone surrogates, too
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
# Every test here has hundreds of places to put things: more examples than elsewhere.
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
    """Bodies of which much is as it should be, and others."""
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
    """An event of a route with anything in the places that callers fill."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    ids = {name: draw(IDS) for name in re.findall(r"{([a-z_]+)}", endpoint.path)}
    event = gateway_event(endpoint.method, endpoint.path, **ids)
    # The caller's own token is to be good for the next event, too.
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
    return event


@st.composite
def _deliveries(draw: st.DrawFn) -> dict[str, Any]:
    """What only knows the secret could send: a signed payload with anything in it."""
    payload = push_payload()
    for name in draw(st.sets(st.sampled_from(sorted(payload)), max_size=2)):
        payload[name] = draw(anything)
    inside = payload["repository"]
    if draw(st.booleans()) and isinstance(inside, dict) and inside:
        name = draw(st.sampled_from(sorted(payload["repository"])))
        payload["repository"] = payload["repository"] | {name: draw(anything)}
    body = json.dumps(payload)
    headers = {
        "X-Hub-Signature-256": signature(body.encode(), WEBHOOK_SECRET),
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": draw(st.sampled_from(["a", "b"]) | text),
    }
    return {"body": body, "isBase64Encoded": False, "headers": headers}


def check_answer(answer: Any) -> None:
    """A whole answer of the proxy integration, and no fault of ours."""
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


def test_any_request_is_answered(cloud: Cloud) -> None:
    cloud.release(1)

    @many
    @given(gateway_events(cloud.api.token))
    def check(event: dict[str, Any]) -> None:
        check_answer(cloud.app(event, LambdaContext("api_handler", 512)))

    check()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in an event, the inner ones of objects and lists too."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [each for name, part in inner for each in [(*path, name), *places(part, (*path, name))]]


@st.composite
def disfigured(draw: st.DrawFn, event: dict[str, Any]) -> Any:
    """An event with anything, or nothing, in some of its places."""
    made = json.loads(json.dumps(event))
    for path in draw(st.lists(st.sampled_from(places(event)), min_size=1, max_size=3)):
        within = made
        for name in path[:-1]:
            within = within[name] if name in places_in(within) else None
        if path[-1] not in places_in(within):
            continue  # an earlier change has left nothing of it
        if draw(st.booleans()):
            del within[path[-1]]
        else:
            within[path[-1]] = draw(anything)
    return made


def places_in(value: Any) -> Iterable[Any]:
    """The keys of an object, the indexes of a list."""
    return (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )


def test_any_event_is_answered(cloud: Cloud) -> None:
    event = gateway_event("GET", "/v1/services/{service_id}", service_id="1")
    event["headers"]["authorization"] = f"Bearer {cloud.api.token}"

    @many
    @given(anything | disfigured(event))
    def check(event: Any) -> None:
        check_answer(cloud.app(event, LambdaContext("api_handler", 512)))

    check()


def test_any_message_is_done_or_left_to_be_delivered_again(cloud: Cloud) -> None:
    cloud.handlers_may_fail = True
    keys = st.sampled_from(["build-1", "service-1", "deploy-1", "build-0", "service-99"]) | text
    messages = (
        text
        | anything.map(json.dumps)
        | st.just("[" * 100_000)
        | st.builds(
            lambda v, key: json.dumps({"v": v, "reconcile": key}), st.just(1) | anything, keys
        )
        | anything
    )
    events = st.builds(sqs_event, messages) | disfigured(sqs_event("{}")) | anything
    known = {"retried": 0, "done": 0}

    @many
    @given(events)
    def check(event: Any) -> None:
        try:
            cloud.app.handler_map["on_wakeup"](event, LambdaContext("on_wakeup", 512))
        except ValueError:
            known["retried"] += 1
        else:
            known["done"] += 1

    check()
    assert all(known.values())


def test_any_event_of_eventbridge_is_taken(cloud: Cloud) -> None:
    """What is none, too: events only hint, and the schedule needs nothing of its own."""
    cloud.push(f"{1:040x}")
    told = [codebuild_event("State"), codebuild_event("Phase"), ecs_event("hello")]
    events = anything | st.sampled_from([*told, schedule_event()]).flatmap(disfigured)

    @many
    @given(events)
    def check(event: Any) -> None:
        cloud.app.handler_map["on_cloud_event"](event, LambdaContext("on_cloud_event", 512))
        cloud.app.handler_map["on_schedule"](event, LambdaContext("on_schedule", 512, 30_000))

    check()
