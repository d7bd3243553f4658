"""The README and the pages beside it agree with the code, and the example session works."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cfnlint.decode import decode

from chalicelib.settings import VARIABLES
from infra.gateway_responses import STATUSES
from infra.parameters import EXAMPLES
from tests.support.serving import serving

ROOT = Path(__file__).parents[1]
# The AWS CLI, as far as the document uses it: `aws SERVICE OPERATION --parameter value …`.
AWS_CLI = f"""#!{sys.executable}
import json, re, sys
import boto3
service, operation, *rest = sys.argv[1:]
values = {{}}
for option, value in zip(rest[::2], rest[1::2], strict=True):
    name = re.sub("-(.)", lambda found: found[1].upper(), option.removeprefix("--"))
    values[name] = json.loads(value) if value[0] in "[{{0123456789" else value
getattr(boto3.client(service), operation.replace("-", "_"))(**values)
"""
TIMED_OUT = 124  # the exit code of timeout(1)
README = (ROOT / "README.md").read_text()
API = (ROOT / "docs/api.md").read_text()
DEPLOYED = (ROOT / "docs/deployed.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tests/README.md"]


def test_the_route_table_lists_exactly_the_routes_of_the_app_with_their_roles() -> None:
    from app import app
    from chalicelib.api.http.endpoints import ENDPOINTS

    routes = {f"{method} {path}" for path, methods in app.routes.items() for method in methods}
    roles = {f"{each.method} {each.path}": str(each.role or "public") for each in ENDPOINTS}
    assert roles.keys() == routes
    listed = re.findall(r"^\| `([A-Z]+ /\S*)` \| (\w+) \|", _after("routes", API), re.M)
    assert len(listed) == len(routes)
    assert dict(listed) == roles


def test_the_configuration_table_lists_every_variable_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", _after("settings", DEPLOYED), re.M)
    expected = [
        (name, _shown(variable.default), variable.meaning) for name, variable in VARIABLES.items()
    ]
    assert [(name, default.strip(), meaning) for name, default, meaning in rows] == expected


def test_the_parameter_table_lists_every_parameter_with_its_default_and_meaning() -> None:
    template, _ = decode(str(ROOT / "infra/stack.yaml"))
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", _after("parameters", DEPLOYED), re.M)
    assert [tuple(map(str.strip, row)) for row in rows] == [
        (name, _shown(_default_of(parameter)), parameter["Description"])
        for name, parameter in template["Parameters"].items()
        if name != "ResourcePrefix"  # the stage sets it
    ]


def test_the_first_deploy_in_the_readme_gives_every_required_parameter() -> None:
    values = " ".join(f"{name}={example}" for name, example in EXAMPLES.items())
    first = f'make deploy STAGE=dev ARGS="{values}"'
    assert first in README.partition("## Deploy")[2]
    assert first in (ROOT / "docs/install.md").read_text()


def test_the_api_page_lists_the_responses_of_api_gateway_itself() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|.*\| (\d+) `", API, re.M)
    listed = {kind: int(to) for kinds, to in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert listed == {kind: status.value for kind, status in STATUSES.items()}


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", document.read_text(), re.M))
        assert {word for pair in named for word in pair if word} <= targets, document


def test_every_file_that_the_contributing_guide_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:chalicelib|infra|tests|docs|\.chalice)/[\w./-]*)`", text))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    code = "".join(
        path.read_text() for room in ("chalicelib", "tests") for path in (ROOT / room).rglob("*.py")
    )
    for name in re.findall(r"`(?:\w+\.)?([A-Z_]{5,}|[a-z_]+_[a-z_]+)`", text):
        assert re.search(rf"\b{name}\b", code), f"no {name} in the code"


def test_the_session_works_as_written() -> None:
    status, output = _played(_session())
    assert status == 0, output
    assert '"current_deployment_id":1' in output
    assert "is simulated: no process listens" in output
    assert '"possible":false' in output
    assert '"environment":{"LOG_LEVEL":"debug"}' in output
    assert '"released":true' in output


@pytest.mark.parametrize(
    ("right", "wrong", "shown"),
    [
        ('"git_ref": "main"', '"git_ref": "missing"', "has no branch or tag missing"),
        ('/jobs/$1"', '/nothing/$1"', "not_found"),
    ],
)
def test_the_session_ends_when_the_work_fails(right: str, wrong: str, shown: str) -> None:
    session = _session()
    assert session.count(right) == 1
    status, output = _played(session.replace(right, wrong))
    assert status not in {0, TIMED_OUT}, output
    assert shown in output


def test_an_application_of_ones_own_runs_on_the_embedded_aws(tmp_path: Path) -> None:
    text = (ROOT / "docs/embedded-aws.md").read_text()
    own = re.search(r"<!-- own -->\n```bash\n(.*?)```", text, re.S)
    assert own is not None
    aws = tmp_path / "aws"
    aws.write_text(AWS_CLI)
    aws.chmod(0o755)
    session = _session()
    for sample, mine in (
        ('"image_repository": "myapp"', '"image_repository": "shop"'),
        (
            '"ecs_service": "web", "containers": ["web"]',
            '"ecs_service": "shop", "containers": ["shop"]',
        ),
        ("myapp:main-1", "shop:main-1"),
        ("default/web", "default/shop"),
    ):
        assert session.count(sample) == 1
        session = session.replace(sample, mine)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    status, output = _played(own[1] + session, PATH=path)
    assert status == 0, output
    assert "slipway-shop-" in output
    assert "is simulated: no process listens" in output


def _session() -> str:
    session = re.search(r"```bash\n(.*?)```", _after("session"), re.S)
    assert session is not None
    return session[1]


def _played(session: str, **variables: str) -> tuple[int, str]:
    """The exit code and the output of a shell that plays the session."""
    with serving() as (_, ready):
        variables |= {name.upper(): ready[name] for name in ("api", "token", "apps")}
        variables["AWS_ENDPOINT_URL"] = ready["aws"]
        done = subprocess.run(
            ["timeout", "120", "bash", "-euo", "pipefail", "-c", session],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout


def _after(mark: str, text: str = README) -> str:
    """The part of a document that follows `<!-- mark -->`, up to the next heading."""
    part = text.partition(f"<!-- {mark} -->\n")[2]
    assert part, f"there is no mark {mark}"
    return part.partition("\n## ")[0]


def _default_of(parameter: Mapping[str, object]) -> str | None:
    return str(parameter["Default"]) if "Default" in parameter else None


def _shown(default: str | None) -> str:
    if default is None:
        return "required"
    return f"`{default}`" if default else "none"
