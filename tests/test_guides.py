"""The guides agree with the code: alarms, limits, rights, the picture, links inside pages."""

import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from cfnlint.decode import decode

from chalicelib.api import services
from chalicelib.api.http import bodies, parameters
from chalicelib.api.webhooks import MAX_BYTES as LARGEST_DELIVERY
from chalicelib.domain import build_args, config, credentials, failures, patterns, release_commands
from chalicelib.domain.rollouts import LONGEST
from chalicelib.domain.service_settings import ServiceSettings
from chalicelib.domain.tokens import DEFAULT_DAYS, MAX_DAYS
from chalicelib.pipeline.commands import followers, image_sources, rollbacks
from infra.alarms import alarms
from infra.functions import FUNCTIONS
from infra.package import ROOT

OPERATE = (ROOT / "docs/operate.md").read_text()
SECURITY = (ROOT / "docs/security.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PREFIX = "slipway-dev"


def test_the_runbook_has_a_section_for_each_alarm() -> None:
    template, _ = decode(str(ROOT / "infra/stack.yaml"))
    declared = {
        resource["Properties"]["AlarmName"]["Fn::Sub"].replace("${ResourcePrefix}", PREFIX)
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    declared |= {each["Properties"]["AlarmName"] for each in alarms(PREFIX).values()}
    part = OPERATE.partition("\n## Alarms\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^### (\S+)$", part, re.M)) == declared
    assert f"{len(declared)} alarms" in OPERATE


def test_the_table_of_limits_has_the_numbers_of_the_code() -> None:
    rows = dict(re.findall(r"^\| (.*) \| (.*) \|$", OPERATE.partition("<!-- limits -->")[2], re.M))
    numbers = {
        what: [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", limit)]
        for what, limit in rows.items()
    }
    fields = {
        name: _bounds(name)
        for name in ("queued_minutes", "build_minutes", "deploy_minutes", "release_command_minutes")
    }
    assert numbers["Services that follow one branch of a repository, or build its tags"] == [
        followers.MAX_FOLLOWERS
    ]
    assert numbers["Services of one repository"] == [followers.MAX_FOLLOWERS_OF_ALL_BRANCHES]
    assert numbers["Webhook secrets of the services of one repository"] == [followers.MAX_SECRETS]
    assert numbers["Services with `image_from` of one service"] == [image_sources.MAX_DEPENDENTS]
    assert numbers["Open builds of a service (`max_open_builds`)"] == _bounds("max_open_builds")
    assert numbers["Build arguments"] == [build_args._MAX_COUNT, build_args._MAX_BYTES // 1024]
    assert numbers["Build secrets of a service"] == [credentials._MAX_SECRETS]
    assert numbers["Copies in other registries"] == [credentials._MAX_COPIES]
    assert numbers["Names in `environment` and in `secrets` of a configuration"] == [
        config._MAX_NAMES,
        config._MAX_BYTES // 1024,
    ]
    assert numbers["Words and characters of a release command"] == [
        release_commands._MOST_WORDS,
        release_commands._MOST_CHARACTERS,
    ]
    assert numbers["Patterns in `paths` and in `tags`"] == [
        patterns._MAX_COUNT,
        patterns._MAX_LENGTH,
    ]
    assert numbers["Body of a request"] == [bodies.MAX_BYTES // 1024]
    assert numbers["Body of a delivery"] == [LARGEST_DELIVERY // 1024**2]
    assert numbers["Lines of a page of a log"] == [parameters._MOST_LINES]
    assert numbers["Last lines kept with a failure"] == [failures.TAIL_LINES, failures.LINE_LENGTH]
    assert numbers["Steps back that a rollback looks for a release to restore"] == [
        rollbacks._MAX_STEPS_BACK
    ]
    assert numbers["Life of a token"] == [1, MAX_DAYS, DEFAULT_DAYS]
    for name, bounds in fields.items():
        assert numbers[f"`{name}`"] == bounds, name
    assert LONGEST == 6
    assert "six times" in rows["`deploy_minutes`"]


def test_the_rights_name_the_settings_that_need_them() -> None:
    rows = [row for row in SECURITY.splitlines() if row.startswith("| Change ")]
    named = {frozenset(re.findall(r"`(\w+)`", row.partition(" | ")[0])) for row in rows}
    assert services._BINDINGS in named
    assert services._PROJECT_WIDE in named


def test_the_security_page_has_each_of_the_ten_risks() -> None:
    found = re.findall(r"^\| CICD-SEC-(\d+) ", SECURITY, re.M)
    assert found == [str(number) for number in range(1, 11)]


def test_the_picture_names_every_function() -> None:
    picture = ElementTree.parse(ROOT / "docs/images/architecture.svg")
    text = " ".join(picture.getroot().itertext())
    names = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in FUNCTIONS}
    assert {"on_wakeup", "on_cloud_event", "on_schedule"} < names
    for name in names - {"apihandler"} | {"api_handler"}:
        assert name in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        path = (page.parent / target) if target else page
        assert anchor in _anchors(path), f"{path.name} has no heading #{anchor}"


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _bounds(name: str) -> list[int]:
    """The least and the greatest value of a setting, and its default."""
    field = next(each for each in msgspec.structs.fields(ServiceSettings) if each.name == name)
    meta = field.type.__metadata__[0]
    return [meta.ge, meta.le, field.default]
