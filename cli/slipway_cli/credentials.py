"""Where the address and the token come from: the environment, else the keyring, else a file.

The token of an address is never used with another one.
"""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway_cli.address import read_address
from slipway_cli.errors import Failed, NoAccess, WrongUsage

_SERVICE = "slipway"


@dataclass(frozen=True)
class Login:
    """An address of Slipway and the token for it."""

    url: str
    token: str = field(repr=False)


def load(environment: Mapping[str, str], *, insecure_http: bool) -> Login:
    """The login to use. SLIPWAY_URL and SLIPWAY_TOKEN win over what `save` has kept: with both,
    nothing of the home directory is read.

    Raises NoAccess if there is none.
    """
    given, token = environment.get("SLIPWAY_URL"), environment.get("SLIPWAY_TOKEN")
    stored = {} if given and token else _read(_file(environment))
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
    """Keep a login instead of the former one. Returns where the tokens are, in words.

    Raises Failed if the file cannot be written.
    """
    path = _file(environment)
    former = _former(path)
    content: dict[str, Any] = {"url": login.url, "insecure_http": insecure_http}
    in_keyring = _put_in_keyring(login)
    if not in_keyring:
        content["token"] = login.token
    try:
        _write(path, content)
    except OSError as error:
        if in_keyring:
            _delete_from_keyring(login.url)
        raise _not_written(path, error) from error
    where = "this system's keyring" if in_keyring else f"{path}, which only you can read"
    if former.get("url") == login.url or _forget_token(former):
        return where
    return f"{where}. The keyring still has the token for {former['url']}: delete that entry there"


def forget(environment: Mapping[str, str]) -> str | None:
    """Delete the kept login. Returns its address; None if there was none.

    Raises Failed if a part of it stays. Then the file stays, too, so that this can be repeated.
    """
    path = _file(environment)
    former = _former(path)
    if not _forget_token(former):
        raise Failed(
            f"The keyring still has the token for {former['url']}. Unlock it, then: slipway "
            f"logout. Or delete {path} and the entry in the keyring yourself.",
            code="token_kept",
        )
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(path, error) from error
    return former.get("url")


def _former(path: Path) -> dict[str, Any]:
    """The kept login before it is replaced or deleted; empty if there is none or it is broken."""
    try:
        content = _read(path, guard=False)
    except NoAccess:
        return {}
    return content if isinstance(content.get("url"), str) else {}


def _forget_token(former: Mapping[str, Any]) -> bool:
    """Whether the keyring does not keep a login's token: it had none, or it is deleted now."""
    return not former or _delete_from_keyring(former["url"]) or "token" in former


def _not_written(path: Path, error: OSError) -> Failed:
    return Failed(
        f"{path} cannot be changed: {error.strerror}. Set XDG_CONFIG_HOME to a directory of "
        "yours, or use SLIPWAY_URL and SLIPWAY_TOKEN instead of a login.",
        code="bad_file",
    )


def _file(environment: Mapping[str, str]) -> Path:
    """XDG Base Directory Specification: relative paths in the variable are ignored.

    Raises NoAccess if this user has no home directory.
    """
    base = Path(environment.get("XDG_CONFIG_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path(environment.get("HOME") or Path.home()) / ".config"
        except RuntimeError as error:
            raise NoAccess(
                "This user has no home directory: set SLIPWAY_URL and SLIPWAY_TOKEN, or HOME.",
                code="no_home",
            ) from error
    return base / "slipway" / "login.json"


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


def _delete_from_keyring(url: str) -> bool:
    """Whether the keyring has no token for the address now. One that fails may have it."""
    try:
        import keyring

        if keyring.get_password(_SERVICE, url) is not None:
            keyring.delete_password(_SERVICE, url)
        return keyring.get_password(_SERVICE, url) is None
    except Exception:
        return False
