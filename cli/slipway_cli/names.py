"""Names on the command line: services by `project/name`, builds and deployments by `build-12`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slipway_cli.client import Client, path_of
from slipway_cli.errors import WrongUsage
from slipway_cli.text import clean, one_line

_JOB = re.compile(r"(build|deploy)-([1-9][0-9]{0,15})", re.ASCII)
_CANDIDATES = 10


@dataclass(frozen=True)
class JobName:
    """A build or a deployment by its type (`build` or `deploy`) and its number."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.number}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return path_of("cicd", "builds" if self.kind == "build" else "deployments", self.number)


def read_job(text: str, kind: str = "") -> JobName:
    """A job by its name; `kind` is the only type that fits, and then its number is enough.

    Raises WrongUsage.
    """
    found = _JOB.fullmatch(f"{kind}-{text}" if kind and text.isdigit() else text)
    if found is None or kind not in {"", found[1]}:
        wanted = {"build": "build-12", "deploy": "deploy-45"}.get(kind, "build-12 or deploy-45")
        raise WrongUsage(
            f"{one_line(text, 60)!r} must have a form like {wanted}", code="wrong_name"
        )
    return JobName(found[1], int(found[2]))


def is_job(text: str, kind: str) -> bool:
    """Whether a text is the name of a job of this type. `build-tools:main-7` is an image."""
    found = _JOB.fullmatch(text)
    return found is not None and found[1] == kind


def full_name(service: dict[str, Any]) -> str:
    """`project/name` of a service, to show. Spaces stay, so that it can be copied."""
    return clean(_raw_name(service))


def _raw_name(service: dict[str, Any]) -> str:
    return f"{service['project']}/{service['name']}"


def find_service(client: Client, wanted: str) -> dict[str, Any]:
    """The overview of a service by `project/name`, or by its name if only one has it.

    Raises WrongUsage with the candidates.
    """
    seen = []
    # The API compares names of projects in lower case, and changes nothing else in them.
    sought = wanted.lower()
    for service in client.pages(path_of("services"), limit=50):
        if _raw_name(service).lower() == sought:
            return service
        seen.append(service)
    found = [each for each in seen if str(each["name"]).lower() == sought]
    if len(found) == 1:
        return found[0]
    shown = one_line(wanted, 80)
    if found:
        raise WrongUsage(
            f"Several services have the name {shown}: {_list(found)}", code="several_services"
        )
    part = sought.rpartition("/")[2]
    near = [each for each in seen if part in str(each["name"]).lower()] or seen
    if not near:
        raise WrongUsage(f"No service {shown}: this token sees none.", code="no_service")
    raise WrongUsage(f"No service {shown}. There is: {_list(near)}", code="no_service")


def find_project(client: Client, wanted: str) -> dict[str, Any]:
    """A project by its name. Raises WrongUsage with the names that there are."""
    seen = list(client.pages(path_of("projects"), limit=100))
    found = next((each for each in seen if str(each["name"]).lower() == wanted.lower()), None)
    if found is None:
        names = _some(clean(each["name"]) for each in seen) or "none"
        raise WrongUsage(f"No project {one_line(wanted, 80)}. There is: {names}", code="no_project")
    return found


def find_channel(client: Client, wanted: str) -> dict[str, Any]:
    """A channel by its number, or by its name if only one has it.

    Raises WrongUsage with the channels that there are.
    """
    seen = list(client.pages(path_of("channels"), limit=100))
    found = [each for each in seen if str(each["id"]) == wanted] or [
        each for each in seen if str(each["name"]).lower() == wanted.lower()
    ]
    if len(found) == 1:
        return found[0]
    shown = one_line(wanted, 80)
    names = _some(f"{each['id']} ({one_line(each['name'])})" for each in found or seen)
    if found:
        raise WrongUsage(
            f"Several channels have the name {shown}. Use a number: {names}",
            code="several_channels",
        )
    raise WrongUsage(f"No channel {shown}. There is: {names or 'none'}", code="no_channel")


def _list(services: list[dict[str, Any]]) -> str:
    return _some(sorted(map(full_name, services)))


def _some(found: Iterable[str]) -> str:
    names = list(found)
    more = len(names) - _CANDIDATES
    return ", ".join(names[:_CANDIDATES]) + (f" and {more} more" if more > 0 else "")
