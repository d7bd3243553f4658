"""The functions of the product that call AWS, directly or through others, from its source."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]

# The names that mark a call of AWS: boto3's in `chalicelib.aws`, PynamoDB's in `chalicelib.store`.
_BOTO3 = "client"
_READ = {"batch_get", "get"}  # only with consistent_read: a dict has a `get`, too
_PYNAMODB = {"batch_write", "query", "refresh", "save", "scan", "update"}


def functions_that_call_aws() -> set[str]:
    """Every function that calls AWS, directly or not, as `chalicelib.aws.queue:wake`."""
    uses: dict[str, set[str]] = {}
    calling: set[str] = set()
    for path in sorted((ROOT / "chalicelib").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        known = _imported(tree)
        for name, function in _functions(tree):
            uses[f"{module}:{name}"] = {
                used for node in ast.walk(function) for used in _named(node, module, known)
            }
            if any(_calls_aws(node, module) for node in ast.walk(function)):
                calling.add(f"{module}:{name}")
    while more := {user for user, used in uses.items() if used & calling} - calling:
        calling |= more
    return calling


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods of a module. A nested function counts as part of the outer one."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    yield f"{node.name}.{member.name}", member


def _imported(tree: ast.Module) -> dict[str, str]:
    """The full name of each import: `chalicelib.aws.queue` or `chalicelib.aws.queue:wake`."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("chalicelib"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}".replace(".", "/")
                is_module = (ROOT / f"{whole}.py").exists() or (ROOT / whole).is_dir()
                joint = "." if is_module else ":"
                known[alias.asname or alias.name] = f"{node.module}{joint}{alias.name}"
    return known


def _named(node: ast.AST, module: str, known: dict[str, str]) -> Iterator[str]:
    """The full names of the functions that an expression may refer to."""
    match node:
        case ast.Name(id=name):
            yield known.get(name, f"{module}:{name}")
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in known:
            yield f"{known[name]}:{attribute}"


def _calls_aws(node: ast.AST, module: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id=name)))):
            return module.startswith("chalicelib.aws.") and name == _BOTO3
        case ast.Call(func=ast.Attribute(attr=name), keywords=named):
            consistent = any(each.arg == "consistent_read" for each in named)
            called = name in _PYNAMODB or (name in _READ and consistent)
            return module.startswith("chalicelib.store.") and called
    return False


def functions_on_the_stack() -> set[str]:
    """The functions of the product that are on the call stack."""
    found = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("chalicelib."):
            found.add(f"{module}:{frame.f_code.co_qualname.partition('.<locals>')[0]}")
        frame = frame.f_back
    return found
