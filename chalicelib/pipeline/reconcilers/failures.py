"""Finding out why a build failed, or why it cannot start."""

import logging

import msgspec

from chalicelib.aws import ecr, logs
from chalicelib.domain.build_failures import Output, failure_of, has_output, read_output
from chalicelib.domain.builds import BuildReport, why_late
from chalicelib.domain.credentials import git_path, is_below, is_parameter
from chalicelib.domain.failures import Failure, Phase
from chalicelib.domain.images import create_repository, no_repository
from chalicelib.domain.lag import next_look
from chalicelib.domain.log_streams import stream_of_build
from chalicelib.domain.log_text import clean_lines
from chalicelib.domain.regex import regex
from chalicelib.errors import Rejected, SlipwayError
from chalicelib.known_secrets import known_secrets
from chalicelib.settings import settings
from chalicelib.store.models import Build

# What BuildKit says of a step that mounts a missing secret with required=true.
_MISSING_SECRET = regex(r"secret \S+(?: not found)?: not found")
_NO_SECRETS = (
    "Builds of pull requests have no secrets: see the build's pull_request.withheld. Make the "
    "secret optional in the Dockerfile, or build the branch by hand."
)

logger = logging.getLogger("slipway")

# The end of the output, after which CodeBuild writes two copies of the command.
_LOG_LINES = 1000


def find_failure(build: Build, report: BuildReport, *, now: int, ended_at: int) -> Failure | None:
    """The failure of a build that CodeBuild ended at `ended_at`.

    None while CloudWatch may not show the whole log yet. A log that cannot be read gives a failure
    without its lines.
    """
    output = _output(build, report) if has_output(report) else Output(whole=True)
    if not output.whole and next_look(now, ended_at) is not None:
        return None
    failure = failure_of(
        report,
        output,
        image_repository=build.image_repository,
        registry=settings().registry,
        late=why_late(report, build.settings),
    )
    pull = build.pull_request
    if pull is None or not pull.withheld or not _MISSING_SECRET.search(failure.summary):
        return failure
    return msgspec.structs.replace(failure, next_step=_NO_SECRETS)


def _output(build: Build, report: BuildReport) -> Output:
    try:
        lines = logs.tail(stream_of_build(report.log_path or ""), limit=_LOG_LINES)
    except SlipwayError as trouble:
        logger.warning("the log of %s cannot be read: %s", build.job_id, trouble.detail)
        # CloudWatch may answer later, or create the stream later. A refusal stays.
        stays = isinstance(trouble, Rejected) and trouble.code != "ResourceNotFoundException"
        return Output(whole=stays)
    # Clean all lines together: a secret may begin before the lines that are kept. Clean the script
    # too: its copies in the log would not equal it otherwise.
    secrets = known_secrets()
    script = f"{report.script}\n{report.message}".splitlines()
    return read_output(clean_lines(lines, secrets), clean_lines(script, secrets))


def find_missing_repository(build: Build) -> Failure | None:
    """The failure of a build for an image repository that ECR does not have.

    None if it exists, or if Slipway may not look. Raises Unavailable.
    """
    try:
        if ecr.has_repository(build.image_repository):
            return None
    except Rejected:
        return None
    return Failure(
        phase=Phase.START,
        summary=no_repository(build.image_repository),
        next_step=create_repository(build.image_repository, settings().registry),
    )


def find_unreadable_credential(build: Build, credential: str | None) -> Failure | None:
    """The failure of a build that cannot read its project's git credential; None if it can.

    Projects could once name any secret below `slipway/git/`.
    """
    path = git_path(settings().table_prefix, build.project_id)
    if credential is None or is_parameter(credential) or is_below(path, credential):
        return None
    return Failure(
        phase=Phase.START,
        summary=(
            f"builds of this project read only secrets below {path}, but its git_credential is "
            f"{credential}"
        ),
        next_step=f"Create the secret below {path}, and change the project's git_credential to it.",
    )
