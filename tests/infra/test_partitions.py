"""Slipway runs in every region and partition of AWS, such as China's: no text names one."""

import ast
import json
import re
from pathlib import Path

from infra.package import EXAMPLE, ROOT, Installation, package_application, stack_template
from infra.package import write_application as write

CHINA = Installation(account="210987654321", region="cn-north-1", partition="aws-cn")
_REGION = re.compile(
    r"\b(?:us|eu|ap|sa|ca|me|af|il|mx|cn)-(?:gov-)?(?:north|south|east|west|central)\w*-\d\b"
)
_PARTITION = re.compile(r"arn:aws:")
# Examples for people, and what describes the example installation or the embedded AWS.
EXAMPLES = {
    "chalicelib/domain/credentials.py",
    "infra/openapi/examples.py",
    "infra/package.py",
    "infra/stacks.py",
}


def _texts(path: Path) -> list[str]:
    """The strings of a module without its docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]


def _named(text: str) -> list[str]:
    return _REGION.findall(text) + _PARTITION.findall(text)


def test_no_module_names_a_region_or_a_partition_but_in_examples() -> None:
    places = [*(ROOT / "chalicelib").rglob("*.py"), *(ROOT / "infra").glob("*.py")]
    for part in ("cli", "infra/doctor", "infra/openapi", "infra/service"):
        places += (ROOT / part).rglob("*.py")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app.py", *places)
        for text in _texts(path)
        if _named(text)
    }
    assert found == EXAMPLES


def test_the_stack_names_no_region_and_no_partition() -> None:
    assert _named(stack_template()) == []
    hosts = set(re.findall(r"[a-z0-9.-]+\.amazonaws\.com[a-z.]*", stack_template()))
    assert hosts == {"codebuild.amazonaws.com"}  # a principal, which has this name everywhere


def test_an_application_for_another_partition_names_only_its_own(tmp_path: Path) -> None:
    write(tmp_path / "application", CHINA)
    package_application(
        tmp_path / "application", tmp_path, stage="dev", region=CHINA.region, prefix="slipway-dev"
    )
    template = json.loads((tmp_path / "sam.json").read_text())
    for resource in template["Resources"].values():
        resource["Properties"].pop("Environment", None)  # `make deploy` sets it from the stack
    text = json.dumps(template)
    assert _PARTITION.search(text) is None
    assert set(_REGION.findall(text)) == {CHINA.region}
    assert EXAMPLE.account not in text
    assert f"arn:aws-cn:sqs:cn-north-1:{CHINA.account}:" in text
