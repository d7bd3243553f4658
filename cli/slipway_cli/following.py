"""Following work to its end: a job's status, and the lines of a log."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from slipway_cli.client import Answer, Client
from slipway_cli.errors import NoAnswer
from slipway_cli.names import JobName

# How long Slipway may be unreachable while a job or a log is followed.
PATIENCE = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 3.0
# While a rollout awaits a person, which may take days.
_PAUSE_OF_HOOKS = 15.0
# Between the pages of a log that exist already.
_BETWEEN_PAGES = 0.05
PAGE = 1000


@dataclass
class Follower:
    """Reads again and again, and survives failed requests. `now` and `sleep` are for tests."""

    client: Client
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _answered: float = field(init=False)

    def __post_init__(self) -> None:
        self._answered = self.now()

    def until_ended(
        self,
        job: JobName,
        show: Callable[[dict[str, Any]], None],
        until: Callable[[dict[str, Any]], bool] = lambda _: False,
    ) -> dict[str, Any]:
        """The row of a job after its end, or the first one for which `until` is true. Each row
        before is given to `show`.

        Raises Failures; NoAnswer only after five minutes without an answer.
        """
        pause = _FIRST_PAUSE
        while True:
            row: dict[str, Any] = self._patiently(job.path, {}).body
            show(row)
            if row["finished_at"] is not None or until(row):
                return row
            longest = _PAUSE_OF_HOOKS if row.get("awaiting") else _LONGEST_PAUSE
            pause = min(pause, longest)
            self.sleep(pause)
            pause *= 1.3

    def log(self, job: JobName, *, tail: int | None, follow: bool) -> Iterator[dict[str, Any]]:
        """The pages of a job's log, each line once. Without `follow` they end at the last line that
        there is now, else when the log is complete.
        """
        query: dict[str, Any] = {"limit": PAGE} if tail is None else {"tail": tail}
        cursor = None
        begun: float | None = None
        while True:
            answer = self._patiently(f"{job.path}/logs", query)
            page = answer.body
            yield page
            begun = answer.at if begun is None else begun
            moved = page["next_cursor"] not in {None, cursor}
            cursor = page["next_cursor"] or cursor
            query = {"limit": PAGE, "cursor": cursor}
            is_present = tail is not None or _is_newer(page["lines"], begun)
            if page["complete"] or not (follow or page["lines"] or moved):
                return
            if is_present and not follow:
                return
            is_at_end = follow and len(page["lines"]) < PAGE
            waits = answer.retry_after or (0.0 if page["lines"] else 1.0)
            self.sleep(max(waits if is_at_end else 0.0, _BETWEEN_PAGES))

    def _patiently(self, path: str, query: dict[str, Any]) -> Answer:
        while True:
            try:
                answer = self.client.read(path, **query)
            except NoAnswer:
                if self.now() - self._answered > PATIENCE:
                    raise
                self.sleep(_LONGEST_PAUSE)
            else:
                self._answered = self.now()
                return answer


def _is_newer(lines: list[dict[str, Any]], begun: float) -> bool:
    """Whether all lines of a page are younger than a time, by the second of a Date header.

    Pages need not be full, so their length does not show the end of a log that is being written.
    """
    try:
        oldest = datetime.fromisoformat(lines[0]["timestamp"]).timestamp()
    except (IndexError, ValueError):
        return False
    return oldest > begun + 1
