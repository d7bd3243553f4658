"""The dashboard at the API's root: one HTML file, and the modules and styles that it loads.

The files are read at the first request for the page, because the other routes do not need them.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from chalice.app import Request

from chalicelib.api.http.answers import Reply
from chalicelib.api.http.endpoints import Documented, Routes
from chalicelib.domain.regex import regex
from chalicelib.errors import NotFound

routes = Routes(__name__)

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript"}

# No inline script and no inline style: text of builds and commits cannot become code. `data:` is
# the icon. Only this API is called.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_IS_VERSION = regex(r"[0-9a-f]{16}", re.ASCII)
# A vendored module names another one as npm does. Browsers need a path, and an import map would be
# an inline script.
_IMPORTS = (('from"preact"', 'from"./preact.mjs"'),)


@routes.endpoint(
    "GET", "/", role=None, is_tagged=True, documented=Documented(media_types=("text/html",))
)
def get_page(_request: Request) -> Reply:
    """Get the dashboard as an HTML page."""
    # The page names its files by their version, so browsers ask for the page each time.
    text = (_HERE / "static" / "index.html").read_text().replace("{version}", _version())
    return Reply(text, media_type="text/html; charset=utf-8", headers=_HEADERS)


@routes.endpoint(
    "GET",
    "/assets/{version}/{name}",
    role=None,
    is_tagged=True,
    documented=Documented(media_types=("text/css", "text/javascript"), errors=(404,)),
)
def get_asset(_request: Request, version: str, name: str) -> Reply:
    """Get a file of the dashboard. Under the present version it may be kept for good."""
    text = _files().get(name)
    if text is None or not _IS_VERSION.fullmatch(version):
        raise NotFound("the dashboard has no such file; reload the page")
    media_type = f"{_TYPES[Path(name).suffix]}; charset=utf-8"
    # A page that was open during a deployment asks for the version before. A cache must not keep
    # the present files under that name.
    if version == _version():
        keep = (("Cache-Control", "public, max-age=31536000, immutable"),)
        return Reply(text, media_type=media_type, headers=keep)
    return Reply(text, media_type=media_type)


@cache
def _version() -> str:
    """A hash of all files of the dashboard."""
    content = "\0".join(f"{name}\0{text}" for name, text in sorted(_files().items()))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def _files() -> Mapping[str, str]:
    """The text of each file that the page may load, by its name."""
    found = {
        path.name: path.read_text()
        for folder in ("static", "vendor")
        for path in sorted((_HERE / folder).iterdir())
        if path.suffix in _TYPES
    }
    for bare, path in _IMPORTS:
        found = {name: text.replace(bare, path) for name, text in found.items()}
    return found
