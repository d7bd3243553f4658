"""YAML with as few bytes as possible: CloudFormation takes a template of at most 51,200."""

import math
from typing import Any

import yaml


def short_yaml(document: yaml.Node | None) -> str:
    """The text of a document, with one space for each level and without a break of long lines."""
    return yaml.serialize(document, Dumper=_Dumper, width=math.inf)


class _Dumper(yaml.SafeDumper):
    """The option `indent` of PyYAML (6.0) must be at least two."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.best_indent = 1
