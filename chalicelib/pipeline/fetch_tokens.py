"""Tokens of the GitHub App with which builds fetch private repositories.

A token ends after an hour, and a build may wait for longer. So the request to CodeBuild only names
a parameter, and while the build waits, the parameter gets new tokens.
"""

import logging
from http import HTTPStatus

from chalicelib import clock
from chalicelib.aws.parameters import put_secret
from chalicelib.domain.credentials import app_parameter, is_parameter
from chalicelib.domain.github_app import CONTENTS, TOKEN_LIFE, TOKEN_SECONDS
from chalicelib.errors import Rejected, Unavailable
from chalicelib.known_secrets import Known, recall, remember
from chalicelib.outbound.github import GitHub, OneRepository
from chalicelib.outbound.http import Refused
from chalicelib.pipeline.github_access import github_name
from chalicelib.pipeline.github_app import new_token
from chalicelib.settings import settings
from chalicelib.store.models import Build

logger = logging.getLogger("slipway")


def give_token(build: Build) -> str | None:
    """Let a build fetch its repository as the GitHub App; return the git credential that it needs.

    None if there is no App, if the repository is not on GitHub, and if the App has no access to
    the repository: it may be public. Raises Rejected and Unavailable.
    """
    name = github_name(build.settings.repository)
    if name is None or not settings().github_app:
        return None
    reference = app_parameter(settings().table_prefix, build.project_id, name)
    known, now = recall(reference), clock.now()
    is_young = known is not None and 0 <= now - known.read_at < TOKEN_SECONDS
    if known is not None and is_young and _is_valid(known.secrets[0], name):
        return reference
    try:
        token = new_token(name, CONTENTS)
    except OneRepository:
        return None
    put_secret(reference.partition(":")[2], token)
    remember(reference, Known(read_at=now, secrets=(token,), ends_at=now + TOKEN_LIFE))
    return reference


def _is_valid(token: str, name: str) -> bool:
    """Whether a token may still read the repository `owner/name`.

    GitHub withdraws the tokens of an App that is uninstalled, also if it is then installed again.
    An answer that says nothing about the token counts as a yes.
    """
    try:
        GitHub(token, name).look()
    except OneRepository:
        return False
    except Refused as refusal:
        return refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    except (Rejected, Unavailable):
        return True
    return True


def renew_token(build: Build) -> None:
    """Replace an old token of a build that waits in CodeBuild's queue.

    A failure is only logged: the next look at the build tries again.
    """
    if not is_parameter(build.git_credential):
        return
    try:
        give_token(build)
    except (Rejected, Unavailable) as trouble:
        logger.warning("%s may get no new token to fetch with: %s", build.job_id, trouble.detail)
