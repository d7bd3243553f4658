"""Errors that end a command, each with the exit code.

Failure
├── Failed           1  the work failed, or its present state does not allow the request
├── WrongUsage       2  the command names something that does not exist, or has a wrong value
├── NoAccess         3  Slipway is not reachable, or denies the access
│   └── NoAnswer     3  a later try may help
└── Interrupted    130  Ctrl-C, or SIGTERM
"""

from typing import ClassVar

INTERRUPTED = 130  # 128 + SIGINT, as shells do it


class Failure(Exception):
    """The base of all errors that end a command. The message is for people, `code` for scripts.

    `uncertain`: Slipway may have accepted the request although it ended with this error.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str, uncertain: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.uncertain = uncertain


class Failed(Failure):
    """The work failed, or the present state does not allow it."""


class WrongUsage(Failure):
    """The command line is wrong."""

    exit_code = 2


class NoAccess(Failure):
    """The access is denied, or the address is not one of Slipway."""

    exit_code = 3


class NoAnswer(NoAccess):
    """Slipway does not answer now."""


class Interrupted(Failure):
    """The user or a program ends the command. Work that was accepted goes on."""

    exit_code = INTERRUPTED
