"""Progress of jobs in percent. It counts work that is done, never falls, and is 100 at a success.

A failed build keeps the progress of the phase that failed.
"""

from collections.abc import Mapping

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

# A deployment whose release command runs: its rollout has not begun.
COMMAND_STARTED = 5
_DEPLOY_STARTED = 10
_DEPLOY_ALL_RUNNING = 95


def build_progress(phase: str, previous: int) -> int:
    """Progress of a build in `phase`. An unknown phase is ignored."""
    return max(previous, _BUILD_PROGRESS.get(phase, previous))


def has_run_commands(progress: int) -> bool:
    """Whether a build with this progress reached the phases in which CodeBuild writes its log."""
    return progress >= _BUILD_PROGRESS["INSTALL"]


def deploy_progress(running: int, desired: int, previous: int) -> int:
    """Progress of a rollout with `running` of `desired` tasks."""
    done = min(running, desired) / desired if desired > 0 else 1.0
    return max(previous, _DEPLOY_STARTED + int(done * (_DEPLOY_ALL_RUNNING - _DEPLOY_STARTED)))
