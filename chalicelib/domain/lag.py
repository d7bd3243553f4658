"""AWS's services show the end of a build at different times.

CloudWatch shows the last lines of its log, and ECR its image, up to some seconds after CodeBuild
has reported the end.
"""

# Seconds after the end until which a log may get lines, and ECR an image.
LAG = 20
_FIRST = 2


def next_look(now: int, ended_at: int) -> int | None:
    """When to look again for a build that ended at `ended_at`; None if the time is over.

    The pauses grow with the time since the end: 2, 2, 4, 8, 4 seconds.
    """
    waited = now - ended_at
    return None if waited >= LAG else min(now + max(_FIRST, waited), ended_at + LAG)
