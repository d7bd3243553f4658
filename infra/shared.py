"""What the application's stack takes from the other stack's parameters.

The other stack writes the values to Parameter Store, and CloudFormation reads them there at each
deploy of the application. An exported output would not do: CloudFormation refuses to change an
export that another stack imports (docs/decisions/0037-two-stacks-share-values.md).
"""

from collections.abc import Mapping
from typing import Any

# The parameters of `infra/stack.yaml` whose values are shared, under `/<prefix>-app/<name>`.
# A parameter without a value is the text `none`, because Parameter Store has no empty values.
SHARED = ("AlarmTopic", "KmsKey", "AccessLogRole", "ReserveConcurrency")
NONE = "none"


def parameters(prefix: str) -> dict[str, Any]:
    """The parameters of the application's template for the installation with this name prefix."""
    kind = "AWS::SSM::Parameter::Value<String>"
    return {name: {"Type": kind, "Default": f"/{prefix}-app/{name}"} for name in SHARED}


def _is(name: str, value: str) -> dict[str, Any]:
    return {"Fn::Equals": [{"Ref": name}, value]}


def _has(name: str) -> dict[str, Any]:
    return {"Fn::Not": [_is(name, NONE)]}


CONDITIONS: Mapping[str, Any] = {
    "HasAlarmTopic": _has("AlarmTopic"),
    "HasKmsKey": _has("KmsKey"),
    "HasAccessLog": _has("AccessLogRole"),
    "CreatesLogRole": _is("AccessLogRole", "create"),
    "ReservesConcurrency": _is("ReserveConcurrency", "true"),
}


def only_if(condition: str, value: Any) -> dict[str, Any]:
    """A property that has this value if the condition holds, and else is left out."""
    return {"Fn::If": [condition, value, {"Ref": "AWS::NoValue"}]}
