"""What the control plane costs in US dollars, for 1,000 pushes until they are deployed, and idle.

Calls, invocations, units and lines of logs are counted while the embedded cloud plays a push and
two idle hours. `prices` has AWS's prices and what is assumed. Builds, images and ECS services are
no part of it. `python -m tests.bench.cost` writes the tables into `docs/operate.md` again.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cfnlint.decode import decode

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from infra.alarms import alarms
from infra.package import ROOT
from tests.bench import hot, memory, prices
from tests.bench.figures import Figure
from tests.bench.units import PHASES, Meter, metered_cloud, stored
from tests.support.embedded import Cloud, sha

OPERATE = ROOT / "docs/operate.md"
# Milliseconds of a whole processor for one call of AWS, with our own code around it: "warm push:
# all code" of `make bench` by its six calls, on the machine of 2026-11-28.
CPU_MS = 1.9
# Custom metrics of `chalicelib.cloudwatch`, if each has been written in the month.
METRICS = 20
IDLE_MINUTES = 120

Costs = dict[str, float]
_K = TypeVar("_K")


@dataclass(frozen=True)
class Counted:
    """What one push caused, or an idle hour. `stored` are the bytes that stay in DynamoDB."""

    written: float
    read: float
    invocations: Mapping[str, float]
    calls: Mapping[tuple[str, str], float]
    log_bytes: float
    stored: float
    partitions: Mapping[tuple[str, str], float]


def count() -> tuple[Counted, Counted, Counted]:
    """Play a push until it is deployed, then idle hours of one service and of two; count each."""
    with metered_cloud() as (cloud, meter):
        before = stored()
        play(cloud, 3)
        push = _counted(meter, stored=stored() - before)
        one = _idle_hour(cloud, meter)
        cloud.add_service("other", branch="other")
        play(cloud, 4, "other", branch="other")
        return push, one, _idle_hour(cloud, meter)


def _idle_hour(cloud: Cloud, meter: Meter) -> Counted:
    meter.clear()
    for _ in range(IDLE_MINUTES):
        cloud.tick()
    return _counted(meter, times=60 / IDLE_MINUTES)


def play(cloud: Cloud, number: int, name: str = "hello", branch: str = "master") -> None:
    """Push commit `number`, build it through all phases, and deploy it."""
    (build,) = cloud.push(sha(number), branch=branch).body["builds"]
    cloud.settle()
    for phase in PHASES:
        cloud.enter_phase(int(build["build_id"]), phase)
    cloud.finish_build(int(build["build_id"]))
    cloud.finish_rollout(name)


def _counted(meter: Meter, *, stored: float = 0, times: float = 1) -> Counted:
    def scaled(counts: Counter[_K]) -> dict[_K, float]:
        return {name: value * times for name, value in counts.items()}

    lines = meter.log_bytes + meter.log_lines * prices.LINE
    platform = meter.invocations.total() * prices.PLATFORM_LOG
    return Counted(
        written=meter.written * times,
        read=meter.reads * times,
        invocations=scaled(meter.invocations),
        calls=scaled(meter.calls_of),
        log_bytes=(lines + platform) * times,
        stored=stored,
        partitions=scaled(meter.partitions),
    )


def gb_seconds(counted: Counted, sizes: Mapping[str, int]) -> float:
    """Lambda's time: the processor's share of each function, and the waiting for AWS."""
    total = 0.0
    for (function, service), calls in counted.calls.items():
        size = sizes[function]
        milliseconds = memory.milliseconds(CPU_MS, prices.WAIT_MS[service], size)
        total += calls * milliseconds / 1000 * size / 1024
    return total


def runs(push: Counted, hour: Counted) -> dict[str, tuple[float, float]]:
    """The milliseconds that each function of the pipeline computes and waits, for the mean call."""
    found: dict[str, list[float]] = {}
    for counted in (push, hour):
        for (function, service), calls in counted.calls.items():
            if function != "api_handler":
                times = found.setdefault(function, [0, 0])
                times[0] += calls * CPU_MS
                times[1] += calls * prices.WAIT_MS[service]
    return {name: (computing, waiting) for name, (computing, waiting) in found.items()}


def memory_table(push: Counted, hour: Counted) -> list[tuple[str, str]]:
    """For each size: the ms of a page, of a cold push, and the dollars of Lambda."""
    found = []
    for size in memory.SIZES:
        of_all = dict.fromkeys(sizes(), size)
        page = memory.milliseconds(
            memory.PAGE_MS, memory.PAGE_CALLS * prices.WAIT_MS["dynamodb"], size
        )
        cold = memory.milliseconds(
            memory.COLD_MS, memory.COLD_CALLS * prices.WAIT_MS["dynamodb"], size
        )
        of_pushes = gb_seconds(push, of_all) * 1000 * prices.GB_SECOND
        of_month = gb_seconds(hour, of_all) * prices.DAYS * 24 * prices.GB_SECOND
        figures = (f"{memory.share(size):.2f}", f"{page:.0f}", f"{cold:.0f}")
        dollars = (_dollars(of_pushes), _dollars(of_month))
        found.append((f"{size} MB", " | ".join((*figures, *dollars))))
    return found


def sizes() -> dict[str, int]:
    """The memory of each function in MB."""
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    return {name: each["lambda_memory_size"] for name, each in config["lambda_functions"].items()}


def of_work(counted: Counted, times: float, *, requests: float) -> Costs:
    """The dollars of so many repetitions of what was counted. `requests` come over HTTP."""
    sent = sum(n for (_, service), n in counted.calls.items() if service == "sqs")
    # Lambda receives and deletes each message.
    messages = sent + 2 * counted.invocations.get("on_wakeup", 0)
    log_bytes = counted.log_bytes + requests * prices.ACCESS_LOG
    one = {
        "DynamoDB": counted.written * prices.WRITE_UNIT + counted.read * prices.READ_UNIT,
        "Lambda": sum(counted.invocations.values()) * prices.INVOCATION
        + gb_seconds(counted, sizes()) * prices.GB_SECOND,
        "API Gateway": requests * prices.REQUEST,
        "SQS": messages * prices.SQS_REQUEST,
        "EventBridge": counted.invocations.get("on_cloud_event", 0) * prices.EVENT,
        "CloudWatch Logs": log_bytes / 1e9 * prices.LOG_GB,
        # A function keeps the webhook's secret for some minutes: this is the most it can be.
        "Secrets Manager": requests * prices.SECRET_READ,
    }
    return {name: dollars * times for name, dollars in one.items()}


def pushes(push: Counted) -> Costs:
    """The dollars of 1,000 pushes until they are deployed."""
    return of_work(push, 1000, requests=1)


def idle(hour: Counted) -> Costs:
    """The dollars of 30 days without work, with one service and nothing that asks the API."""
    hours = prices.DAYS * 24
    work = of_work(hour, hours, requests=0)
    # The queue of wake-ups and the FIFO queue of tellings.
    polls = prices.IDLE_POLLS_A_MINUTE * 60 * hours * (prices.SQS_REQUEST + prices.FIFO_REQUEST)
    kept = hour.log_bytes * hours / 1e9 * prices.KEPT_LOG_GB
    return {
        "DynamoDB": work["DynamoDB"],
        "Lambda": work["Lambda"],
        "SQS": work["SQS"] + polls,
        "EventBridge": work["EventBridge"],
        "CloudWatch Logs": work["CloudWatch Logs"] + kept,
        "CloudWatch alarms": _alarms() * prices.ALARM,
        "CloudWatch dashboard": prices.DASHBOARD,
        "Secrets Manager": prices.SECRET,
    }


def _alarms() -> int:
    template, _ = decode(str(ROOT / "infra/stack.yaml"))
    kinds = [each["Type"] for each in template["Resources"].values()]
    return kinds.count("AWS::CloudWatch::Alarm") + len(alarms("slipway-dev"))


def kept(push: Counted) -> float:
    """The dollars a month for what 1,000 pushes leave in DynamoDB, with its backup."""
    return push.stored * 1000 / 1e9 * (prices.STORED_GB + prices.BACKUP_GB)


def further(one: Counted, two: Counted) -> float:
    """The dollars of 30 days without work for each service after the first."""
    return sum(idle(two).values()) - sum(idle(one).values())


def tables(push: Counted, one: Counted, two: Counted) -> dict[str, list[tuple[str, str]]]:
    """The rows of the tables in `docs/operate.md`, by the name in the comment before each."""
    calls, functions = sum(push.calls.values()), sum(push.invocations.values())
    return {
        "cost: counted": [
            ("Written for one push until it is deployed", f"{push.written:.0f} write units"),
            ("Read for it", f"{push.read:.0f} read units"),
            ("Calls of AWS for it", f"{calls:.0f}"),
            ("Runs of functions for it", f"{functions:.0f}"),
            ("Lambda's time for it", f"{gb_seconds(push, sizes()):.2f} GB-seconds"),
            ("Lines of logs for it", f"{push.log_bytes / 1000:.0f} KB"),
            ("Rows and index entries that stay of it", f"{push.stored / 1000:.0f} KB"),
        ],
        "cost: pushes": _rows(pushes(push)),
        "cost: idle": _rows(idle(one)),
        "cost: kept": [
            ("Each service after the first, without work", _dollars(further(one, two))),
            ("DynamoDB and its backup, for each 1,000 pushes ever made", _dollars(kept(push))),
            ("Custom metrics, if each was written in the month", _dollars(METRICS * prices.METRIC)),
            ("KMS, only with `KmsKey`", f"{_dollars(prices.KMS_KEY)} and 0.03 for 10,000 calls"),
        ],
        "memory": memory_table(push, one),
        "hot": hot.table(push.partitions),
    }


def _rows(costs: Costs) -> list[tuple[str, str]]:
    return [
        *((name, _dollars(value)) for name, value in costs.items()),
        ("**Together**", f"**{_dollars(sum(costs.values()))}**"),
    ]


def _dollars(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def measure() -> Iterator[Figure]:
    """The dollars of pushes and of an idle month, and the partitions that break first."""
    push, hour, two = count()
    for name, dollars in pushes(push).items():
        yield Figure(f"1,000 pushes deployed: {name}", dollars, "USD")
    yield Figure("1,000 pushes deployed: together", sum(pushes(push).values()), "USD")
    for name, dollars in idle(hour).items():
        yield Figure(f"a month without work: {name}", dollars, "USD")
    yield Figure("a month without work: together", sum(idle(hour).values()), "USD")
    yield Figure("a month without work: each further service", further(hour, two), "USD")
    yield from hot.measure(push.partitions)


def written(page: str, found: Mapping[str, list[tuple[str, str]]]) -> str:
    """The page with these tables in the place of its own."""
    for name, rows in found.items():
        lines = "".join(f"| {what} | {figure} |\n" for what, figure in rows)
        parts = re.split(rf"(<!-- {name} -->\n\|.*\n\|.*\n)(?:\|.*\n)*", page)
        if len(parts) != 3:
            raise ValueError(f"one table after <!-- {name} --> was expected")
        page = f"{parts[0]}{parts[1]}{lines}{parts[2]}"
    return page


def main(path: Path = OPERATE) -> None:
    """Write the tables of `docs/operate.md` again."""
    path.write_text(written(path.read_text(), tables(*count())))
    print(f"{path.relative_to(ROOT)} has the figures of today's code")


if __name__ == "__main__":
    main()
