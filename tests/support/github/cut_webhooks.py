"""Cut the events that Slipway reads out of GitHub's schemas of webhook payloads.

`webhooks.json` in this directory is made from the npm package @octokit/webhooks-schemas. It has the
MIT licence, see LICENSE. To make it again:

    npm pack @octokit/webhooks-schemas@7.6.1 && tar xzf octokit-webhooks-schemas-7.6.1.tgz
    .venv/bin/python -m tests.support.github.cut_webhooks package/schema.json
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

CUT = Path(__file__).parent / "webhooks.json"
EVENTS = (
    "push$event",
    *(f"pull_request${action}" for action in ("opened", "synchronize", "reopened", "closed")),
)
REFERENCE = re.compile(r'"#/definitions/([^"]+)"')


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """The definitions of the events, and those that they need, without texts for people."""
    found: dict[str, Any] = {}
    waiting = list(EVENTS)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _short(document["definitions"][name])
            waiting += [
                each.replace("%24", "$") for each in REFERENCE.findall(json.dumps(found[name]))
            ]
    return {"definitions": dict(sorted(found.items()))}


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _short(each)
            for name, each in value.items()
            if not (
                name in {"description", "title", "tsAdditionalProperties"}
                and isinstance(each, str | bool)
            )
        }
    return [_short(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    CUT.write_text(json.dumps(cut(json.loads(Path(sys.argv[1]).read_text())), indent=1) + "\n")
