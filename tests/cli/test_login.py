"""Where the address and the token are kept, and which ones are used."""

import io
import os
import stat
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from slipway_cli import credentials
from slipway_cli.credentials import Login
from slipway_cli.errors import NoAccess, WrongUsage

from tests.cli.conftest import Slipway
from tests.support.scripted_api import ScriptedApi, problem

URL = "https://slipway.example.com/api"
CALLER = {
    "token_id": 3,
    "name": "ada",
    "role": "deployer",
    "project_id": None,
    "service_id": None,
    "expires_at": None,
}


class Keyring(types.ModuleType):
    """A keyring that may be locked (raises) or forgetful, as some backends are."""

    def __init__(self, how: str) -> None:
        super().__init__("keyring")
        self.how = how
        self.kept: dict[tuple[str, str], str] = {}

    def _check(self) -> None:
        if self.how == "locked":
            raise RuntimeError("locked")

    def set_password(self, service: str, user: str, password: str) -> None:
        self._check()
        if self.how == "works":
            self.kept[service, user] = password

    def get_password(self, service: str, user: str) -> str | None:
        self._check()
        return self.kept.get((service, user))

    def delete_password(self, service: str, user: str) -> None:
        self._check()
        del self.kept[service, user]


@pytest.fixture(params=["works", "locked", "forgets", "missing"])
def keyring(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    how = request.param
    monkeypatch.setitem(sys.modules, "keyring", None if how == "missing" else Keyring(how))
    return how


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setitem(sys.modules, "keyring", None)
    return {"XDG_CONFIG_HOME": str(home), "HOME": str(home)}


def _file(home: Path) -> Path:
    return home / "slipway" / "login.json"


def test_a_login_is_kept_in_a_keyring_that_works_else_in_a_file(home: Path, keyring: str) -> None:
    environment = {"XDG_CONFIG_HOME": str(home)}
    where = credentials.save(Login(URL, "slw_a"), environment, insecure_http=False)
    assert credentials.load(environment, insecure_http=False) == Login(URL, "slw_a")
    assert ("slw_a" in _file(home).read_text()) == (keyring != "works")
    assert ("keyring" in where) == (keyring == "works")
    assert stat.S_IMODE(_file(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(_file(home).parent.stat().st_mode) == 0o700
    assert credentials.forget(environment) == URL
    with pytest.raises(NoAccess, match="Not logged in"):
        credentials.load(environment, insecure_http=False)
    with pytest.raises(NoAccess, match="No token"):
        credentials.load({**environment, "SLIPWAY_URL": URL}, insecure_http=False)


def test_the_environment_wins(environment: dict[str, str]) -> None:
    credentials.save(Login(URL, "slw_kept"), environment, insecure_http=False)
    given = {**environment, "SLIPWAY_TOKEN": "slw_given"}
    assert credentials.load(given, insecure_http=False) == Login(URL, "slw_given")
    given["SLIPWAY_URL"] = "https://other.example.com/"
    assert credentials.load(given, insecure_http=False).url == "https://other.example.com"


def test_with_both_variables_the_home_directory_does_not_matter(
    home: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"SLIPWAY_URL": URL, "SLIPWAY_TOKEN": "slw_given"}
    credentials.save(Login(URL, "slw_kept"), environment, insecure_http=False)
    os.chmod(_file(home), 0o644)
    assert credentials.load({**environment, **given}, insecure_http=False).token == "slw_given"
    _file(home).write_text("{")
    assert credentials.load({**environment, **given}, insecure_http=False).token == "slw_given"
    monkeypatch.setattr(Path, "home", _no_home)
    assert credentials.load(given, insecure_http=False) == Login(URL, "slw_given")


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_user_without_a_home_directory_learns_what_to_set(
    slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "SLIPWAY_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "home", _no_home)
    for command in (["services"], ["logout"]):
        done = slipway(*command)
        assert done.exit_code == 3
        assert done.err == (
            "This user has no home directory: set SLIPWAY_URL and SLIPWAY_TOKEN, or HOME.\n"
        )


@pytest.mark.parametrize("how", ["works", "missing"])
def test_a_login_that_cannot_be_written_is_not_kept_anywhere(
    api: ScriptedApi, slipway: Slipway, home: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    keyring = Keyring(how)
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    (home / "slipway").write_text("a file where the directory must be")
    monkeypatch.setattr(sys, "stdin", io.StringIO("slw_of-ada\n"))
    api.on("GET /v1/whoami", CALLER)
    done = slipway("login", api.url)
    assert (done.exit_code, done.out) == (1, "")
    assert "login.json cannot be changed: " in done.err
    assert "Set XDG_CONFIG_HOME to a directory of yours" in done.err
    assert keyring.kept == {}


def test_a_logout_that_leaves_the_token_in_the_keyring_fails(
    slipway: Slipway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring("works")
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    credentials.save(Login(URL, "slw_a"), os.environ, insecure_http=False)
    keyring.how = "locked"
    done = slipway("logout")
    assert done.exit_code == 1
    assert f"The keyring still has the token for {URL}" in done.err
    keyring.how = "works"
    assert slipway("logout").err == f"Logged out of {URL}.\n"
    assert keyring.kept == {}


def test_a_second_login_deletes_the_token_of_the_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring("works")
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    environment = {"XDG_CONFIG_HOME": str(home)}
    other = "https://other.example.com"
    for login in (Login(URL, "slw_a"), Login(other, "slw_b"), Login(other, "slw_c")):
        credentials.save(login, environment, insecure_http=False)
    assert keyring.kept == {("slipway", other): "slw_c"}
    keyring.how = "locked"
    where = credentials.save(Login(URL, "slw_d"), environment, insecure_http=False)
    assert f"The keyring still has the token for {other}" in where


def test_a_login_names_the_variables_that_win(
    api: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("slw_of-ada\n"))
    api.on("GET /v1/whoami", CALLER)
    assert "SLIPWAY_TOKEN is set and wins over this login" in slipway("login").err
    monkeypatch.setenv("SLIPWAY_URL", URL)
    monkeypatch.setenv("SLIPWAY_TOKEN", "slw_of-ada")
    monkeypatch.setattr(sys, "stdin", io.StringIO("slw_of-ada\n"))
    shown = slipway("login", api.url).err
    assert "SLIPWAY_URL is set and wins over this login" in shown
    assert "SLIPWAY_TOKEN" not in shown


def test_a_kept_token_is_not_sent_to_another_address(environment: dict[str, str]) -> None:
    credentials.save(Login(URL, "slw_kept"), environment, insecure_http=False)
    other = {**environment, "SLIPWAY_URL": "https://other.example.com"}
    with pytest.raises(NoAccess, match="No token for https://other"):
        credentials.load(other, insecure_http=False)


def test_a_file_that_others_can_read_is_refused(home: Path, environment: dict[str, str]) -> None:
    credentials.save(Login(URL, "slw_a"), environment, insecure_http=False)
    os.chmod(_file(home), 0o640)
    with pytest.raises(NoAccess, match="chmod 600"):
        credentials.load(environment, insecure_http=False)
    assert credentials.forget(environment) == URL


def test_a_broken_file_is_named(home: Path, environment: dict[str, str]) -> None:
    _file(home).parent.mkdir()
    _file(home).write_text("{")
    with pytest.raises(NoAccess, match=r"login\.json cannot be read"):
        credentials.load(environment, insecure_http=False)
    assert credentials.forget(environment) is None
    assert not _file(home).exists()


def test_consent_to_http_is_kept_with_the_login(environment: dict[str, str]) -> None:
    url = "http://10.0.0.1:8080"
    credentials.save(Login(url, "slw_a"), environment, insecure_http=True)
    assert credentials.load(environment, insecure_http=False).url == url
    other = {**environment, "SLIPWAY_URL": "http://10.0.0.2", "SLIPWAY_TOKEN": "slw_a"}
    with pytest.raises(WrongUsage, match="--insecure-http"):
        credentials.load(other, insecure_http=False)


@pytest.mark.parametrize("token", ["", "  ", "slw_a b", "slw_a\r\nX-Header: 1", "slw_ä"])
def test_a_token_that_is_no_single_word_is_refused(token: str) -> None:
    with pytest.raises(WrongUsage):
        credentials.read_token(token)


def test_login_checks_the_token_and_never_prints_it(
    api: ScriptedApi, slipway: Slipway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.delenv("SLIPWAY_TOKEN")
    monkeypatch.delenv("SLIPWAY_URL")
    monkeypatch.setattr(sys, "stdin", io.StringIO("slw_of-ada\n"))
    api.on("GET /v1/whoami", CALLER)
    done = slipway("login", api.url)
    assert done.exit_code == 0
    assert done.out == f"Logged in to {api.url} as ada, deployer, all projects.\n"
    assert "slw_of-ada" not in done.out + done.err
    assert slipway("whoami").exit_code == 0
    assert {each.headers["Authorization"] for each in api.received} == {"Bearer slw_of-ada"}
    assert slipway("logout").exit_code == 0
    assert slipway("whoami").exit_code == 3


def test_login_says_when_the_token_expires(
    api: ScriptedApi, slipway: Slipway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("slw_of-ada\n"))
    api.on("GET /v1/whoami", {**CALLER, "expires_at": "2027-02-20T00:00:00Z"})
    assert "It expires at 2027-02-20T00:00:00Z." in slipway("login", api.url).err
    assert "2027-02-20T00:00:00Z" in slipway("whoami").out


def test_a_refused_token_is_not_kept(
    api: ScriptedApi, slipway: Slipway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("slw_old\n"))
    api.on("GET /v1/whoami", problem(401, "unauthorized", "the token has expired"))
    done = slipway("login", api.url)
    assert done.exit_code == 3
    assert "has expired" in done.err
    assert not _file(home).exists()
