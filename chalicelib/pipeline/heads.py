"""Heads of branches: which pushes GitHub has received, and no delivery has told.

The schedule sends a message for each branch whose turn it is. The function that tells channels asks
GitHub, so that a slow GitHub delays no build. What it finds goes to the queue of wake-ups: only the
pipeline starts builds (`commands.pushes.receive_found`).
"""

import logging
from collections.abc import Callable

import msgspec

from chalicelib import clock
from chalicelib.aws import queue
from chalicelib.domain.changed_files import ChangedFiles
from chalicelib.domain.github_app import CONTENTS
from chalicelib.domain.heads import (
    GRACE,
    Heads,
    due_now,
    found_push,
    is_lost,
    is_new,
)
from chalicelib.errors import Rejected, Unavailable
from chalicelib.outbound.github import GitHub, Head
from chalicelib.outbound.http import Later
from chalicelib.pipeline.github_access import access_for, channel_for, has_access
from chalicelib.store.channels import has_github
from chalicelib.store.claims import followers, heads_of
from chalicelib.store.models import Service
from chalicelib.store.services import find_service, list_services

logger = logging.getLogger("slipway")

# The schedule knows of a new service after so many seconds at the latest.
_KEEP_SECONDS = 600
_PAGE = 100
# Services with builds of their own, as this process has read them, and when.
_services: tuple[int, list[Service]] | None = None
# The heads that this process has seen: by token, repository and branch. An ETag is valid for one
# token only.
_seen: dict[tuple[str, str, str], Head] = {}
# Until when GitHub takes no requests by a channel.
_closed: dict[int, int] = {}


def ask_for_heads(*, until: Callable[[], bool]) -> None:
    """Send messages for the branches whose heads are to be looked at in this minute.

    Without a channel to GitHub nothing is read and nothing is sent.
    """
    if not has_github():
        return
    branches: dict[tuple[str, str], int] = {}
    for service in _building_services(until):
        if has_access(service):
            settings = service.settings
            branches.setdefault((settings.repository, settings.branch), service.id)
    queue.look(*(branches[each] for each in due_now(list(branches), clock.now() // 60)))


def look(number: int) -> None:
    """Look at the head of the branch that a service follows, and report a push that was lost.

    A failure is only logged: the next period looks again.
    """
    service = find_service(number)
    if service is None or service.deleted_at is not None or service.settings.image_from is not None:
        return
    channel = channel_for(service)
    if channel is None or clock.now() < _closed.get(channel.id, 0):
        return
    try:
        api = access_for(service, CONTENTS)
        if api is not None:
            _look(api, service)
    except Later as wait:
        _closed[channel.id] = clock.now() + wait.seconds
        logger.info("heads are looked at later: %s", wait.detail)
    except (Rejected, Unavailable) as trouble:
        settings = service.settings
        name = f"{settings.branch} of {settings.repository}"
        logger.warning("the head of %s is not known: %s", name, trouble.detail)


def _look(api: GitHub, service: Service) -> None:
    repository, branch = service.settings.repository, service.settings.branch
    key = (api.token, repository, branch)
    head = _seen[key] = api.head_of(branch, _seen.get(key))
    row, all_followers = followers(repository)
    heads = heads_of(row) or Heads()
    numbers = [number for number, each in all_followers.items() if each.branch == branch]
    known = {number: heads.known[number].sha for number in numbers if number in heads.known}
    if all(not is_new(heads, number, branch) and known[number] == head.sha for number in numbers):
        return
    activity = api.last_activity(branch)
    if activity is None or activity.after != head.sha:
        # The list of activities may be late. Without it the time of the push is not known.
        logger.warning("GitHub lists no activity for the head of %s of %s", branch, repository)
        return
    push = found_push(repository, branch, activity, ("", ""), ChangedFiles())
    lost = {known[number] for number in numbers if is_lost(heads, number, push)}
    if lost and clock.now() - activity.at < GRACE:
        return
    queue.report_push(
        msgspec.to_builtins(
            found_push(
                repository,
                branch,
                activity,
                api.commit(head.sha),
                _files(api, lost, head.sha),
            )
        )
    )


def _files(api: GitHub, bases: set[str], head: str) -> ChangedFiles:
    """The files that a push changed since the commit that the services know."""
    if len(bases) != 1:
        return ChangedFiles(unknown="no single commit was known before")
    try:
        return api.changed_files(bases.pop(), head)
    except Later:
        raise
    except (Rejected, Unavailable) as trouble:
        return ChangedFiles(unknown=f"GitHub did not compare the commits: {trouble.detail}")


def _building_services(until: Callable[[], bool]) -> list[Service]:
    global _services
    if _services is None or not 0 <= clock.now() - _services[0] < _KEEP_SECONDS:
        found: list[Service] = []
        before: int | None = None
        while not until():
            page = list_services(None, limit=_PAGE, before=before)
            found += [row for row in page.rows if row.settings.image_from is None]
            before = page.before
            if before is None:
                _services = clock.now(), found
                break
        else:
            return []
    return _services[1]
