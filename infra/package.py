"""Packages the stack, with the buildspec embedded, and the application of one stage for AWS.

`.chalice/` describes an example installation with all its names. `move` replaces these names, so no
real account's names are committed. The application is copied to a new directory, so Chalice cannot
reuse an older package: it compares the contents of files, not their names, and would ship a deleted
module.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra import shared
from infra.alarms import alarms
from infra.api_stage import api_parts
from infra.dashboard import dashboard_and_query
from infra.functions import function_parts
from infra.lean import called_services, make_lean
from infra.parameters import EXAMPLES
from infra.rules import name_rules
from infra.short_yaml import short_yaml
from infra.tellings import telling_parts

ROOT = Path(__file__).parent.parent
BUILDSPEC_LINE = re.compile(r"^( *)BuildSpec: infra/buildspec\.yml$", re.MULTILINE)
# Also an empty line: neither has a meaning in the buildspec's scripts.
COMMENT_LINE = re.compile(r"^( *#(?!!).*)?\n", re.MULTILINE)
# Chalice takes the Lambda runtime from the Python that runs it.
LAMBDA_PYTHON = (3, 11)
# Wheels for Lambda's arm64. AWS: "Working with .zip file archives for Python Lambda functions".
LAMBDA_PLATFORM = "manylinux2014_aarch64"


class PackagingFailed(Exception):
    """Packaging failed. The message has two lines: the cause and the fix."""


@dataclass(frozen=True)
class Installation:
    """An installation: its account and region, its name prefix, and names in its policies.

    The defaults are the names that `.chalice/` has.
    """

    account: str = "123456789012"
    region: str = "eu-west-1"
    partition: str = "aws"
    prefix: str = "slipway"
    build_log_dir: str = "/slipway"
    task_roles: str = EXAMPLES["TaskRoles"]
    task_log_groups: str = "/ecs/*"


EXAMPLE = Installation()


def stack_template() -> str:
    """`stack.yaml` with the buildspec embedded: without a source CodeBuild takes no file name.

    CloudFormation takes at most 51,200 bytes. So comments and empty lines are left out, a resource
    is on one line, and the buildspec is a JSON string, which YAML reads too.
    """
    stack, buildspec = (
        COMMENT_LINE.sub("", (ROOT / "infra" / name).read_text())
        for name in ("stack.yaml", "buildspec.yml")
    )
    short = json.dumps(_shorten(buildspec, folded_below=math.inf))

    def embed(line: re.Match[str]) -> str:
        return f"{line[1]}BuildSpec: {short}"

    embedded, count = BUILDSPEC_LINE.subn(embed, stack)
    if count != 1:
        raise ValueError(f"stack.yaml must name infra/buildspec.yml once, not {count} times")
    return _shorten(embedded, folded_below=1)


def _shorten(text: str, *, folded_below: float) -> str:
    """The same YAML with as little indentation as possible.

    What is more than `folded_below` levels deep is on one line: `{Ref: Name}`.
    """

    def fold(node: yaml.Node | None, depth: int) -> None:
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = depth > folded_below
            for entry in node.value:
                for child in entry if isinstance(entry, tuple) else (entry,):
                    fold(child, depth + 1)

    document = yaml.compose(text, yaml.SafeLoader)
    fold(document, 0)
    return short_yaml(document)


def move(text: str, to: Installation) -> str:
    """Replace the example installation's names in `text` with those of `to`."""
    placed = text.replace(f"arn:{EXAMPLE.partition}:", f"arn:{to.partition}:")
    owned = placed.replace(EXAMPLE.region, to.region).replace(EXAMPLE.account, to.account)
    named = re.sub(rf"(?<=[:/]){EXAMPLE.prefix}(?=[-:])", to.prefix, owned)
    for kind in ("secret:", "parameter/"):
        named = named.replace(f":{kind}{EXAMPLE.prefix}/", f":{kind}{to.prefix}/")
    logs = named.replace(f"log-group:{EXAMPLE.build_log_dir}/", f"log-group:{to.build_log_dir}/")
    tasks = logs.replace(
        f"log-group:{EXAMPLE.task_log_groups}:", f"log-group:{to.task_log_groups}:"
    )
    return tasks.replace(f":role/{EXAMPLE.task_roles}", f":role/{to.task_roles}")


