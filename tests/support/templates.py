"""CloudFormation templates as data: which values their resources have for some parameters."""

from collections.abc import Mapping
from typing import Any

import yaml

ACCOUNT, REGION, PARTITION = "123456789012", "eu-west-1", "aws"
NO_VALUE = object()
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": PARTITION,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": NO_VALUE,
}


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref X` as {"Ref": "X"}."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {tag: loader.construct_sequence(node, deep=True)}


_Template.add_multi_constructor("!", _short_form)


def load_template(text: str) -> dict[str, Any]:
    """A template in YAML, with CloudFormation's short forms."""
    template: dict[str, Any] = yaml.load(text, _Template)
    return template


def resources_for(template: Mapping[str, Any], **parameters: str) -> dict[str, Any]:
    """The resources that exist with these parameters, and the defaults of the others.

    Conditions and references to parameters are resolved; references to resources stay.
    """
    values = {
        name: parameters.get(name, parameter.get("Default"))
        for name, parameter in template.get("Parameters", {}).items()
    }
    assert parameters.keys() <= values.keys()
    reader = _Reader({**_PSEUDO, **values}, template.get("Conditions", {}))
    return {
        name: reader.read({key: value for key, value in resource.items() if key != "Condition"})
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or reader.holds(resource["Condition"])
    }


class _Reader:
    def __init__(self, values: Mapping[str, Any], conditions: Mapping[str, Any]) -> None:
        self._values = values
        self._conditions = conditions

    def holds(self, name: str) -> bool:
        return bool(self.read(self._conditions[name]))

    def read(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for each in value if (found := self.read(each)) is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            match name.removeprefix("Fn::"), argument:
                case "Ref", str() if argument in self._values:
                    return self._values[argument]
                case "If", [condition, then, otherwise]:
                    return self.read(then if self.holds(condition) else otherwise)
                case "Equals", [left, right]:
                    return self.read(left) == self.read(right)
                case "Not", [denied]:
                    return not self.read(denied)
        read = {key: self.read(each) for key, each in value.items()}
        return {key: each for key, each in read.items() if each is not NO_VALUE}
