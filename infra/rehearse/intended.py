"""What a deployed template asks for: its resources, with CloudFormation's functions resolved."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cfnlint.decode import decode_str

from infra.rehearse.emulator import ACCOUNT, REGION

_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
_NOTHING = object()


@dataclass(frozen=True)
class Intended:
    """A resource of a template: its id there, its type, its properties, and its name in AWS."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]
    name: str


class Template:
    """A template with the values of a deployed stack.

    `names` are the names in AWS by logical id. `attribute` gives the value of Fn::GetAtt.
    """

    def __init__(
        self,
        text: str,
        parameters: Mapping[str, str],
        names: Mapping[str, str],
        attribute: Callable[[str, str, str], str],
    ) -> None:
        self._template: dict[str, Any] = json.loads(json.dumps(decode_str(text)[0]))
        declared = self._template.get("Parameters", {}).items()
        defaults = {name: each["Default"] for name, each in declared if "Default" in each}
        self._parameters = {**defaults, **parameters}
        self._names, self._attribute = names, attribute

    def resources(self) -> list[Intended]:
        """The resources whose conditions hold."""
        return [
            Intended(name, each["Type"], self._value(each.get("Properties", {})), self._name(name))
            for name, each in self._template["Resources"].items()
            if "Condition" not in each or self._holds(each["Condition"])
        ]

    def _name(self, logical_id: str) -> str:
        return self._names.get(logical_id, logical_id)

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            values = [self._value(each) for each in node]
            return [each for each in values if each is not _NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, argument), *_ = node.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        values_by_key = {key: self._value(each) for key, each in node.items()}
        return {key: each for key, each in values_by_key.items() if each is not _NOTHING}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Ref":
            return self._ref(argument)
        if function == "Fn::Sub":
            return self._sub(argument)
        if function == "Fn::GetAtt":
            name, _, attribute = (
                argument.partition(".")
                if isinstance(argument, str)
                else (argument[0], ".", argument[1])
            )
            return self._attribute(
                self._template["Resources"][name]["Type"], self._name(name), attribute
            )
        if function == "Fn::If":
            return self._value(argument[1] if self._holds(argument[0]) else argument[2])
        if function == "Fn::Select":
            return self._value(argument[1])[int(argument[0])]
        if function == "Fn::Split":
            return self._value(argument[1]).split(argument[0])
        raise NotImplementedError(function)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        return {**_PSEUDO, **self._parameters}.get(name) or self._names.get(name, "")

    def _sub(self, argument: Any) -> str:
        text, local = argument if isinstance(argument, list) else (argument, {})
        known = {name: self._value(each) for name, each in local.items()}

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name in known:
                return str(known[name])
            if "." in name and "::" not in name:
                return str(self._call("Fn::GetAtt", name))
            return str(self._ref(name))

        return re.sub(r"\$\{([^}!]+)\}", replace, text)

    def _holds(self, condition: Any) -> bool:
        if isinstance(condition, str):
            return self._holds(self._template["Conditions"][condition])
        (function, arguments), *_ = condition.items()
        if function == "Fn::Not":
            return not self._holds(arguments[0])
        if function == "Fn::Equals":
            return bool(self._value(arguments[0]) == self._value(arguments[1]))
        raise NotImplementedError(function)
