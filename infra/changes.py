"""What a change set would do to each resource of a stack.

AWS: ResourceChange in the CloudFormation API reference.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import ResourceChangeTypeDef

# A new resource of these types is empty, so a replacement loses what the old one holds.
HOLDS_DATA = frozenset({"AWS::DynamoDB::Table", "AWS::S3::Bucket"})


@dataclass(frozen=True)
class Change:
    """A change of one resource. `verb` is add, import, change, replace, may replace or remove."""

    verb: str
    name: str
    type: str

    @property
    def loses_data(self) -> bool:
        """Whether the application would no longer find what the resource holds."""
        return self.type in HOLDS_DATA and self.verb in {"replace", "may replace", "remove"}

    def __str__(self) -> str:
        return f"{self.verb:13}{self.name}  {self.type}"


def read_changes(
    cloudformation: "CloudFormationClient", stack: str, change_set: str
) -> tuple[Change, ...]:
    """The changes of a change set, in the order of CloudFormation."""
    pages = cloudformation.get_paginator("describe_change_set").paginate(
        StackName=stack, ChangeSetName=change_set
    )
    return tuple(
        _change(change["ResourceChange"])
        for page in pages
        for change in page.get("Changes", [])
        if "ResourceChange" in change
    )


def losses(changes: Iterable[Change], allowed: Collection[str]) -> list[Change]:
    """The changes that lose data, without those that the operator named."""
    return [each for each in changes if each.loses_data and each.name not in allowed]


def _change(found: "ResourceChangeTypeDef") -> Change:
    action, replacement = found["Action"], found.get("Replacement", "False")
    verbs = {"Add": "add", "Remove": "remove", "Import": "import"}
    if action in verbs:
        verb = verbs[action]
    elif replacement == "True":
        verb = "replace"
    elif replacement == "Conditional" or action == "Dynamic":
        # CloudFormation knows only later, for instance from a value that another change gives.
        verb = "may replace"
    else:
        verb = "change"
    return Change(verb, found["LogicalResourceId"], found["ResourceType"])
