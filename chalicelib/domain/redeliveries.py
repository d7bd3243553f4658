"""Failed deliveries of the GitHub App's webhook: which ones GitHub is asked to repeat.

GitHub repeats no delivery by itself ("Handling failed webhook deliveries"). It lists each attempt,
and all attempts of one delivery have the same guid. So nothing about them is stored here.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

# Minutes between two looks at the list.
PERIOD = 5
# Seconds after an attempt until the next one: one more for each attempt that failed.
PAUSES = (60, 15 * 60, 60 * 60, 8 * 60 * 60)
# Seconds for which a delivery is repeated. They are longer than all pauses together.
LAST = 12 * 60 * 60
# Repetitions in one look.
MOST = 20
# The events that start builds. All other events only save a wait.
_EVENTS = {"push", "pull_request"}
# 401 may be a secret that was replaced in one place only. 429 is a limit of API Gateway.
_PASSING = {401, 429}


class Attempt(msgspec.Struct, frozen=True):
    """An attempt of GitHub to deliver an event.

    The names are those of GitHub's list ("List deliveries for an app webhook"). `delivered_at` is
    in unix seconds. `status_code` is that of the answer, or 0 if there was none.
    """

    id: int
    guid: str
    event: str
    delivered_at: int
    status_code: int
    redelivery: bool


def due(attempts: Iterable[Attempt], now: int) -> list[int]:
    """The ids of the attempts that GitHub is to repeat now, those of the oldest event first.

    `attempts` are all since some time. An event without its first attempt is older than that: how
    often it was repeated is not known, so it is not repeated again.
    """
    events: dict[str, list[Attempt]] = defaultdict(list)
    for each in attempts:
        events[each.guid].append(each)
    firsts = [_to_repeat(each, now) for each in events.values()]
    found = sorted((each.delivered_at, each.id) for each in firsts if each is not None)
    return [attempt_id for _, attempt_id in found[:MOST]]


def _to_repeat(attempts: list[Attempt], now: int) -> Attempt | None:
    """The first attempt of an event that is to be repeated; None for any other event."""
    first = next((each for each in attempts if not each.redelivery), None)
    if first is None or first.event not in _EVENTS or now - first.delivered_at > LAST:
        return None
    if any(200 <= each.status_code < 400 for each in attempts) or len(attempts) > len(PAUSES):
        return None
    last = max(attempts, key=lambda each: (each.delivered_at, each.id))
    status, pause = last.status_code, PAUSES[len(attempts) - 1]
    may_pass = status == 0 or status in _PASSING or status >= 500
    return first if may_pass and now - last.delivered_at >= pause else None
