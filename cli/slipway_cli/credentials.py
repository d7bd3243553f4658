"""Where the address and the token come from: the environment, else the keyring, else a file.

The token of an address is never used with another one.
"""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway_cli.address import read_address
from slipway_cli.errors import NoAccess, WrongUsage

_SERVICE = "slipway"


@dataclass(frozen=True)
class Login:
    """An address of Slipway and the token for it."""

    url: str
    token: str = field(repr=False)


def load(environment: Mapping[str, str], *, insecure_http: bool) -> Login:
    """The login to use. SLIPWAY_URL and SLIPWAY_TOKEN win over what `save` has kept.

    Raises NoAccess if there is none.
    """
    stored = _read(_file(environment))
    given, token = environment.get("SLIPWAY_URL"), environment.get("SLIPWAY_TOKEN")
    named = given or stored.get("url")
    if not named:
        raise NoAccess("Not logged in: slipway login URL", code="not_logged_in")
    kept = stored.get("url") if isinstance(stored.get("url"), str) else None
    is_allowed = insecure_http or (named == kept and stored.get("insecure_http") is True)
    url = read_address(str(named), insecure_http=is_allowed)
    if not token and url == kept:
        token = stored.get("token") or _in_keyring(url)
    if not token:
        raise NoAccess(f"No token for {url}: slipway login {url}", code="not_logged_in")
    return Login(url, read_token(token))


def read_token(text: str) -> str:
    """A token that can be sent in a header; raises WrongUsage."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise WrongUsage("A token is one word that begins with slw_", code="wrong_token")
    return token


def save(login: Login, environment: Mapping[str, str], *, insecure_http: bool) -> str:
    """Keep a login. Returns where the token is, in words."""
    path = _file(environment)
    content: dict[str, Any] = {"url": login.url, "insecure_http": insecure_http}
    in_keyring = _put_in_keyring(login)
    if not in_keyring:
        content["token"] = login.token
    _write(path, content)
    return "this system's keyring" if in_keyring else f"{path}, which only you can read"


def forget(environment: Mapping[str, str]) -> str | None:
    """Delete the kept login. Returns its address; None if there was none."""
    path = _file(environment)
    url = None
    with contextlib.suppress(NoAccess):
        url = _read(path, guard=False).get("url")
    if isinstance(url, str):
        _delete_from_keyring(url)
    path.unlink(missing_ok=True)
    return url


def _file(environment: Mapping[str, str]) -> Path:
    """XDG Base Directory Specification: relative paths in the variable are ignored."""
    base = Path(environment.get("XDG_CONFIG_HOME", ""))
    home = Path(environment.get("HOME") or Path.home())
    return (base if base.is_absolute() else home / ".config") / "slipway" / "login.json"


def _read(path: Path, *, guard: bool = True) -> dict[str, Any]:
    """The kept login; empty if there is none. With `guard` other users must not be able to read it.

    Raises NoAccess.
    """
    try:
        with path.open() as file:
            others = os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            content = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NoAccess(f"{path} cannot be read: {error}. Log in again.", code="bad_file") from error
    if guard and others and os.name == "posix":
        raise NoAccess(f"Other users can read {path}: chmod 600 {path}", code="readable_file")
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once. `mkstemp` makes it with mode 600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(number, "w") as file:
            json.dump(content, file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# The package `keyring` is optional, and its backends fail in many ways. Without it, or if it fails,
# the file is used.


def _in_keyring(url: str) -> str | None:
    try:
        import keyring

        token = keyring.get_password(_SERVICE, url)
        return token if isinstance(token, str) else None
    except Exception:
        return None


def _put_in_keyring(login: Login) -> bool:
    """Whether the keyring keeps the token: some backends accept a password and forget it."""
    try:
        import keyring

        keyring.set_password(_SERVICE, login.url, login.token)
        return bool(keyring.get_password(_SERVICE, login.url) == login.token)
    except Exception:
        return False


def _delete_from_keyring(url: str) -> None:
    with contextlib.suppress(Exception):
        import keyring

        keyring.delete_password(_SERVICE, url)