def write_application(directory: Path, to: Installation) -> None:
    """Create `directory` with the files that Chalice packages."""
    directory.mkdir(parents=True)
    shutil.copy(ROOT / "app.py", directory)
    shutil.copytree(
        ROOT / "chalicelib",
        directory / "chalicelib",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    made_from = commit()
    if made_from is not None:
        (directory / "chalicelib/commit").write_text(made_from)
    settings = directory / ".chalice"
    settings.mkdir()
    for path in (ROOT / ".chalice").glob("*.json"):
        (settings / path.name).write_text(move(path.read_text(), to))


def commit() -> str | None:
    """The commit of this clone, with `-dirty` if files differ from it; None outside a clone."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # there is no git
        return None
    return done.stdout.strip() or None


def pip_install(python: str, *options: str) -> int:
    """Install only wheels with the hashes of the given files; return pip's exit status.

    If pip fails, its output is on stderr.
    """
    install = [python, "-m", "pip", "install", "--no-compile", "--progress-bar", "off"]
    done = subprocess.run(
        [*install, "--require-hashes", "--only-binary", ":all:", *options],
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return done.returncode


def install_libraries(
    application: Path, requirements: Path = ROOT, *, platform: str = LAMBDA_PLATFORM
) -> None:
    """Add the libraries of requirements.txt to the application, in the files of constraints.txt.

    `requirements` is the directory of these two. The libraries go to `vendor`, which Chalice ships
    as it is. Chalice's own download fetches wheels for another processor without their hashes, and
    only warns if one is missing (1.34). Raises PackagingFailed after pip's output on stderr.
    """
    vendor = application / "vendor"
    python = ".".join(map(str, LAMBDA_PYTHON))
    target = ["--platform", platform, "--python-version", python, "--implementation", "cp"]
    wanted, locked = requirements / "requirements.txt", requirements / "constraints.txt"
    files = ["-r", str(wanted), "-c", str(locked)]
    if status := pip_install(sys.executable, *target, "--target", str(vendor), *files):
        raise PackagingFailed(
            f"pip could not install the libraries ({status}): its message is above.\n"
            "Check the network or PIP_INDEX_URL. A wrong hash means that the index holds another "
            "file than constraints.txt lists."
        )
    # Commands of libraries: Lambda runs none, and they contain this machine's paths.
    shutil.rmtree(vendor / "bin", ignore_errors=True)


def package_application(
    application: Path, output: Path, *, stage: str, region: str, prefix: str = EXAMPLE.prefix
) -> None:
    """Run Chalice to write `sam.json` and `deployment.zip` to `output`.

    `prefix` is the installation's, for the names of its dashboard and its metrics.
    Raises PackagingFailed. Chalice has then printed the cause on stderr.
    """
    chalice = Path(sys.executable).with_name("chalice")
    # Chalice imports the application, and AWS clients need a region even without any call.
    environment = os.environ | {"AWS_DEFAULT_REGION": region, "PYTHONDONTWRITEBYTECODE": "1"}
    additions = application / "additions.json"
    additions.write_text(json.dumps(_additions(prefix)))
    options = ["--stage", stage, "--merge-template", str(additions)]
    done = subprocess.run(
        [chalice, "--project-dir", application, "package", *options, output],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise PackagingFailed(
            f"chalice package failed ({done.returncode}): its message is above.\n"
            "Fix the cause and run this again."
        )
    name_rules(output / "sam.json", prefix)


def _additions(prefix: str) -> dict[str, Any]:
    """The parts of the application's template that Chalice does not write."""
    return {
        "Parameters": shared.parameters(prefix),
        "Conditions": shared.CONDITIONS,
        "Resources": {
            **function_parts(prefix),
            **telling_parts(prefix),
            **api_parts(prefix),
            **alarms(prefix),
            **dashboard_and_query(prefix),
        },
    }


def require_lambda_python(version: tuple[int, int]) -> None:
    """Raise PackagingFailed unless `version` is the Python version that Lambda runs."""
    if version != LAMBDA_PYTHON:
        named = ".".join(map(str, LAMBDA_PYTHON))
        raise PackagingFailed(
            f"The package is for Python {named}, and .venv has {'.'.join(map(str, version))}.\n"
            f"Install Python {named} and recreate .venv: make clean setup"
        )


def write_package(
    output: Path, *, stage: str, to: Installation, platform: str = LAMBDA_PLATFORM
) -> None:
    """Replace `output` with the package of one stage. Raises PackagingFailed.

    `platform` names the wheels of the libraries as pip does.
    """
    require_lambda_python(sys.version_info[:2])
    shutil.rmtree(output, ignore_errors=True)
    write_application(output / "application", to)
    install_libraries(output / "application", platform=platform)
    package_application(
        output / "application", output, stage=stage, region=to.region, prefix=to.prefix
    )
    policies = (ROOT / ".chalice").glob("policy-*.json")
    make_lean(output / "deployment.zip", called_services(policies))
    shutil.rmtree(output / "application")


def main() -> None:
    """Package the example installation, without calls to AWS."""
    parser = argparse.ArgumentParser(prog="make package", description=main.__doc__)
    parser.add_argument("--stage", default="dev", choices=["dev", "prod"])
    parser.add_argument("--output", type=Path, default=ROOT / "build")
    arguments = parser.parse_args()
    # Chalice changes the directory.
    output: Path = arguments.output.resolve() / arguments.stage
    try:
        write_package(output, stage=arguments.stage, to=EXAMPLE)
    except PackagingFailed as failure:
        sys.exit(str(failure))
    (output / "stack.yaml").write_text(stack_template())
    for path in sorted(output.iterdir()):
        print(f"{path.stat().st_size / 1_000_000:8.2f} MB  {path}")
    print(
        f"Made for the example account {EXAMPLE.account} with TaskRoles={EXAMPLE.task_roles}. "
        "make deploy makes it for your account and your parameters."
    )


if __name__ == "__main__":
    main()
