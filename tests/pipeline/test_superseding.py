"""A later push ends the queued builds of earlier pushes to its branch."""

from datetime import UTC, datetime

import pytest

from chalicelib import clock
from chalicelib.store.services import get_service
from tests.faults.rows import builds
from tests.support.builders import push_payload
from tests.support.embedded import MIDNIGHT, Cloud, sha
from tests.support.sdk import Killed, Trouble

EARLIER, LATER = int(MIDNIGHT) - 1_000, int(MIDNIGHT)


@pytest.fixture(autouse=True)
def pushes_one_after_the_other(cloud: Cloud) -> None:
    cloud.seconds_before_push = 1


def occupy(cloud: Cloud) -> None:
    """Two builds of other refs take the capacity."""
    for ref in ("a", "b"):
        cloud.ask_for_build(git_ref=ref)
    cloud.settle()


def statuses(cloud: Cloud, *numbers: int) -> list[str]:
    return [cloud.build(number)["status"] for number in numbers]


def test_a_later_push_supersedes_the_queued_builds_of_earlier_pushes(cloud: Cloud) -> None:
    occupy(cloud)
    for number in (1, 2, 3):
        cloud.push(sha(number))
        cloud.settle()
    assert statuses(cloud, 3, 4, 5) == ["superseded", "superseded", "queued"]
    first, second = cloud.build(3), cloud.build(4)
    assert (first["superseded_by"], second["superseded_by"]) == (4, 5)
    assert first["error"] == "superseded by build 4, of a later push to master"
    assert (first["finished_at"], first["position"]) == ("2026-11-22T00:00:02Z", None)
    assert cloud.job("build-3")["status"] == "cancelled"
    cloud.finish_build(1)
    assert cloud.builds_in_codebuild() == ["build-1", "build-2", "build-5"]


