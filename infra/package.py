"""What goes to AWS: the stack with its buildspec in it, and the application of one stage.

`.chalice/` describes an example installation exactly, names and all. Here it is moved to another
one, in a directory of its own: no account's names are committed, and Chalice cannot reuse an older
package (it compares the contents of files, not their names, and would ship a deleted module).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILDSPEC_LINE = re.compile(r"^( *)BuildSpec: infra/buildspec\.yml$", re.MULTILINE)


@dataclass(frozen=True)
class Installation:
    """Where an application runs, and what all of its names begin with."""

    account: str = "123456789012"
    region: str = "eu-west-1"
    partition: str = "aws"
    prefix: str = "slipway"


EXAMPLE = Installation()


def stack_template() -> str:
    """`stack.yaml` with the buildspec in it: without a source CodeBuild takes no file name."""
    stack = (ROOT / "infra/stack.yaml").read_text()
    buildspec = (ROOT / "infra/buildspec.yml").read_text()

    def embed(line: re.Match[str]) -> str:
        indent = line[1]
        return f"{indent}BuildSpec: |\n{textwrap.indent(buildspec.rstrip(), indent + '  ')}"

    embedded, count = BUILDSPEC_LINE.subn(embed, stack)
    if count != 1:
        raise ValueError(f"stack.yaml must name infra/buildspec.yml once, not {count} times")
    return embedded


def move(policy: str, to: Installation) -> str:
    """A policy of the example installation, with the names of another one."""
    named = re.sub(rf"(?<=[:/]){EXAMPLE.prefix}(?=[-/])", to.prefix, policy)
    placed = named.replace(f"arn:{EXAMPLE.partition}:", f"arn:{to.partition}:")
    return placed.replace(EXAMPLE.region, to.region).replace(EXAMPLE.account, to.account)


def write_application(directory: Path, to: Installation, environment: Mapping[str, str]) -> None:
    """Fill the new `directory` with what Chalice packages.

    An empty `environment` keeps the example's.
    """
    directory.mkdir(parents=True)
    shutil.copy(ROOT / "app.py", directory)
    shutil.copy(ROOT / "requirements.txt", directory)
    shutil.copytree(
        ROOT / "chalicelib",
        directory / "chalicelib",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    settings = directory / ".chalice"
    settings.mkdir()
    for policy in (ROOT / ".chalice").glob("policy-*.json"):
        (settings / policy.name).write_text(move(policy.read_text(), to))
    config = json.loads((ROOT / ".chalice/config.json").read_text())
    config["environment_variables"] = dict(environment) or config["environment_variables"]
    (settings / "config.json").write_text(json.dumps(config, indent=2))


def package_application(application: Path, output: Path, *, stage: str, region: str) -> None:
    """Have Chalice write `sam.json` and `deployment.zip` to `output`.

    Raises CalledProcessError; Chalice has then said on stderr what was wrong.
    """
    chalice = Path(sys.executable).with_name("chalice")
    # Chalice imports the application, and AWS clients want a region even where none is called.
    environment = os.environ | {"AWS_DEFAULT_REGION": region, "PYTHONDONTWRITEBYTECODE": "1"}
    # Chalice can keep logs for a time of its own, but names a function wrongly in doing so (1.34).
    options = ["--stage", stage, "--merge-template", str(ROOT / "infra/log-groups.json")]
    subprocess.run(
        [chalice, "--project-dir", application, "package", *options, output],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def write_package(
    output: Path, *, stage: str, to: Installation, environment: Mapping[str, str]
) -> None:
    """Replace `output` by the package of one stage."""
    shutil.rmtree(output, ignore_errors=True)
    write_application(output / "application", to, environment)
    package_application(output / "application", output, stage=stage, region=to.region)
    shutil.rmtree(output / "application")


def main() -> None:
    """Package the example installation: all of it but the calls to AWS."""
    parser = argparse.ArgumentParser(prog="make package", description=main.__doc__)
    parser.add_argument("--stage", default="dev", choices=["dev", "prod"])
    parser.add_argument("--output", type=Path, default=ROOT / "build")
    arguments = parser.parse_args()
    output: Path = arguments.output / arguments.stage
    try:
        write_package(output, stage=arguments.stage, to=EXAMPLE, environment={})
    except subprocess.CalledProcessError as error:
        sys.exit(f"chalice package failed ({error.returncode}): its message is above.")
    (output / "stack.yaml").write_text(stack_template())
    for path in sorted(output.iterdir()):
        print(f"{path.stat().st_size / 1_000_000:8.2f} MB  {path}")


if __name__ == "__main__":
    main()
