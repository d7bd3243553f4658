"""A commit, its builds, its image and its releases lead to each other, also in lists."""

from typing import Any

import pytest

from tests.support.embedded import Cloud, sha


def listed(cloud: Cloud, kind: str, service: int = 1) -> dict[int, Any]:
    """The builds or deployments of a service, by id. In a list they are as when shown singly."""
    items = cloud.api.get(f"/v1/cicd/services/{service}/{kind}?limit=100").body["items"]
    for item in items:
        assert item == cloud.api.get(f"/v1/cicd/{kind}/{item['id']}").body
    return {item["id"]: item for item in items}


@pytest.fixture
def worker(cloud: Cloud) -> int:
    """A service that deploys the images of "hello"."""
    number = cloud.add_dependent("worker")
    cloud.advance(1)
    return number


def test_a_retried_build_leads_to_its_releases_and_they_lead_back(
    cloud: Cloud, worker: int
) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.end_build(1, "FAILED")
    assert cloud.api.post("/v1/cicd/builds/1/retry").status == 202
    cloud.settle()
    digest = cloud.finish_build(2)
    for name in ("hello", "worker"):
        cloud.finish_rollout(name)
    first, again = listed(cloud, "builds")[1], listed(cloud, "builds")[2]
    assert (again["retry_of"], again["commit_sha"]) == (1, first["commit_sha"])
    (dependent,) = again["dependents"]
    releases = [
        listed(cloud, "deployments")[again["deployment_id"]],
        listed(cloud, "deployments", worker)[dependent["deployment_id"]],
    ]
    assert dependent["service_id"] == worker
    for release in releases:
        assert (release["build_id"], release["commit_sha"]) == (2, sha(1))
        assert release["image_digest"] == again["image_digest"] == digest


def test_a_rollback_leads_to_what_it_leaves_and_restores(cloud: Cloud) -> None:
    for number in (1, 2):
        cloud.release(number)
    cloud.roll_back()
    cloud.settle()
    cloud.finish_rollout()
    releases, builds = listed(cloud, "deployments"), listed(cloud, "builds")
    assert [releases[each]["replaced"] for each in (1, 2, 3)] == [None, 1, 2]
    assert (releases[3]["rollback_of"], releases[3]["restores"]) == (2, 1)
    assert releases[2]["rollback_to"] == 1
    assert releases[3]["image_digest"] == releases[1]["image_digest"] == builds[1]["image_digest"]
    assert releases[3]["build_id"] == releases[1]["build_id"] == 1
