"""Questions before a change. Scripts answer them with --yes."""

import sys

from infra.stacks import Refused


def confirm(question: str, *, ask: bool) -> None:
    """Ask a person; go on without one. Raises Refused if the answer is not yes."""
    if ask and sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() != "y":
        raise Refused("Nothing was changed.")


def confirm_by_name(name: str, *, ask: bool) -> None:
    """Let a person type the name. Raises Refused if it differs, or without a person."""
    if not ask:
        return
    if not sys.stdin.isatty():
        raise Refused("Nothing was deleted: there is no terminal to ask.\nAdd ARGS=--yes.")
    if input(f"Type {name} to delete it: ").strip() != name:
        raise Refused("Nothing was deleted.")
