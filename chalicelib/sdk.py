"""The AWS SDK's session. All clients of a process share it.

A session reads descriptions of AWS from files. That takes longer than a request, so it is done
once. boto3 is not used: its resources and transfers would only make the package larger.
"""

from functools import cache
from threading import RLock

from botocore.session import Session, get_session

# botocore: a session is not thread-safe, but its clients are. The embedded cloud has threads.
LOCK = RLock()


@cache
def session() -> Session:
    """The session of this process. Make clients of it only while holding `LOCK`."""
    return get_session()
