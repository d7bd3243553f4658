"""`make token` creates an admin token of a deployed stage. It needs write access to the tables.

The API cannot create the first token, because each call that creates a token needs a token.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import SlipwayError
from infra.deploy import environment_of
from infra.stacks import Refused, stage_outputs


def create_admin_token(outputs: Mapping[str, str], name: str) -> str:
    """Create a token in the tables of `outputs` and return its secret, which is not stored.

    Raises SlipwayError.
    """
    os.environ.update(environment_of(outputs))
    # Import late: the models read their tables' names at import.
    from chalicelib.domain.tokens import Role
    from chalicelib.store.tokens import create_token

    return create_token(name, Role.ADMIN).secret


def main(arguments: Sequence[str] | None = None) -> None:
    """Create an admin token of a deployed stage and print it. It cannot be read again."""
    parser = argparse.ArgumentParser(prog="make token", description=main.__doc__)
    parser.add_argument("stage", choices=["dev", "prod"])
    parser.add_argument("--name", default="operator", help="the token's name in the audit trail")
    options = parser.parse_args(arguments)
    try:
        token = create_admin_token(stage_outputs(options.stage), options.name)
    except Refused as refusal:
        sys.exit(str(refusal))
    except (BotoCoreError, ClientError, SlipwayError) as error:
        sys.exit(f"{error}\nCheck that these credentials may write to the stage's tables.")
    print(token)


if __name__ == "__main__":
    main()
