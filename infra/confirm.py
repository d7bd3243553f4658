"""Asks a person before something is changed."""

import sys

from infra.stacks import Refused


def confirm(question: str, answer: str, *, yes: bool) -> None:
    """Ask `question` on the terminal, unless `yes`. Raises Refused without the right answer.

    A program that runs without a terminal must say `--yes`: it would otherwise change what nobody
    has looked at.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            "Nothing was changed: the input is not a terminal, so no person can confirm.\n"
            "A script confirms with --yes in ARGS. Without it, a script only shows the changes."
        )
    if _read(f"{question} Type {answer} to go on: ") != answer:
        raise Refused(
            f"Nothing was changed: the answer was not {answer}.\nRun this again to be asked again."
        )


def _read(prompt: str) -> str:
    """The line that a person types, without spaces around it; empty for Ctrl-D."""
    try:
        return input(prompt).strip()
    except EOFError:
        print()
        return ""
