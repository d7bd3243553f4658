"""Numbers of builds and deployments: of everything, of a project, of a service.

Each request reads the roll-ups of its days, never the jobs: its cost does not grow with history.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

import msgspec

from chalicelib import clock
from chalicelib.access import Principal, load_project, load_service
from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.api.http.parameters import DAYS, UNTIL
from chalicelib.domain import exposition, metrics
from chalicelib.domain.metrics import BUILD_ENDS, DEPLOYMENT_ENDS, Timing
from chalicelib.domain.timing import day_of, days_until
from chalicelib.domain.tokens import Role
from chalicelib.pipeline.line import queue_of
from chalicelib.store.rollups import read_roll_ups

routes = Routes(__name__)


class BuildCounts(msgspec.Struct, kw_only=True):
    """How many builds ended, by their status."""

    success: int
    failed: int
    cancelled: int
    superseded: int


class BuildOutcomes(BuildCounts, kw_only=True):
    """How many builds ended. `success_rate` is success / (success + failed)."""

    success_rate: float | None


class DeploymentCounts(msgspec.Struct, kw_only=True):
    """How many deployments ended, by their status. A release that a rollback left after its success
    counts as `success` on the day of its success, and as `rolled_back` on that of the rollback.
    """

    success: int
    failed: int
    cancelled: int
    superseded: int
    rolled_back: int


class DeploymentOutcomes(DeploymentCounts, kw_only=True):
    """How many deployments ended. `success_rate` is success / (success + failed)."""

    success_rate: float | None


class Durations(msgspec.Struct, kw_only=True):
    """The median and the 95th percentile of `count` durations, in seconds. Each is exact up to 10
    seconds, and beyond that within 10 %.
    """

    p50: int | None
    p95: int | None
    count: int


class Queue(msgspec.Struct, kw_only=True):
    """The builds that wait now, in Slipway's line or in CodeBuild's queue, and how long the oldest
    has waited. The index behind it may lag by a second, and it counts up to 1,000 builds.
    """

    depth: int
    oldest_seconds: int | None


class Dora(msgspec.Struct, kw_only=True):
    """DORA's four keys. Rollbacks are no changes: they count neither as deployments per day nor as
    failed changes.
    """

    deployments_per_day: float
    lead_time_seconds: Durations
    change_failure_rate: float | None
    time_to_restore_seconds: Durations


class Day(msgspec.Struct, kw_only=True):
    """The jobs that ended on a UTC day, and DORA's four keys of this day."""

    day: str
    builds: BuildCounts
    deployments: DeploymentCounts
    dora: Dora


class Metrics(msgspec.Struct, kw_only=True):
    """The numbers of the `days` days that end with the day `until`, in UTC. `from` is the first of
    them. `queue` is always that of now.
    """

    from_: str = msgspec.field(name="from")
    until: str
    days: int
    builds: BuildOutcomes
    deployments: DeploymentOutcomes
    queue_seconds: Durations
    build_seconds: Durations
    deploy_seconds: Durations
    queue: Queue
    dora: Dora
    per_day: list[Day]


@routes.endpoint(
    "GET", "/v1/cicd/metrics", role=Role.VIEWER, query=(DAYS, UNTIL), answer=Metrics, is_tagged=True
)
def get_metrics(caller: Principal, days: int, until: date | None) -> Metrics:
    """Get the numbers of everything that your token may see."""
    return _metrics(caller.project_id, caller.service_id, days, until)


@routes.endpoint(
    "GET",
    "/v1/cicd/projects/{project_id}/metrics",
    role=Role.VIEWER,
    query=(DAYS, UNTIL),
    answer=Metrics,
    is_tagged=True,
)
def get_metrics_of_project(
    caller: Principal, project_id: int, days: int, until: date | None
) -> Metrics:
    """Get the numbers of a project, or of the service of it that your token is restricted to."""
    project = load_project(caller, project_id)
    return _metrics(project.id, caller.service_id, days, until)