def test_superseding_is_in_the_audit_trail(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.push(sha(1))
    cloud.push(sha(2))
    cloud.settle()
    entries = cloud.api.get(f"/v1/audit?service_id={cloud.service_id}").body["items"]
    (entry,) = [each for each in entries if each["action"] == "build.superseded"]
    assert (entry["subject"], entry["actor"]) == ("build-3", "github:Codertocat")
    assert entry["details"] == {"superseded_by": 4}


def test_a_later_push_supersedes_at_the_next_schedule_if_its_message_is_lost(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.push(sha(1))
    cloud.settle()
    cloud.push(sha(2))
    cloud.lose_messages()
    cloud.tick()
    assert statuses(cloud, 3, 4) == ["superseded", "queued"]


def test_a_started_build_is_not_superseded(cloud: Cloud) -> None:
    cloud.push(sha(1))
    cloud.settle()
    cloud.push(sha(2))
    cloud.settle()
    assert statuses(cloud, 1, 2) == ["building", "building"]


def test_a_build_that_may_have_been_started_is_not_superseded(
    cloud: Cloud, trouble: Trouble
) -> None:
    cloud.push(sha(1))
    trouble.kill_after("codebuild.StartBuild")
    with pytest.raises(Killed):
        cloud.pump.settle()
    cloud.push(sha(2))
    cloud.settle()
    cloud.tick()
    assert cloud.builds_in_codebuild() == ["build-1", "build-2"]
    assert statuses(cloud, 1, 2) == ["building", "building"]


def test_an_older_push_that_is_delivered_late_supersedes_no_build(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.push(sha(2), pushed_at=LATER)
    cloud.settle()
    cloud.push(sha(1), pushed_at=EARLIER)
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["queued", "superseded"]
    assert cloud.build(4)["superseded_by"] == 3


def test_an_older_push_from_a_clock_that_is_ahead_supersedes_no_build(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.push(sha(2), before=sha(1), pushed_at=LATER + 310)
    cloud.push(sha(1), before=sha(9), pushed_at=LATER + 300)
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["queued", "superseded"]
    assert cloud.build(4)["superseded_by"] == 3


def test_a_service_can_keep_all_builds(cloud: Cloud) -> None:
    cloud.change_service(supersede_builds=False)
    occupy(cloud)
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["queued", "queued"]


def test_only_pushes_to_the_same_branch_of_the_same_service_are_superseded(cloud: Cloud) -> None:
    cloud.add_service("other", branch="develop")
    cloud.change_service(branch="develop")
    occupy(cloud)
    cloud.push(sha(1), branch="develop")
    by_hand = cloud.ask_for_build(git_ref="master")
    cloud.change_service(branch="master")
    cloud.push(sha(2))
    cloud.settle()
    assert statuses(cloud, 3, 4, by_hand, 6) == ["queued"] * 4


def test_a_cancelled_push_supersedes_no_build(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.push(sha(1))
    cloud.settle()
    cloud.push(sha(2))
    cloud.api.post("/v1/cicd/jobs/build-4/cancel")
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["queued", "cancelled"]


def test_the_newest_of_many_pushes_finds_room_although_no_build_was_superseded_yet(
    cloud: Cloud,
) -> None:
    """The messages of the earlier pushes are not delivered yet."""
    cloud.change_service(max_open_builds=4)
    occupy(cloud)
    for number in range(1, 8):
        assert cloud.push(sha(number)).status == 202
    cloud.settle()
    assert statuses(cloud, 3, 8, 9) == ["superseded", "superseded", "queued"]


def test_a_superseded_build_cannot_be_cancelled(cloud: Cloud) -> None:
    occupy(cloud)
    for number in (1, 2):
        cloud.push(sha(number))
    cloud.settle()
    answer = cloud.api.post("/v1/cicd/jobs/build-3/cancel")
    assert (answer.status, answer.body["code"]) == (409, "job_ended")
    listed = cloud.api.get(f"/v1/cicd/services/{cloud.service_id}/builds?status=superseded").body
    assert [each["id"] for each in listed["items"]] == [3]


def test_the_newest_push_is_not_lost_if_the_service_has_as_many_builds_as_it_may(
    cloud: Cloud,
) -> None:
    cloud.change_service(max_open_builds=3)
    occupy(cloud)
    cloud.push(sha(1))
    tested = cloud.api.post("/v1/webhooks/github/test", push_payload(after=sha(2))).body
    assert tested["outcome"] == "started"
    assert cloud.push(sha(2)).status == 202
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["superseded", "queued"]


def test_every_push_to_a_service_that_may_have_one_open_build_is_built_or_replaced(
    cloud: Cloud,
) -> None:
    cloud.change_service(max_open_builds=1)
    for number in (1, 2, 3, 4):
        assert cloud.push(sha(number)).status == 202
        cloud.settle()
    assert statuses(cloud, 1, 2, 3, 4)[-1] in {"queued", "building"}
    assert len(get_service(cloud.service_id).open_builds or ()) <= 3


def test_pushes_within_one_second_do_not_supersede_each_other(cloud: Cloud) -> None:
    """GitHub may deliver them in either order."""
    cloud.seconds_before_push = 0
    occupy(cloud)
    for number in (2, 1):
        cloud.push(sha(number))
        cloud.settle()
    assert statuses(cloud, 3, 4) == ["queued", "queued"]


def test_a_push_from_a_clock_ahead_does_not_supersede_later_pushes(cloud: Cloud) -> None:
    occupy(cloud)
    cloud.push(sha(1), pushed_at=LATER + 20 * 3600)
    cloud.push(sha(2))
    cloud.settle()
    assert statuses(cloud, 3, 4) == ["superseded", "queued"]


def test_many_builds_are_superseded_together_while_a_day_ends(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 builds and the roll-ups of one day are 100 writes, the most of a transaction.

    Each look at the clock takes a second, and midnight is 25 seconds away.
    """
    cloud.change_service(max_open_builds=100)
    occupy(cloud)
    cloud.advance(86_400 - 200)
    for number in range(1, 50):
        cloud.push(sha(number))
    cloud.lose_messages()
    cloud._now = MIDNIGHT + 86_400 - 25
    with monkeypatch.context() as patched:

        def later() -> int:
            cloud.advance(1)
            return int(cloud._now)

        patched.setattr(clock, "now", later)
        cloud.wake("build-51")
    ends = [row for row in builds().values() if row["status"] == "superseded"]
    days = {datetime.fromtimestamp(row["finished_at"], UTC).date() for row in ends}
    assert (len(ends), len(days)) == (48, 1)
