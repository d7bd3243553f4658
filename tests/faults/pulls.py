"""A pull request of the repository, in a random story."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from chalicelib.domain.timing import rfc3339
from tests.faults.invariants import Violation
from tests.faults.rows import builds, rows
from tests.support.client import Answer
from tests.support.embedded import Cloud, sha

# Commits of pushes to the branch have lower numbers.
_FIRST = 0x1000


@dataclass(frozen=True)
class Event:
    """An event of the pull request. Each one is at least a second later than the one before."""

    delivery: str
    action: str
    commit: str
    at: int


class PullRequest:
    """GitHub delivers the events of a pull request: late, twice, in another order, or never.

    `send` sends a delivery, which has a name, until it is answered.
    """

    def __init__(self, cloud: Cloud, send: Callable[[Callable[[], Answer], str], None]) -> None:
        self._cloud, self._send = cloud, send
        self._events: list[Event] = []
        self._delivered: list[Event] = []

    def act(self, choice: int) -> None:
        """Somebody opens, pushes to, closes or reopens it, or GitHub delivers an event again.

        Every sixth event is not delivered at first. Every fourth one is 90 seconds late.
        """
        what, how = choice % 6, choice // 6
        if what == 0 and self._events:
            return self._deliver(self._events[how % len(self._events)])
        event = self._next(what, how)
        self._events.append(event)
        if how % 6:
            self._deliver(event)

    def _next(self, what: int, how: int) -> Event:
        number = len(self._events)
        commit, action = sha(_FIRST + number), "synchronize"
        at = int(self._cloud._now) - (90 if how % 4 == 0 else 0)
        if not self._events:
            return Event("pull-0", "opened", commit, at)
        last = self._events[-1]
        if last.action == "closed":
            commit, action = last.commit, "reopened"
        elif what == 1:
            commit, action = last.commit, "closed"
        elif what == 2:  # a forced push takes it back to a commit that it had
            commit = self._events[how % number].commit
        return Event(f"pull-{number}", action, commit, max(at, last.at + 1))

    def _deliver(self, event: Event) -> None:
        self._delivered.append(event)
        self._send(
            partial(
                self._cloud.pull,
                event.action,
                event.commit,
                delivery=event.delivery,
                pull_request__updated_at=rfc3339(event.at),
            ),
            f"pull request {event.delivery}",
        )

    def check(self) -> None:
        """The head is built or a record says why not, and no earlier event has ended its build.

        Once all deliveries were answered. A head that the pull request had before is left out:
        GitHub may deliver the events in an order that Slipway cannot know. Raises Violation.
        """
        if not self._delivered:
            return
        last = max(self._delivered, key=lambda event: event.at)
        same = {event.delivery for event in self._delivered if event.commit == last.commit}
        if len(same) > 1:
            return
        own = [row for row in builds().values() if row.get("commit_sha") == last.commit]
        if not own and not self._has_record(last):
            raise Violation(f"the head {last.commit} is not built, and no record says why")
        if any(row["status"] == "superseded" for row in own):
            raise Violation(f"the build of the head {last.commit} is superseded")
        if any(row.get("cancelled_by", "").startswith("github:") for row in own):
            raise Violation(
                f"the build of the head {last.commit} was cancelled by an earlier event"
            )

    def _has_record(self, event: Event) -> bool:
        return any(
            name.startswith("delivery:") and name.endswith(f":{event.delivery}")
            for name in rows("receipts")
        )
