"""YAML with as few bytes as possible: CloudFormation takes a template of at most 51,200."""

import math
import re
from typing import Any

import yaml


def short_yaml(document: yaml.Node | None) -> str:
    """The text of a document, with one space for each level and without a break of long lines.

    No space follows the comma of `[a,b]`, and the name in `!Ref Name` has no quotes.
    """
    return yaml.serialize(document, Dumper=_Dumper, width=math.inf)


class _Dumper(yaml.SafeDumper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The option `indent` of PyYAML (6.0) must be at least two.
        self.best_indent = 1

    def choose_scalar_style(self) -> str:
        style: str = super().choose_scalar_style()
        # PyYAML quotes each text with a tag.
        event: Any = self.event
        is_name = re.fullmatch(r"[A-Za-z0-9.]+(::[A-Za-z0-9]+)?", event.value)
        is_quoted = style == "'" and (event.tag or "").startswith("!")
        return "" if is_quoted and is_name else style

    def write_indicator(
        self,
        indicator: str,
        need_whitespace: bool,
        whitespace: bool = False,
        indention: bool = False,
    ) -> None:
        # What follows white space gets no space of its own.
        is_comma = indicator == ","
        super().write_indicator(indicator, need_whitespace, whitespace or is_comma, indention)
