"""Events of CodeBuild and ECS from EventBridge.

An event only says which row to reconcile. The state comes from the row and from AWS.
"""

import re
from collections.abc import Mapping
from typing import Any

from chalice.app import Blueprint

from chalicelib.correlation import working_on
from chalicelib.domain.regex import regex
from chalicelib.domain.release_commands import STARTED_BY, job_of
from chalicelib.pipeline.reconcilers.loop import reconcile
from chalicelib.settings import settings
from chalicelib.starting import ready
from chalicelib.store.claims import owner_of
from chalicelib.triggers.invocations import Invocation, with_raw_event

# EventBridge sends only events that change what a person sees, because each one costs calls and
# writes. After the named phases a build leaves CodeBuild's queue, fetches its source and builds its
# image. The other phases last seconds, and the end of the build has an event of its own. Of the
# events of tasks only those of release commands: each task of each service has several.
PATTERN = {
    "source": ["aws.codebuild", "aws.ecs"],
    "$or": [
        {
            "detail-type": [
                "CodeBuild Build State Change",
                "ECS Deployment State Change",
                "ECS Hook State Change",
                "ECS Service Action",
            ]
        },
        {
            "detail-type": ["CodeBuild Build Phase Change"],
            "detail": {"completed-phase": ["QUEUED", "INSTALL", "PRE_BUILD"]},
        },
        {
            "detail-type": ["ECS Task State Change"],
            "detail": {"startedBy": [{"prefix": STARTED_BY}]},
        },
    ],
}
_STREAM = regex(r"(build-[0-9]{1,15})/.+", re.ASCII)
# The name of a cluster or a service: CreateCluster and CreateService in the ECS API reference.
_NAME = "[A-Za-z0-9_-]{1,255}"
# The event of a hook names the service deployment: its ARN has those of the service, and an id.
_ECS_SERVICE = regex(
    rf"arn:[a-z-]+:ecs:[^:]+:[0-9]+:(?:service|service-deployment)/({_NAME})/({_NAME})(?:/{_NAME})?",
    re.ASCII,
)

blueprint = Blueprint(__name__)


@with_raw_event
@blueprint.on_cw_event(PATTERN)
def on_cloud_event(invocation: Invocation) -> None:
    """Reconcile the row that the event names; ignore events of other builds and services."""
    with working_on(event_id=invocation.text("id")):
        row_id = row_id_of(invocation.event)
        if row_id is not None:
            reconcile(row_id)


def row_id_of(event: Any) -> str | None:
    """The id of the row that an event names, such as "build-123", "deploy-4" or "service-7".

    None if the event names no build or service of Slipway.
    """
    detail = event.get("detail") if isinstance(event, dict) else None
    if not isinstance(detail, dict):
        return None
    if event.get("source") == "aws.codebuild":
        return _build_row(detail)
    if event.get("source") != "aws.ecs":
        return None
    if event.get("detail-type") == "ECS Task State Change":
        return job_of(detail.get("startedBy"), settings().table_prefix)
    return _service_row(event.get("resources"))


def _build_row(detail: Mapping[str, Any]) -> str | None:
    """The name of the log stream begins with the job id: `build-123/<CodeBuild's id>`."""
    information = detail.get("additional-information")
    logs = information.get("logs") if isinstance(information, dict) else None
    stream = logs.get("stream-name") if isinstance(logs, dict) else None
    match = _STREAM.fullmatch(stream) if isinstance(stream, str) else None
    is_own_project = detail.get("project-name") == settings().codebuild_project
    return match[1] if match and is_own_project else None


def _service_row(resources: Any) -> str | None:
    first = resources[0] if isinstance(resources, list) and resources else None
    match = _ECS_SERVICE.fullmatch(first) if isinstance(first, str) else None
    return owner_of(f"ecs:{match[1]}/{match[2]}") if match else None


ready()
