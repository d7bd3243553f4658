"""What the control plane costs on AWS: calls, and the units that DynamoDB charges, of one push.

Units follow DynamoDB's rules ("Read and write operations", "Managing indexes" in its developer
guide): a write of an item of up to 1 KB is one unit, in a transaction two. An index is written when
an attribute that it has changes, and twice when its key changes. Reads are units of 4 KB, half of
them if they may be stale.
"""

import copy
import io
import logging
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import pytest
from botocore.client import BaseClient
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends

import tests.support.fixtures  # noqa: F401  # first: it sets the product's environment
from chalicelib import cloudwatch
from infra.local import speed
from infra.local.aws.pump import Pump
from tests.bench.figures import Figure
from tests.bench.prices import READ_UNIT, ROW, WRITE_UNIT
from tests.support.client import Api
from tests.support.embedded import MINUTE, Cloud, sha

PHASES = ("DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD")
HOUR = 60 * MINUTE
# Builds that wait, and the services that have requested them.
WAITING, WAITING_SERVICES = (100, 500), 200

_Item = dict[str, dict[str, Any]]


class Meter:
    """Counts what Slipway's functions do while it is on: calls, units, lines of logs.

    What a test does by itself, such as a GET that follows a build, is not counted.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clear()
        self._function = ""
        original: Any = vars(BaseClient)["_make_api_call"]
        invoke: Any = vars(Pump)["_invoke"]
        ask: Any = vars(Api)["request"]

        def invoke_function(pump: Any, function: str, event: Any) -> Any:
            with self._running(function):
                return invoke(pump, function, event)

        def request_api(api: Any, method: str, path: str, **more: Any) -> Any:
            with self._running("api_handler" if method == "POST" else ""):
                return ask(api, method, path, **more)

        monkeypatch.setattr(Pump, "_invoke", invoke_function)
        monkeypatch.setattr(Api, "request", request_api)
        monkeypatch.setattr(cloudwatch, "on_lambda", lambda: True)

        def make_api_call(client: Any, operation: str, request: dict[str, Any]) -> Any:
            service = client.meta.service_model.service_name
            if not self._function:
                return original(client, operation, request)
            self.calls[f"{service}.{operation}"] += 1
            self.calls_of[self._function, service] += 1
            if service != "dynamodb":
                return original(client, operation, request)
            written = [(*each, _stored(*each)) for each in _written(operation, request)]
            answer = original(client, operation, request)
            for table, key, before in written:
                cost = 2 if operation == "TransactWriteItems" else 1
                self._write(table, before, _stored(table, key), cost)
            self.reads += _read(operation, request, answer)
            return answer

        monkeypatch.setattr(BaseClient, "_make_api_call", make_api_call)

    def clear(self) -> None:
        self.calls: Counter[str] = Counter()
        # By function and service.
        self.calls_of: Counter[tuple[str, str]] = Counter()
        self.invocations: Counter[str] = Counter()
        self.log_lines = self.log_bytes = 0
        self.writes: Counter[str] = Counter()
        # By table or index, and partition key.
        self.partitions: Counter[tuple[str, str]] = Counter()
        self.reads = 0.0

    @property
    def written(self) -> int:
        """The units of all writes."""
        return sum(self.writes.values())

    @contextmanager
    def _running(self, function: str) -> Iterator[None]:
        """Count what runs inside as this function's."""
        metrics, log = io.StringIO(), _Log()
        logger = logging.getLogger("slipway")
        logger.addHandler(log)
        outer, self._function = self._function, function
        try:
            with redirect_stdout(metrics):
                yield
        finally:
            self._function = outer
            logger.removeHandler(log)
        if function:
            self.invocations[function] += 1
            lines = [*log.lines, *metrics.getvalue().splitlines()]
            self.log_lines += len(lines)
            self.log_bytes += sum(len(line.encode()) for line in lines)

    def _write(self, table: str, before: _Item | None, after: _Item | None, cost: int) -> None:
        name = table.partition("-")[2]
        units = cost * _units(before, after)
        self.writes[name] += units
        self.partitions[name, _key(after or before, _table(table).hash_key_attr)] += units
        for index in _table(table).global_indexes:
            keys = [key["AttributeName"] for key in index.schema]
            old, new = (_projected(item, index, keys, table) for item in (before, after))
            if old != new:
                moves = old is not None and new is not None and any(old[k] != new[k] for k in keys)
                units, in_index = _units(old, new), f"{name}/{index.name}"
                for item in (old, new) if moves else (new or old,):
                    self.writes[in_index] += units
                    self.partitions[in_index, _key(item, keys[0])] += units


