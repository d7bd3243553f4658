"""`make token` creates an admin token of a deployed stage. It needs write access to the tables.

The API cannot create the first token, because each call that creates a token needs a token.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import clock
from chalicelib.domain.timing import rfc3339
from chalicelib.domain.tokens import DEFAULT_DAYS, MAX_DAYS, Role, expiry
from chalicelib.errors import SlipwayError
from infra.deploy import environment_of
from infra.stacks import Refused, stage_outputs


def create_admin_token(outputs: Mapping[str, str], name: str, expires_at: int | None) -> str:
    """Create a token in the tables of `outputs` and return its secret, which is not stored.

    It never expires if `expires_at` is None. Raises SlipwayError.
    """
    os.environ.update(environment_of(outputs))
    # Import late: the models read their tables' names at import.
    from chalicelib.store.tokens import create_token

    return create_token(name, Role.ADMIN, expires_at=expires_at).secret


def main(arguments: Sequence[str] | None = None) -> None:
    """Create an admin token of a deployed stage and print it. It cannot be read again."""
    parser = argparse.ArgumentParser(prog="make token", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument("--name", default="operator", help="the token's name in the audit trail")
    lifetime = parser.add_mutually_exclusive_group()
    lifetime.add_argument(
        "--days",
        type=_days,
        default=DEFAULT_DAYS,
        help=f"the days until it expires, 1 to {MAX_DAYS}; {DEFAULT_DAYS} if not given",
    )
    lifetime.add_argument(
        "--never-expires", action="store_const", const=None, dest="days", help="make it last"
    )
    options = parser.parse_args(arguments)
    expires_at = expiry(options.days, now=clock.now())
    try:
        token = create_admin_token(stage_outputs(options.stage), options.name, expires_at)
    except Refused as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError, SlipwayError) as error:
        sys.exit(f"{error}\nCheck that these credentials may write to the stage's tables.")
    print(token)
    # Not on stdout: a shell's TOKEN=$(make token …) takes all of it.
    said = "It never expires." if expires_at is None else f"It expires at {rfc3339(expires_at)}."
    print(said, file=sys.stderr)


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MAX_DAYS}")
    return days


if __name__ == "__main__":
    main()
