"""Parse one value as a field type, with the installation's settings of the tests."""

from dataclasses import dataclass
from typing import Any

import msgspec

from chalicelib.domain.fields import decode


@dataclass(frozen=True)
class AnInstallation:
    """The settings that field types read."""

    git_hosts: frozenset[str] = frozenset({"github.com"})
    registry: str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    table_prefix: str = "slipway"


def read(kind: Any, value: object, field: str, **installation: Any) -> Any:
    """The value in its normal form. Raises InvalidInput for `field`."""
    body = msgspec.defstruct("Body", [(field, kind)], forbid_unknown_fields=True)
    return getattr(decode(body, {field: value}, AnInstallation(**installation)), field)
