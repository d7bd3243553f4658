"""The command line of `make doctor`."""

from __future__ import annotations

import argparse
import sys
from typing import Iterator, Sequence  # noqa: UP035  # also for Python 3.8

from infra.doctor import local
from infra.doctor.local import LAMBDA_PYTHON, NOT_CHECKED, WRONG, Check


def main(arguments: Sequence[str] | None = None) -> int:
    """Check this machine, the AWS account and a deployed stage. 1 if something must be fixed."""
    parser = argparse.ArgumentParser(prog="make doctor", description=main.__doc__)
    parser.add_argument("stage", nargs="?", choices=["dev", "prod"])
    stage = parser.parse_args(arguments).stage
    wrong = 0
    for check in _checks(stage):
        print(check, flush=True)
        wrong += check.state == WRONG
    print(f"{wrong} to fix." if wrong else "Nothing to fix.")
    return 1 if wrong else 0


def _checks(stage: str | None) -> Iterator[Check]:
    yield from local.checks()
    if sys.version_info < LAMBDA_PYTHON:
        yield Check(NOT_CHECKED, "AWS", "this Python is too old for it.")
        return
    try:
        from infra.doctor import aws
    except ImportError:
        yield Check(NOT_CHECKED, "AWS", "`make setup` must run before.")
        return
    yield from aws.checks(stage)


if __name__ == "__main__":
    sys.exit(main())
