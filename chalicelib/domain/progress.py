"""Progress of jobs in percent: of work seen to be done, never falling, and 100 only at the end."""

from collections.abc import Mapping

# CodeBuild's phases in their order (BuildPhaseType). BUILD is where the time goes.
_BUILD_PROGRESS: Mapping[str, int] = {
    "SUBMITTED": 2,
    "QUEUED": 5,
    "PROVISIONING": 10,
    "DOWNLOAD_SOURCE": 15,
    "INSTALL": 20,
    "PRE_BUILD": 30,
    "BUILD": 40,
    "POST_BUILD": 85,
    "UPLOAD_ARTIFACTS": 92,
    "FINALIZING": 97,
}

_DEPLOY_STARTED = 10
_DEPLOY_ALL_RUNNING = 95


def build_progress(phase: str, previous: int) -> int:
    """Progress of a build that has come to `phase`; a phase we do not know changes nothing."""
    return max(previous, _BUILD_PROGRESS.get(phase, previous))


def deploy_progress(running: int, desired: int, previous: int) -> int:
    """Progress of a rollout with `running` of its `desired` tasks up."""
    done = min(running, desired) / desired if desired > 0 else 1.0
    return max(previous, _DEPLOY_STARTED + int(done * (_DEPLOY_ALL_RUNNING - _DEPLOY_STARTED)))