@routes.endpoint(
    "GET",
    "/v1/cicd/services/{service_id}/metrics",
    role=Role.VIEWER,
    query=(DAYS, UNTIL),
    answer=Metrics,
    is_tagged=True,
)
def get_metrics_of_service(
    caller: Principal, service_id: int, days: int, until: date | None
) -> Metrics:
    """Get the numbers of a service, also of a deleted one."""
    service = load_service(caller, service_id, history=True)
    return _metrics(service.project_id, service.id, days, until)


@routes.endpoint(
    "GET",
    "/v1/metrics",
    role=Role.VIEWER,
    is_tagged=True,
    documented=Documented(media_types=("text/plain",)),
)
def get_prometheus_metrics(caller: Principal) -> Reply:
    """Get the numbers of this month as text for Prometheus: of everything your token may see.

    Counters begin at zero with each month in UTC. Prometheus takes the fall for a reset.
    """
    project_id, service_id = caller.project_id, caller.service_id
    today = date.fromisoformat(day_of(clock.now()))
    sums = _sums(project_id, service_id, days_until(today, today.day))
    depth, oldest = queue_of(project_id=project_id, service_id=service_id)
    lines = exposition.exposition(_total(sums), queued=depth, oldest_seconds=oldest)
    return Reply("".join(f"{line}\n" for line in lines), media_type=exposition.MEDIA_TYPE)


def _metrics(
    project_id: int | None, service_id: int | None, days: int, until: date | None
) -> Metrics:
    window = days_until(until or date.fromisoformat(day_of(clock.now())), days)
    sums = _sums(project_id, service_id, window)
    total = _total(sums)
    depth, oldest = queue_of(project_id=project_id, service_id=service_id)
    return Metrics(
        from_=window[0],
        until=window[-1],
        days=days,
        builds=_builds(total),
        deployments=_deployments(total),
        queue_seconds=_durations(total, Timing.QUEUE),
        build_seconds=_durations(total, Timing.BUILD),
        deploy_seconds=_durations(total, Timing.DEPLOY),
        queue=Queue(depth=depth, oldest_seconds=oldest),
        dora=_dora(total, days),
        per_day=[
            Day(
                day=day,
                builds=BuildCounts(**_ended("builds", BUILD_ENDS, sums[day])),
                deployments=DeploymentCounts(**_ended("deployments", DEPLOYMENT_ENDS, sums[day])),
                dora=_dora(sums[day], 1),
            )
            for day in window
        ],
    )


def _sums(
    project_id: int | None, service_id: int | None, window: list[str]
) -> Mapping[str, Counter[str]]:
    return read_roll_ups(project_id=project_id, service_id=service_id, days=window)


def _total(sums: Mapping[str, Counter[str]]) -> Counter[str]:
    total = Counter[str]()
    for each in sums.values():
        total.update(each)
    return total


def _builds(total: Counter[str]) -> BuildOutcomes:
    ended = _ended("builds", BUILD_ENDS, total)
    return BuildOutcomes(**ended, success_rate=_success_rate(ended))


def _deployments(total: Counter[str]) -> DeploymentOutcomes:
    ended = _ended("deployments", DEPLOYMENT_ENDS, total)
    return DeploymentOutcomes(**ended, success_rate=_success_rate(ended))


def _ended(kind: str, ends: Iterable[str], counts: Counter[str]) -> dict[str, int]:
    return {str(end): counts[f"{kind}_{end}"] for end in ends}


def _dora(counts: Counter[str], days: int) -> Dora:
    return Dora(
        deployments_per_day=round(counts[metrics.RELEASED] / days, 4),
        lead_time_seconds=_durations(counts, Timing.LEAD),
        change_failure_rate=metrics.change_failure_rate(counts),
        time_to_restore_seconds=_durations(counts, Timing.RESTORE),
    )


def _success_rate(ended: Mapping[str, int]) -> float | None:
    return metrics.share_of(ended["success"], ended["success"] + ended["failed"])


def _durations(total: Counter[str], timing: Timing) -> Durations:
    buckets = metrics.histogram(total, timing)
    return Durations(
        p50=metrics.percentile(buckets, 0.5),
        p95=metrics.percentile(buckets, 0.95),
        count=sum(buckets),
    )
