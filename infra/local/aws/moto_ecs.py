"""Imports moto's ECS without moto's EC2. Import this module before anything of `moto.ecs`.

moto's EC2 reads the types of all instances when it is imported, which takes most of a start's time.
moto's ECS needs it only for container instances and network interfaces of its own tasks.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import moto


class _Ec2Backends:
    """moto's backends of EC2, imported when they are first used."""

    def __getitem__(self, account: str) -> Any:
        return importlib.import_module("moto.ec2").ec2_backends[account]


def _import() -> None:
    if "moto.ecs" in sys.modules:
        return
    stand_in: Any = ModuleType("moto.ec2")
    # moto's ECS also imports the exceptions of EC2.
    stand_in.__path__ = [str(Path(moto.__file__).with_name("ec2"))]
    stand_in.ec2_backends = _Ec2Backends()
    sys.modules["moto.ec2"] = stand_in
    try:
        importlib.import_module("moto.ecs")
    finally:
        del sys.modules["moto.ec2"]


_import()
