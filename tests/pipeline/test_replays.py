"""Tests that begin with the same steps get the state that the steps have left before."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto import mock_aws

from tests.support.embedded import Cloud
from tests.support.sdk import record_calls

# Random ids: of builds, rollouts, tasks and events; of the audit trail; the receipt's hash of them.
DRAWN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{20,32}\b|(?<=/)\d{19}|(?<=#)[0-9a-f]{8}"
    r'|(?<="hash": "sha256:)[0-9a-f]{64}'
)


@contextmanager
def another_cloud() -> Iterator[tuple[Cloud, pytest.MonkeyPatch]]:
    with mock_aws(), pytest.MonkeyPatch.context() as monkeypatch:
        yield Cloud(monkeypatch), monkeypatch


def told(cloud: Cloud) -> str:
    """All that the API says about two releases, and the events that wait."""
    pages = ("/v1/services/1", "/v1/cicd/jobs", "/v1/audit", "/v1/cicd/deployments/2")
    answers = {page: cloud.api.get(page).body for page in pages}
    return DRAWN.sub("drawn", json.dumps([answers, cloud.image_on_ecs(), cloud.take_events()]))


def test_replayed_releases_are_those_that_were_made() -> None:
    seen = set()
    for is_patched in (True, False, False):
        with another_cloud() as (cloud, monkeypatch):
            if is_patched:
                monkeypatch.setenv("IS_PATCHED", "true")
            assert (cloud.release(1), cloud.release(2)) == (1, 2)
            seen.add(told(cloud))
    (text,) = seen
    assert text.count("drawn") > 3


def test_replayed_releases_can_be_rolled_back() -> None:
    for _ in range(2):
        with another_cloud() as (cloud, _):
            cloud.release(1)
            first = cloud.image_on_ecs()
            cloud.release(2)
            assert cloud.roll_back().status == 202
            cloud.settle()
            cloud.finish_rollout()
            assert cloud.image_on_ecs() == first
            assert cloud.statuses(2, 3) == ["rolled_back", "success"]


def test_steps_in_another_state_are_not_replayed() -> None:
    with another_cloud() as (cloud, _):
        cloud.begin_release(1)
        assert cloud.build(1)["status"] == "success"
    with another_cloud() as (cloud, _):
        cloud.change_service(branch="develop")
        with pytest.raises(KeyError):  # the push begins no build
            cloud.begin_release(1)


def test_a_test_sees_the_calls_of_steps_that_it_records() -> None:
    with another_cloud() as (cloud, _):
        cloud.release(1)
    with another_cloud() as (cloud, monkeypatch):
        calls = record_calls(monkeypatch)
        cloud.release(1)
        assert len(calls.to("codebuild.StartBuild")) == 1
