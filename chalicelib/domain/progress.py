"""Progress of jobs in percent, in words, and in seconds.

The percents count work that is done, never fall, and are 100 at a success. A failed build keeps the
progress of the phase that failed.
"""

from collections.abc import Mapping, Sequence

from chalicelib.domain.buildkit_steps import Stages, count
from chalicelib.domain.release_commands import CommandRun
from chalicelib.domain.shifts import ShownShift, words_of
from chalicelib.domain.statuses import BuildStatus, DeploymentStatus, has_ended

# CodeBuild's phases in order (BuildPhaseType). BUILD takes most of the time.
_BUILD_PROGRESS: Mapping[str, int] = {
    "SUBMITTED": 2,
    "QUEUED": 5,
    "PROVISIONING": 10,
    "DOWNLOAD_SOURCE": 15,
    "INSTALL": 20,
    "PRE_BUILD": 30,
    "BUILD": 40,
    "POST_BUILD": 85,
    "UPLOAD_ARTIFACTS": 87,
    "FINALIZING": 90,  # the image may still be missing in ECR
}

# BuildKit's steps are the first part of the phase BUILD. Then it pushes the image.
_PUSHES = 80
# The expected time is the median of so many durations.
_KEPT_DURATIONS = 20
# Seconds: a shown time that changes less often lets a client's copy stay valid.
_ROUNDED = 5

# A deployment whose release command runs: its rollout has not begun.
COMMAND_STARTED = 5
_DEPLOY_STARTED = 10
_DEPLOY_ALL_RUNNING = 95


def build_progress(phase: str, previous: int) -> int:
    """Progress of a build in `phase`. An unknown phase is ignored."""
    return max(previous, _BUILD_PROGRESS.get(phase, previous))


def steps_progress(stages: Stages, *, pushes: bool, previous: int) -> int:
    """Progress of a build in the phase BUILD: the steps before those that run now."""
    if pushes:
        return max(previous, _PUSHES)
    begun, total = count(stages)
    done = (begun - len(stages)) / total if total else 0
    first = _BUILD_PROGRESS["BUILD"]
    return max(previous, first + int(done * (_PUSHES - first)))


def is_building_image(status: str, progress: int) -> bool:
    """Whether a build is in the phase in which BuildKit runs."""
    building = _BUILD_PROGRESS["BUILD"] <= progress < _BUILD_PROGRESS["POST_BUILD"]
    return status == BuildStatus.BUILDING and building


def build_step(status: str, progress: int, *, stages: Stages, in_codebuild: bool) -> str | None:
    """What a build does now, in a few words; None after its end."""
    if has_ended(status):
        return None
    if status == BuildStatus.QUEUED:
        return "waits for CodeBuild's quota" if in_codebuild else "waits in Slipway's line"
    if progress < _BUILD_PROGRESS["PRE_BUILD"]:
        return "waits for its machine"
    if progress < _BUILD_PROGRESS["BUILD"]:
        return "fetches the source"
    if progress < _PUSHES:
        begun, total = count(stages)
        return f"building {begun}/{total}" if total else "builds the image"
    return "pushes the image" if progress < _BUILD_PROGRESS["POST_BUILD"] else "finishes"


def deploy_step(
    status: str,
    *,
    checking: bool,
    run: CommandRun | None,
    begun: bool,
    rolled_out: bool,
    running: int | None,
    desired: int | None,
    shift: ShownShift | None,
) -> str | None:
    """What a deployment does now, in a few words; None after its end.

    `checking`: it waits for the checks of its commit. `begun`: its rollout has begun. `rolled_out`:
    ECS has ended it, and the proof is missing. `shift` is what its rollout showed last, if that
    moves traffic.
    """
    if has_ended(status):
        return None
    if status == DeploymentStatus.QUEUED:
        return "waits for checks" if checking else "waits for its begin"
    if not begun and run is not None:
        return _command_step(run)
    if rolled_out:
        return "waits until the image is proven"
    tasks = "rollout begins" if desired is None else f"{running or 0} of {desired} tasks run"
    return tasks if shift is None else words_of(shift, tasks)


def _command_step(run: CommandRun) -> str:
    if run.requested_at is None:
        return "waits for the start of its release command"
    if run.finished_at is not None:
        return "rollout begins"
    return "release command starts" if run.started_at is None else "release command runs"


def with_duration(durations: Sequence[int] | None, seconds: int) -> list[int]:
    """The newest durations of a service's successful jobs of one kind, with one more."""
    return [*(durations or ()), max(0, seconds)][-_KEPT_DURATIONS:]


def expected_seconds(durations: Sequence[int] | None) -> int | None:
    """The median of durations, the lower one of two; None without any."""
    found = sorted(map(int, durations or ()))
    return found[(len(found) - 1) // 2] if found else None


def remaining_seconds(
    status: str, *, begun_at: int | None, expected: int | None, now: int
) -> int | None:
    """The expected seconds until a job's end, in steps of five.

    0 if it takes longer than usual; None before its begin, after its end, and without a history.
    """
    if has_ended(status) or begun_at is None or expected is None:
        return None
    left = min(expected, begun_at + expected - now)
    return max(0, -(-left // _ROUNDED) * _ROUNDED)


def has_run_commands(progress: int) -> bool:
    """Whether a build with this progress reached the phases in which CodeBuild writes its log."""
    return progress >= _BUILD_PROGRESS["INSTALL"]


def deploy_progress(running: int, desired: int, previous: int) -> int:
    """Progress of a rollout with `running` of `desired` tasks."""
    done = min(running, desired) / desired if desired > 0 else 1.0
    return max(previous, _DEPLOY_STARTED + int(done * (_DEPLOY_ALL_RUNNING - _DEPLOY_STARTED)))
