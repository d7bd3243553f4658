"""Parameters of `infra/stack.yaml` that each stage must choose, because a default would be unsafe.

To add one: a row in REQUIRED, an entry without a Default and with the row's description in
`infra/stack.yaml`, and a row in the table of docs/deployed.md.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Required:
    """A parameter without a default: its name, a sentence with its meaning, and an example."""

    name: str
    meaning: str
    example: str

    @property
    def description(self) -> str:
        """The parameter's Description in the stack."""
        return f"{self.meaning} Example: {self.example}"


REQUIRED = (
    Required(
        "RepositoryPattern",
        "Pattern of the ECR repositories that builds may push to; * stands for any text.",
        "team/*",
    ),
    Required(
        "TaskRoles",
        "Pattern of the IAM roles, with their path, that tasks may use; * stands for any text.",
        "ecs-*",
    ),
)
EXAMPLES = {parameter.name: parameter.example for parameter in REQUIRED}


def what_is_missing(
    stage: str, given: Mapping[str, str], before: Mapping[str, str] | None
) -> str | None:
    """Lines that ask for every required parameter without a value; None if there is none.

    `before` has the values of the stage's stack. It is None if there is no stack yet.
    """
    values = {**(before or {}), **given}
    missing = [each for each in REQUIRED if not values.get(each.name)]
    if not missing:
        return None
    asked = [f"{each.name} is required. {each.meaning}" for each in missing]
    paste = _command(stage, {name: value for name, value in given.items() if value}, missing)
    return "\n".join([*asked, f"Nothing was changed in AWS. Use your own names in: {paste}"])


def what_is_wide(
    stage: str, given: Mapping[str, str], before: Mapping[str, str], defaults: Mapping[str, str]
) -> str | None:
    """Lines that say how to replace the former defaults that a stage keeps; None if it keeps none.

    `defaults` are those of the template that the stage's stack has now. A deploy replaces this
    template by one without them, so each stage gets these lines once.
    """
    kept = [
        each
        for each in REQUIRED
        if each.name not in given
        and each.name in defaults
        and before.get(each.name) == defaults[each.name]
    ]
    if not kept:
        return None
    shown = [f"{each.name}={before[each.name]} is too wide. {each.meaning}" for each in kept]
    paste = _command(stage, given, kept)
    return "\n".join([*shown, f"The stage keeps working. Narrow it with your own names: {paste}"])


def _command(stage: str, given: Mapping[str, str], added: Iterable[Required]) -> str:
    """The command of this deploy, with the examples of `added`."""
    values = {**given, **{each.name: each.example for each in added}}
    words = " ".join(f"{name}={value}" for name, value in values.items())
    return f'make deploy STAGE={stage} ARGS="{words}"'


def assignment(text: str) -> tuple[str, str]:
    """The name and the value in an argument `Name=value`. Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form Name=value")
    if name == "ResourcePrefix":
        raise argparse.ArgumentTypeError("ResourcePrefix is slipway-<stage> and cannot be chosen")
    return name, value
