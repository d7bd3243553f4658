"""The command line of `make service`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from slipway_cli.errors import Failure

from infra.service import local, stage
from infra.service.names import Name, read_name
from infra.stacks import Refused


def main(arguments: Sequence[str] | None = None) -> None:
    """Create a service that Slipway builds and deploys, or change or delete it.

    With --stage it is created in AWS: on Fargate, behind a load balancer. Without it, the service
    is one of the embedded cloud that `make run` has started, and GIT is a directory.
    """
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (Refused, Failure) as refusal:
        sys.exit(str(refusal) + _advice(options, refusal))
    except (BotoCoreError, ClientError, WaiterError) as error:
        sys.exit(
            f"{error}\nFix the cause (see the events of the stack) and run this again: it "
            "continues where it stopped."
        )


def _run(options: argparse.Namespace) -> None:
    name = read_name(options.name)
    if options.delete and not options.stage:
        raise Refused("DELETE=yes needs a STAGE.\nThe embedded cloud forgets all at its end.")
    if not options.git and not options.delete:
        raise Refused(
            "GIT is missing: it is the repository to build.\n"
            "Give GIT=https://github.com/acme/web with a STAGE, or GIT=../my-app without one."
        )
    if not options.stage:
        _create_here(options, name)
        return
    parameters = dict(options.parameters)
    if options.domain:
        parameters["Domain"] = options.domain
    if options.strategy:
        parameters["Strategy"] = options.strategy
    wanted = stage.Wanted(
        stage=options.stage,
        name=name,
        git=options.git,
        branch=options.branch or "main",
        dockerfile=options.dockerfile,
        port=options.port,
        parameters=parameters,
        yes=options.yes,
    )
    if options.delete:
        stage.delete(wanted, images=options.images)
    else:
        stage.create(wanted)


def _create_here(options: argparse.Namespace, name: Name) -> None:
    if options.domain:
        raise Refused("DOMAIN is for AWS, and there is no STAGE.\nLeave it out, or give STAGE=dev.")
    if any(name == "Strategy" for name, _ in options.parameters):
        raise Refused(
            "Strategy is in ARGS, and there is no STAGE.\nGive for instance STRATEGY=CANARY."
        )
    local.create(
        name,
        git=options.git,
        branch=options.branch,
        dockerfile=options.dockerfile,
        port=options.port or 8080,
        record=options.record,
        strategy=options.strategy,
        parameters=dict(options.parameters),
    )


def _advice(options: argparse.Namespace, refusal: Exception) -> str:
    """How to get the token that the API has asked for."""
    if getattr(refusal, "code", "") not in {"not_logged_in", "unauthorized"}:
        return ""
    return (
        f"\nOr give an admin token for this command: export SLIPWAY_TOKEN=$(make token "
        f"STAGE={options.stage})"
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"PORT is {text!r}: it must be a number from 1 to 65535")
    return int(text)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Name=value")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make service", description=main.__doc__)
    parser.add_argument("--stage", choices=["dev", "prod"], default="")
    parser.add_argument("--name", default="", help="project and service, such as shop/web")
    parser.add_argument("--git", default="", help="URL of the repository; a directory on make run")
    parser.add_argument("--branch", default="", help="the branch to follow; by default main")
    parser.add_argument("--dockerfile", help="its path from the top of the repository")
    parser.add_argument("--port", type=_port, help="where the container listens; by default 8080")
    parser.add_argument("--domain", default="", help="host name of the service")
    parser.add_argument(
        "--strategy",
        choices=[*local.SETTINGS],
        help="how ECS replaces the tasks of the release before; by default ROLLING",
    )
    parser.add_argument("--delete", action="store_true", help="delete the service")
    parser.add_argument("--images", action="store_true", help="with --delete: its images, too")
    parser.add_argument("--record", type=Path, default=local.RECORD, help=argparse.SUPPRESS)
    parser.add_argument(
        "--yes", action="store_true", help="create, change or delete without a question"
    )
    parser.add_argument("parameters", nargs="*", type=_assignment, metavar="Name=value")
    return parser


if __name__ == "__main__":
    main()
