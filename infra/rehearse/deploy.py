"""`make deploy` against the emulator: the same command, with the package fitted to it."""

import json
import platform
import sys
from pathlib import Path

from infra.deploy import main
from infra.package import Installation, PackagingFailed, write_package

# The emulator's CloudFormation does not know these types. docs/install.md names them.
LEFT_OUT = frozenset({"AWS::Logs::QueryDefinition"})
# Its functions run on this machine.
_PLATFORMS = {"x86_64": "manylinux2014_x86_64", "aarch64": "manylinux2014_aarch64"}


def wheels() -> str:
    """The wheels for this processor, as pip names them. Raises PackagingFailed without any."""
    found = _PLATFORMS.get(platform.machine()) if sys.platform == "linux" else None
    if found is None:
        raise PackagingFailed(
            f"The functions cannot run on {sys.platform} {platform.machine()}.\n"
            "Rehearse on Linux with x86_64 or aarch64."
        )
    return found


def package(output: Path, *, stage: str, to: Installation) -> None:
    """Write the package as for AWS, with libraries of this processor and without LEFT_OUT."""
    write_package(output, stage=stage, to=to, platform=wheels())
    template = json.loads((output / "sam.json").read_text())
    template["Resources"] = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] not in LEFT_OUT
    }
    (output / "sam.json").write_text(json.dumps(template))


if __name__ == "__main__":
    main(package=package)
