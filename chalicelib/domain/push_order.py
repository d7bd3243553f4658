"""The order of pushes: their ancestry first, then the time of the push, then the arrival."""

from collections.abc import Collection

import msgspec

from chalicelib.domain.refs import NULL_SHA


class PushedBuild(msgspec.Struct, frozen=True):
    """A build of a push, and the facts about the push.

    `push_id` is the number of the push's first build: retries have the same. `ref` names the
    repository and the ref. `before` and `sha` are the commits of the ref before and after the push.
    `sent_at` is GitHub's time, and `pushed_at` is the same time, but not after the arrival.

    `is_queued`: StartBuild was never called for the build. `may_replace`: it will not be cancelled.
    """

    number: int
    push_id: int
    ref: str
    before: str
    sha: str
    sent_at: int
    pushed_at: int
    is_queued: bool = False
    may_replace: bool = True


def follows(a: PushedBuild, b: PushedBuild) -> bool:
    """Whether the push of `a` came directly after that of `b`: it began where `b` ended.

    GitHub's times must not contradict, because a branch can also be pushed back to an older commit.
    A time that was in the future proves nothing.
    """
    return (
        a.push_id != b.push_id
        and a.ref == b.ref
        and a.before == b.sha != NULL_SHA
        and b.before != a.sha
        and (a.sent_at >= b.sent_at or b.sent_at > b.pushed_at)
    )


def in_order(builds: Collection[PushedBuild]) -> list[int]:
    """The pushes of these builds, each as the number of its first build, the earliest push first.

    Pushes that do not follow each other are in the order of their times. Those within one second
    are in the order of their arrival.
    """
    pushes: dict[int, PushedBuild] = {}
    for build in sorted(builds, key=lambda build: build.number):
        pushes.setdefault(build.push_id, build)
    rest = sorted(pushes.values(), key=lambda build: (build.pushed_at, build.push_id))
    order = []
    while rest:
        # Pushes can form a circle, if a branch goes back and forth within one second.
        first = next((a for a in rest if not any(follows(a, b) for b in rest)), rest[0])
        rest.remove(first)
        order.append(first.push_id)
    return order


def superseded(builds: Collection[PushedBuild]) -> dict[int, int]:
    """The queued builds of a service that a later push to their ref replaces.

    Each comes with the number of the latest such push's build. Of pushes within one second none
    replaces another, unless it follows it: GitHub may deliver them in either order.
    """
    place = {push: at for at, push in enumerate(in_order(builds))}
    latest_first = sorted(
        builds, key=lambda build: (place[build.push_id], build.number), reverse=True
    )
    ended = {}
    for build in filter(lambda build: build.is_queued, builds):
        for newer in latest_first:
            if place[newer.push_id] <= place[build.push_id]:
                break
            certain = newer.pushed_at > build.pushed_at or follows(newer, build)
            if newer.ref == build.ref and newer.may_replace and certain:
                ended[build.number] = newer.number
                break
    return ended
