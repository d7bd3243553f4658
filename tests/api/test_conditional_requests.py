"""Conditional requests: If-None-Match gets 304 while the answer is unchanged."""

import pytest

from tests.support.client import Api
from tests.support.embedded import Cloud, sha

RESOURCES = [
    "/v1/projects/1",
    "/v1/services/1",
    "/v1/cicd/builds/1",
    "/v1/cicd/deployments/1",
    "/v1/cicd/jobs/build-1",
    "/v1/cicd/jobs/deploy-1",
    "/v1/tokens/1",
    "/v1/webhooks/github/deliveries/delivery-0",
    "/v1/cicd/queue",
    "/v1/cicd/metrics",
    "/v1/cicd/projects/1/metrics",
    "/v1/cicd/services/1/metrics",
]
POLLED = [
    "/v1/services",
    "/v1/services?project_id=1&limit=1",
    "/v1/cicd/jobs?limit=1",
    "/v1/cicd/jobs?status=success&type=build",
    "/v1/cicd/services/1/builds",
    "/v1/cicd/services/1/deployments?status=success",
]


@pytest.fixture
def released(cloud: Cloud) -> Api:
    """The API of a cloud in which one push was released."""
    cloud.release(1)
    return cloud.api


def test_an_unchanged_answer_is_answered_with_304(released: Api) -> None:
    for path in (*RESOURCES, *POLLED):
        first = released.get(path)
        assert first.status == 200, first.text
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        for sent in (tag, tag.removeprefix("W/"), "*", f'"x", {tag},"y,z"', f" {tag} "):
            again = released.get(path, headers={"If-None-Match": sent})
            assert (again.status, again.text) == (304, ""), (path, sent)
            assert "content-type" not in again.headers
            for name in ("etag", "cache-control"):
                assert again.headers[name] == first.headers[name]
            assert again.headers["x-request-id"]


@pytest.mark.parametrize("sent", ["", '"x"', "W/x", "x", '"', "é", ",,", '""'])
def test_an_unknown_or_malformed_tag_gets_the_resource(released: Api, sent: str) -> None:
    answer = released.get("/v1/services/1", headers={"If-None-Match": sent})
    assert (answer.status, answer.body["id"]) == (200, 1)


def test_a_changed_resource_has_a_new_tag(cloud: Cloud) -> None:
    build = cloud.push(sha(1)).body["builds"][0]["build_id"]
    path = f"/v1/cicd/builds/{build}"
    before = cloud.api.get(path).headers["etag"]
    cloud.settle()
    after = cloud.api.get(path, headers={"If-None-Match": before})
    assert (after.status, after.body["status"]) == (200, "building")
    assert after.headers["etag"] != before


def test_a_list_has_a_new_tag_after_a_change_of_a_row_in_it(cloud: Cloud) -> None:
    cloud.release(1)
    tags = {path: cloud.api.get(path).headers["etag"] for path in POLLED}
    cloud.release(2)
    for path, tag in tags.items():
        again = cloud.api.get(path, headers={"If-None-Match": tag})
        assert (again.status, bool(again.body["items"])) == (200, True), path


def test_an_unchanged_page_still_links_to_the_next_one(released: Api) -> None:
    first = released.get("/v1/cicd/jobs?limit=1")
    again = released.get("/v1/cicd/jobs?limit=1", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.headers["link"]) == (304, first.headers["link"])


def test_the_pages_of_a_list_have_different_tags(released: Api) -> None:
    first = released.get("/v1/cicd/jobs?limit=1")
    second = first.body["next_cursor"]
    answer = released.get(
        f"/v1/cicd/jobs?limit=1&cursor={second}", headers={"If-None-Match": first.headers["etag"]}
    )
    assert answer.status == 200
    assert answer.headers["etag"] != first.headers["etag"]


def test_other_lists_and_errors_have_no_tag_and_are_not_stored(released: Api) -> None:
    anonymous = released.as_holder_of("unknown")
    for caller, path, status in [
        (released, "/v1/projects", 200),
        (released, "/v1/cicd/builds/1/logs", 200),
        (released, "/v1/projects/4711", 404),
        (anonymous, "/v1/projects/1", 401),
    ]:
        answer = caller.get(path, headers={"If-None-Match": "*"})
        assert answer.status == status
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers
