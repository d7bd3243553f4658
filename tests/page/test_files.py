"""The dashboard's files as they are served: headers, caching, size, and vendored libraries."""

import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chalice.test import Client

from chalicelib.api.page import dashboard
from tests.support.client import Answer, Api

HERE = Path(dashboard.__file__).parent
OWN = sorted((HERE / "static").iterdir())
VENDORED = json.loads((HERE / "vendor" / "vendor.json").read_text())
LIMIT = 150 * 1024


def get(client: Client, path: str, **headers: str | None) -> Answer:
    return Api(client, "none").get(path, headers={"Authorization": None, **headers})


@pytest.fixture
def page(client: Client) -> Answer:
    return get(client, "/")


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in {"script", "style"}:
            self.inline += data.strip()

    def assets(self) -> list[str]:
        named = [about.get("src") or about.get("href") or "" for _, about in self.found]
        return [name for name in named if name and not name.startswith("data:")]


def first_load(client: Client, page: Answer) -> dict[str, str]:
    """Each file that the browser loads before the home view is complete, by its name."""
    waiting = [name.rpartition("/")[2] for name in Elements(page.text).assets()]
    found: dict[str, str] = {}
    version = dashboard._version()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = get(client, f"/assets/{version}/{name}").text
            waiting += re.findall(r'from\s?"\./([\w.]+)"', found[name])
            waiting += [each for each in ("uplot.js", "uplot.css") if f"./{each}" in found[name]]
    return found


def test_the_page_runs_only_scripts_and_styles_of_this_api(page: Answer) -> None:
    policy = dict(
        part.split(" ", 1) for part in page.headers["content-security-policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_the_page_has_no_inline_script_style_or_handler(page: Answer) -> None:
    elements = Elements(page.text)
    assert elements.inline == ""
    for _, about in elements.found:
        assert not [name for name in about if name == "style" or name.startswith("on")]


def test_the_page_names_its_files_relative_to_itself(page: Answer) -> None:
    assets = Elements(page.text).assets()
    assert len(assets) > 5
    # API Gateway serves the page below a stage's name.
    assert [name for name in assets if not name.startswith("assets/")] == []


@pytest.mark.parametrize(
    "path", [path for path in OWN if path.suffix == ".js"], ids=lambda p: p.name
)
def test_no_script_makes_html_of_text_or_asks_for_a_path_of_the_host(path: Path) -> None:
    text = path.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|dangerously|\beval\(|new Function", text
    )
    assert not re.search(r"""[`"']/(v1|assets|docs)\b""", text)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_line_is_longer_than_those_of_the_rest_of_the_code(path: Path) -> None:
    if path.name != "index.html":  # its icon is one address
        assert [line for line in path.read_text().splitlines() if len(line) > 100] == []


def test_a_file_under_the_present_version_is_kept_for_good(client: Client, page: Answer) -> None:
    path = next(name for name in Elements(page.text).assets() if name.endswith("app.js"))
    answer = get(client, f"/{path}")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


def test_a_file_under_another_version_is_not_kept(client: Client) -> None:
    answer = get(client, "/assets/0123456789abcdef/app.js")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "private, no-cache"


def test_the_page_itself_is_asked_for_again_and_then_costs_no_body(
    client: Client, page: Answer
) -> None:
    assert page.headers["cache-control"] == "private, no-cache"
    again = get(client, "/", **{"If-None-Match": page.headers["etag"]})
    assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize("name", ["index.html", "vendor.json", "LICENSE.preact", "..", "x.js"])
def test_only_scripts_and_styles_are_served(client: Client, name: str) -> None:
    assert get(client, f"/assets/{dashboard._version()}/{name}").status == 404


@pytest.mark.parametrize("version", ["x", "0" * 15, "0" * 300, "ABCDEF0123456789"])
def test_a_version_that_no_page_names_is_404(client: Client, version: str) -> None:
    assert get(client, f"/assets/{version}/app.js").status == 404


def test_another_content_has_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dashboard._version()
    files = dict(dashboard._files())
    monkeypatch.setattr(dashboard, "_files", lambda: {**files, "app.js": files["app.js"] + " "})
    assert dashboard._version.__wrapped__() != before


def test_the_first_load_is_small(client: Client, page: Answer) -> None:
    files = first_load(client, page)
    assert {"app.js", "home.js", "preact.mjs", "uplot.js", "app.css"} <= set(files)
    texts = [page.text, *files.values()]
    sizes = [len(gzip.compress(text.encode())) for text in texts]
    assert sum(sizes) < LIMIT


def test_each_module_imports_only_files_that_are_served() -> None:
    files = dashboard._files()
    for name, text in files.items():
        for wanted in re.findall(r'(?:from\s?|import\()"(\./[^"]+)"', text):
            assert wanted.removeprefix("./") in files, f"{name} imports {wanted}"


@pytest.mark.parametrize("package", VENDORED, ids=lambda each: each["package"])
def test_a_vendored_library_is_the_published_one(package: dict[str, object]) -> None:
    files = package["files"]
    assert isinstance(files, list)
    for file in files:
        content = (HERE / "vendor" / file["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file["sha256"], file["name"]
    assert [each for each in files if each["name"].startswith("LICENSE")]
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", str(package["integrity"]))


def test_the_list_of_vendored_files_is_complete() -> None:
    listed = {file["name"] for package in VENDORED for file in package["files"]}
    assert {path.name for path in (HERE / "vendor").iterdir()} == listed | {"vendor.json"}