class _Log(logging.Handler):
    """Keeps the messages that Lambda would write."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _key(item: _Item | None, attribute: str) -> str:
    return str(next(iter((item or {})[attribute].values())))


def _table(name: str) -> Any:
    return dynamodb_backends["123456789012"]["eu-west-1"].get_table(name)


def _stored(table: str, key: _Item) -> _Item | None:
    keys = dynamodb_backends["123456789012"]["eu-west-1"].get_keys_value(_table(table), key)
    item = _table(table).get_item(*keys)
    return None if item is None else copy.deepcopy(item.to_json()["Attributes"])


def _written(operation: str, request: dict[str, Any]) -> Iterator[tuple[str, _Item]]:
    if operation == "TransactWriteItems":
        for write in request["TransactItems"]:
            ((kind, each),) = write.items()
            yield each["TableName"], each["Item"] if kind == "Put" else each["Key"]
    elif operation in {"UpdateItem", "PutItem", "DeleteItem"}:
        yield request["TableName"], request.get("Key") or request["Item"]


def _read(operation: str, request: dict[str, Any], answer: dict[str, Any]) -> float:
    if operation == "GetItem":
        whole = math.ceil(max(1, _size(answer.get("Item", {}))) / 4096)
        return whole if request.get("ConsistentRead") else whole / 2
    if operation == "BatchGetItem":
        rows = [row for rows in answer["Responses"].values() for row in rows]
        return sum(math.ceil(_size(row) / 4096) for row in rows)
    if operation == "Query":
        return max(1, math.ceil(sum(map(_size, answer["Items"])) / 4096)) / 2
    return 0


def _projected(item: _Item | None, index: Any, keys: list[str], table: str) -> _Item | None:
    if item is None or any(key not in item for key in keys):
        return None
    if index.projection["ProjectionType"] == "ALL":
        return item
    named = {*keys, *_table(table).table_key_attrs, *index.projection.get("NonKeyAttributes", [])}
    return {name: value for name, value in item.items() if name in named}


def stored() -> int:
    """The bytes that DynamoDB charges for all tables and their indexes."""
    total = 0
    for name, table in dynamodb_backends["123456789012"]["eu-west-1"].tables.items():
        items = [item.to_json()["Attributes"] for item in table.all_items()]
        total += sum(_size(item) + ROW for item in items)
        for index in table.global_indexes:
            keys = [key["AttributeName"] for key in index.schema]
            shown = (_projected(item, index, keys, name) for item in items)
            total += sum(_size(item) + ROW for item in shown if item is not None)
    return total


def _units(*items: _Item | None) -> int:
    return max(1, *(math.ceil(_size(item or {}) / 1024) for item in items))


def _size(item: _Item) -> int:
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return (len(content.lstrip("-").replace(".", "").strip("0")) + 1) // 2 + 1
        case "M":
            parts = (len(name.encode()) + _value_size(each) + 1 for name, each in content.items())
            return 3 + sum(parts)
        case "L":
            return 3 + sum(_value_size(each) + 1 for each in content)
        case "SS":
            return sum(len(each.encode()) for each in content)
        case "NS":
            return sum((len(each) + 1) // 2 + 1 for each in content)
    return 1


@contextmanager
def metered_cloud() -> Iterator[tuple[Cloud, Meter]]:
    """A service with two releases, and a meter of what comes after them."""
    speed.install()
    with pytest.MonkeyPatch.context() as monkeypatch, mock_aws():
        cloud = Cloud(monkeypatch)
        for number in (1, 2):
            cloud.release(number)
        # ECS's events of the earlier releases are no part of what the next one keeps.
        cloud.advance(HOUR)
        cloud.tick()
        yield cloud, Meter(monkeypatch)


def measure() -> Iterator[Figure]:
    """Play a push until it is deployed, and a line of waiting builds, and count."""
    with metered_cloud() as (cloud, meter):
        yield from _push(cloud, meter)
        yield from _minutes(cloud, meter)
        meter.clear()
        cloud.tick()
        yield Figure("a minute without work: calls", meter.calls.total(), "")
        yield from _line(cloud, meter)


def _push(cloud: Cloud, meter: Meter) -> Iterator[Figure]:
    steps: Counter[str] = Counter()

    def step(name: str) -> None:
        steps[name] += meter.written - sum(steps.values())

    cloud.push(sha(3))
    step("accept the push")
    cloud.settle()
    step("start the build")
    for phase in PHASES:
        cloud.enter_phase(3, phase)
    step("phases of the build")
    cloud.finish_build(3)
    step("end the build, begin the rollout")
    cloud.finish_rollout()
    step("end the rollout")
    for name, units in steps.items():
        yield Figure(f"push to deployed, {name}: written", units, "WRU")
    for name, units in meter.writes.most_common():
        yield Figure(f"  {name}: written", units, "WRU")
    yield Figure("push to deployed: written", meter.written, "WRU")
    yield Figure("push to deployed: read", meter.reads, "RRU")
    yield Figure("push to deployed: calls", meter.calls.total(), "")
    price = meter.written * WRITE_UNIT + meter.reads * READ_UNIT
    yield Figure("1,000 pushes deployed: DynamoDB", price * 1000, "USD")


def _minutes(cloud: Cloud, meter: Meter) -> Iterator[Figure]:
    """What each minute writes in which a build or a rollout goes on without news."""
    cloud.push(sha(4))
    cloud.settle()
    for phase in PHASES[:-1]:
        cloud.enter_phase(4, phase)
    yield Figure("a minute of a build: written", _minute(cloud, meter), "WRU")
    cloud.finish_build(4)
    yield Figure("a minute of a rollout: written", _minute(cloud, meter), "WRU")
    cloud.finish_rollout()


def _minute(cloud: Cloud, meter: Meter) -> int:
    cloud.tick()
    meter.clear()
    cloud.tick()
    return meter.written


def _line(cloud: Cloud, meter: Meter) -> Iterator[Figure]:
    services = [
        cloud.add_service(f"waiting-{each}", branch=f"branch-{each}", git_url=_repository(each))
        for each in range(WAITING_SERVICES)
    ]
    minutes, asked = 10, 0
    for waiting in WAITING:
        meter.clear()
        for number in range(asked, waiting):
            path = f"/v1/cicd/services/{services[number % len(services)]}/build"
            cloud.api.post(path, {"git_ref": f"ref-{number}"})
        cloud.settle()
        name = f"{waiting} waiting builds"
        yield Figure(
            f"{name}, each when it is requested: read", meter.reads / (waiting - asked), "RRU"
        )
        asked = waiting
        meter.clear()
        for _ in range(minutes):
            cloud.tick()
            cloud.settle()
        yield Figure(f"{name}, a minute: calls", meter.calls.total() / minutes, "")
        yield Figure(f"{name}, a minute: read", meter.reads / minutes, "RRU")
        yield Figure(f"{name}, a minute: written", meter.written / minutes, "WRU")


def _repository(number: int) -> str:
    # At most a hundred services may follow a repository.
    return f"https://github.com/example/app-{number // 50}.git"
