"""Transitions of statuses, and the status of a job."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.statuses import (
    BUILD_TRANSITIONS,
    DEPLOYMENT_TRANSITIONS,
    BuildStatus,
    DeploymentStatus,
    has_ended,
    job_id,
    job_status,
    may_follow,
)

BUILD_CHANGES = {
    ("queued", "building"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("queued", "superseded"),
    ("building", "success"),
    ("building", "failed"),
    ("building", "cancelled"),
}
DEPLOYMENT_CHANGES = {
    ("queued", "deploying"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("queued", "superseded"),
    ("queued", "rolled_back"),
    ("deploying", "success"),
    ("deploying", "failed"),
    ("deploying", "cancelled"),
    ("deploying", "superseded"),
    ("deploying", "rolled_back"),
    ("success", "rolled_back"),
}
KINDS = {"build": (BuildStatus, BUILD_CHANGES), "deploy": (DeploymentStatus, DEPLOYMENT_CHANGES)}


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_these_transitions_are_allowed(kind: str) -> None:
    statuses, steps = KINDS[kind]
    allowed = {
        (str(before), str(after))
        for before, after in product(statuses, statuses)
        if may_follow(before, after, kind=kind)
    }
    assert allowed == steps


def test_the_tables_have_a_row_for_every_status() -> None:
    assert set(BUILD_TRANSITIONS) == set(BuildStatus)
    assert set(DEPLOYMENT_TRANSITIONS) == set(DeploymentStatus)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_a_final_status_changes_only_from_success_to_rolled_back(
    kind: str, data: st.DataObject
) -> None:
    statuses, _ = KINDS[kind]
    walk = ["queued"]
    for after in data.draw(st.lists(st.sampled_from(list(statuses)), max_size=12)):
        if may_follow(walk[-1], after, kind=kind):
            walk.append(str(after))
    ended = [status for status in walk if has_ended(status)]
    assert ended in ([], *([each] for each in ended), ["success", "rolled_back"])
    assert len(walk) == len(set(walk))


@pytest.mark.parametrize("unknown", ["", "done", "SUCCESS", "deploying"])
def test_an_unknown_status_is_an_error(unknown: str) -> None:
    with pytest.raises(ValueError, match="not a valid BuildStatus"):
        may_follow("queued", unknown, kind="build")


@pytest.mark.parametrize(
    ("status", "progress", "shown"),
    [
        ("queued", 0, "queued"),
        ("building", 40, "running"),
        ("deploying", 40, "running"),
        ("success", 100, "success"),
        ("failed", 40, "failed"),
        ("cancelled", 40, "cancelled"),
        ("superseded", 0, "cancelled"),
        ("rolled_back", 40, "cancelled"),
        ("rolled_back", 100, "success"),
    ],
)
def test_builds_and_deployments_share_the_statuses_of_jobs(
    status: str, progress: int, shown: str
) -> None:
    assert job_status(status, progress) == shown


def test_a_job_id_is_its_type_and_number() -> None:
    assert (job_id("build", 123), job_id("deploy", 45)) == ("build-123", "deploy-45")
