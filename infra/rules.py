"""The event rules, in place of those that SAM makes.

`chalice deploy` finds a rule by its name and gives it the target "1" (1.34, awsclient.py). SAM
names neither, so Chalice would add a second rule, or a second target to the rule: each event would
arrive twice.
"""

import json
from pathlib import Path
from typing import Any

from infra.functions import HANDLERS

TARGET = "1"


def rule_name(prefix: str, handler: str) -> str:
    """The name of a function's rule: `<app_name>-<stage>-<name>-event` in Chalice."""
    return f"{prefix}-{handler}-event"


def name_rules(template: Path, prefix: str) -> None:
    """Replace the rules in the functions' events by resources with Chalice's names."""
    sam = json.loads(template.read_text())
    for function, handler in HANDLERS.items():
        properties = sam["Resources"][function]["Properties"]
        for event in properties.get("Events", {}).values():
            if event["Type"] in _SOURCES:
                source, kind = _SOURCES[event["Type"]]
                # Chalice gives each function at most one trigger.
                del properties["Events"]
                sam["Resources"] |= _rule(
                    function, rule_name(prefix, handler), {kind: event["Properties"][source]}
                )
    template.write_text(json.dumps(sam))


# By the type of the event in SAM: the property there, and that of the rule.
_SOURCES = {
    "CloudWatchEvent": ("Pattern", "EventPattern"),
    "Schedule": ("Schedule", "ScheduleExpression"),
}


def _rule(function: str, name: str, source: dict[str, Any]) -> dict[str, Any]:
    rule = f"{function}Rule"
    target = {"Id": TARGET, "Arn": {"Fn::GetAtt": [function, "Arn"]}}
    permission = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": {"Ref": function},
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": [rule, "Arn"]},
    }
    return {
        rule: {
            "Type": "AWS::Events::Rule",
            "Properties": {"Name": name, **source, "Targets": [target]},
        },
        f"{rule}Permission": {"Type": "AWS::Lambda::Permission", "Properties": permission},
    }
