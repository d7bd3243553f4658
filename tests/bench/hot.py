"""Which partition of DynamoDB breaks first, and at which rate of pushes.

A partition takes 1,000 write units a second ("Best practices for designing and using partition
keys"). A full partition of an index stops the writes of its table, too ("Global secondary index
write throttling and back pressure"). The sort keys of these indexes grow with time, so DynamoDB's
split of a hot partition does not help: all new entries are in its last part.

A partition counts all writes of one push with its key. Keys that all pushes share break at the
rate of the installation. Those of a project or a service break at its own rate.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from tests.bench.figures import Figure

# Write units a second of a partition. It may have more for a while, but that is not promised.
LIMIT = 1000
# 10,000 services make a million builds in 30 days, with bursts of twenty times as many.
AVERAGE = 1_000_000 / (30 * 24 * 3600)
BURST = 20 * AVERAGE
ROOM = 10
SHARDS = 8
# The simulated burst: its seconds, and over how many a push writes.
SECONDS, LIFE = 600, 300


def groups(partitions: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """The write units of a push by table or index, and by who shares the partition's key.

    Keys that a push has for itself are left out: they take one push each.
    """
    found: dict[tuple[str, str], float] = defaultdict(float)
    for (name, key), units in partitions.items():
        shared = _shared_by(name, key)
        if shared:
            found[name, shared] += units
    return dict(found)


def _shared_by(name: str, key: str) -> str:
    if key.startswith("counter:"):
        return f"all pushes, {key}"
    if key in {"y", "all"}:
        return "all pushes"
    if key.startswith("all-"):
        return f"all pushes, in {SHARDS} shards"
    if name.endswith("/project") or key.startswith("project-"):
        return "a project"
    if name == "jobs/service":
        return "a service's builds" if key.endswith("#build") else "a service's deployments"
    if name in {"services", "history/service"} or key.startswith("service-"):
        return "a service"
    return ""


def rate(name: str, shared: str, units: float) -> float:
    """The pushes a second, of those that share the key, at which a partition is full."""
    return LIMIT / units * (SHARDS if "shards" in shared else 1)


def simulated(units: float, pushes: float, *, seed: int = 1) -> float:
    """The share of writes that a partition refuses in a burst of so many pushes a second.

    Pushes come at random times. Each writes one unit at a time over five minutes.
    """
    draw = random.Random(seed)  # the same burst in each run
    asked: Counter[int] = Counter()
    at = 0.0
    while (at := at + draw.expovariate(pushes)) < SECONDS:
        for _ in range(round(units)):
            asked[int(at + draw.random() * LIFE)] += 1
    refused = sum(max(0, each - LIMIT) for each in asked.values())
    return refused / max(1, asked.total())


def rows(partitions: Mapping[tuple[str, str], float]) -> list[tuple[str, str, float, float]]:
    """Index or table, who shares the key, units for a push, pushes a second; the first to break
    first.
    """
    found = [
        (name, shared, units, rate(name, shared, units))
        for (name, shared), units in groups(partitions).items()
    ]
    return sorted(found, key=lambda row: (not row[1].startswith("all"), row[3]))


def table(partitions: Mapping[tuple[str, str], float]) -> list[tuple[str, str]]:
    """The rows of the table in `docs/operate.md`, without keys that are far from their limit."""
    return [
        (f"`{name}`, {shared}", f"{units:.0f} | {breaks:.0f}")
        for name, shared, units, breaks in rows(partitions)
        if units > 1
    ]


def measure(partitions: Mapping[tuple[str, str], float]) -> Iterator[Figure]:
    """The rate at which each shared partition breaks, and a simulated burst of the first ones."""
    yield Figure("pushes wanted: average", AVERAGE, "/s")
    yield Figure("pushes wanted: burst", BURST, "/s")
    yield Figure(f"pushes wanted: burst with room for {ROOM} times", BURST * ROOM, "/s")
    for name, shared, _, breaks in rows(partitions):
        wanted = BURST * ROOM if shared.startswith("all") else None
        yield Figure(
            f"{name} ({shared}) is full at",
            breaks,
            "/s",
            None if wanted is None else breaks / wanted,
        )
    for name, shared, units, _ in [row for row in rows(partitions) if row[1] == "all pushes"][:3]:
        for times in (1, ROOM):
            lost = 100 * simulated(units, BURST * times)
            yield Figure(f"{name} ({shared}) refuses in a burst x{times}", lost, "%")
