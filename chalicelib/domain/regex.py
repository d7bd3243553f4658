"""Regular expressions that are compiled on first use.

A cold start would otherwise compile more than a hundred, and a request needs a few of them.
"""

import re
from functools import cached_property
from typing import Any, cast


class _Later:
    def __init__(self, pattern: str, flags: int) -> None:
        self._source = (pattern, flags)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(*self._source)

    def __getattr__(self, name: str) -> Any:
        # Python calls this only for names that the object does not have yet.
        found = self.__dict__[name] = getattr(self._compiled, name)
        return found


def regex(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The same as `re.compile`, but a wrong pattern raises `re.error` on first use."""
    return cast("re.Pattern[str]", _Later(pattern, flags))
