"""Cut the operations that the tests use out of GitHub's OpenAPI description.

`api.github.com.json` in this directory is made from the npm package @octokit/openapi. The package
publishes github/rest-api-description and has the MIT licence, see LICENSE. To make it again:

    npm pack @octokit/openapi@23.0.2 && tar xzf octokit-openapi-23.0.2.tgz
    .venv/bin/python -m tests.support.github.cut package/generated/api.github.com.json
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from infra.local.github.routes import ROUTES

CUT = Path(__file__).parent / "api.github.com.json"
# Errors that operations do not list: GitHub answers them to every operation.
ERRORS = ("basic-error", "validation-error")
DROPPED = {
    *("description", "example", "examples", "title", "summary", "tags", "externalDocs"),
    *("operationId", "deprecated", "default"),
}
# Marks a parameter whose value may have slashes.
MULTI_SEGMENT = "x-multi-segment"
REFERENCE = re.compile(r'"#/components/(\w+)/([^"]+)"')


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """The used operations, and the components that they need."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        method = route.method.lower()
        operation = document["paths"][route.template][method]
        paths.setdefault(route.template, {})[method] = _short(operation)
    components: dict[str, Any] = {"schemas": {}}
    waiting = [("schemas", name) for name in ERRORS] + _references(paths)
    while waiting:
        kind, name = waiting.pop()
        if name not in components.setdefault(kind, {}):
            components[kind][name] = _short(document["components"][kind][name])
            waiting += _references(components[kind][name])
    info = {name: document["info"][name] for name in ("title", "version", "license")}
    return {"openapi": document["openapi"], "info": info, "paths": paths, "components": components}


def _short(value: Any, *, names: bool = False) -> Any:
    """Without texts for people. `names`: the keys are names of fields or components."""
    if isinstance(value, list):
        return [_short(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("nullable") and None not in value.get("enum", [None]):
        # GitHub answers null here. In OpenAPI 3.0, an enum must list null to allow it.
        value = value | {"enum": [*value["enum"], None]}
    return {
        key: _short(each, names=key == "properties" and not names)
        for key, each in value.items()
        if names or key == MULTI_SEGMENT or not (key in DROPPED or key.startswith("x-"))
    }


def _references(value: Any) -> list[tuple[str, str]]:
    return [(kind, name) for kind, name in REFERENCE.findall(json.dumps(value))]


def main() -> None:
    document = json.loads(Path(sys.argv[1]).read_text())
    CUT.write_text(json.dumps(cut(document), separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
