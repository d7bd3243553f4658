"""The page at /docs: the OpenAPI document as one HTML file without scripts."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from chalicelib.api.http.parameters import MAX_ID

_STYLE = (Path(__file__).parent / "style.css").read_text()
_METHODS = ("get", "post", "patch", "delete")


def page(document: Mapping[str, Any]) -> str:
    """The document as an HTML page."""
    return "".join(_Page(document).parts()) + "\n"


class _Page:
    """Renders one document; references are resolved in the document itself."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def parts(self) -> Iterator[str]:
        info = self._document["info"]
        yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        yield '<meta name="color-scheme" content="light dark">\n'
        yield f"<title>{escape(info['title'])} API</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        yield '<body>\n<nav aria-label="Routes">\n'
        yield from self._navigation()
        yield '</nav>\n<main>\n<header id="top">\n'
        yield f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>\n"
        yield f'<p class="lead">{escape(info["summary"])}</p>\n'
        yield from (f"<p>{_prose(text)}</p>\n" for text in info["description"].split("\n\n"))
        yield '<p>For programs: <a href="v1/openapi.json">v1/openapi.json</a>, OpenAPI '
        yield f"{escape(self._document['openapi'])}.</p>\n"
        yield "<p>The examples read the API's address and your token from the environment:</p>\n"
        yield _code("export API=https://…/api\nexport TOKEN=slw_…")
        yield "</header>\n"
        for tag in self._document["tags"]:
            yield f'<h2 id="{escape(tag["name"])}">{escape(tag["name"].capitalize())}</h2>\n'
            yield f"<p>{_prose(tag['description'])}</p>\n"
            for method, path, operation in self._operations(tag["name"]):
                yield from self._operation(method, path, operation)
        yield from self._errors()
        yield "</main>\n</body>\n</html>"

    def _operations(self, group: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for path, operations in self._document["paths"].items():
            for method in _METHODS:
                if method in operations and group in operations[method]["tags"]:
                    yield method, path, operations[method]

    def _navigation(self) -> Iterator[str]:
        yield '<a class="home" href="#top">Slipway API</a>\n<ul>\n'
        for tag in self._document["tags"]:
            name = escape(tag["name"])
            yield f'<li><a href="#{name}">{name.capitalize()}</a>\n<ul>\n'
            for method, _, operation in self._operations(tag["name"]):
                summary = escape(re.split(r"[.:;,](?:\s|$)", operation["summary"])[0])
                yield f'<li><a href="#{escape(operation["operationId"])}">'
                yield f'<span class="m {method}">{method}</span> {summary}</a></li>\n'
            yield "</ul></li>\n"
        yield '<li><a href="#errors">Errors</a></li>\n</ul>\n'

    def _operation(self, method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
        name = escape(operation["operationId"])
        yield f'<section id="{name}">\n'
        yield f'<h3><a href="#{name}"><span class="m {method}">{method.upper()}</span> '
        yield f"<code>{_breakable(path)}</code></a></h3>\n<p>{_prose(operation['summary'])}</p>\n"
        public = operation.get("security") == []
        note = operation.get("description", "Public: needs no token." if public else "")
        if note:
            yield f'<p class="role">{_prose(note)}</p>\n'
        parameters = [self._resolved(each) for each in operation.get("parameters", [])]
        yield from self._parameters(parameters)
        yield from self._body(operation)
        yield from self._responses(operation)
        yield from self._examples(method, path, operation, parameters)
        yield "</section>\n"

    def _parameters(self, parameters: list[Mapping[str, Any]]) -> Iterator[str]:
        rows = [
            (
                f"<code>{escape(each['name'])}</code>",
                escape(each["in"]) + (", required" if each.get("required") else ""),
                self._kind(each["schema"]),
                _prose(each.get("description", "")),
            )
            for each in parameters
        ]
        yield from _table("Parameters", ("Name", "In", "Type", "Meaning"), rows)

    def _body(self, operation: Mapping[str, Any]) -> Iterator[str]:
        if "requestBody" not in operation:
            return
        body = operation["requestBody"]
        schema = self._resolved(body["content"]["application/json"]["schema"])
        optional = "" if body["required"] else ", optional"
        yield f"<h4>Body <small>JSON{optional}</small></h4>\n"
        meaning = body.get("description", schema.get("description", ""))
        yield f"<p>{_prose(meaning)}</p>\n" if meaning else ""
        yield from self._fields(schema)

    def _fields(self, schema: Mapping[str, Any]) -> Iterator[str]:
        required = schema.get("required", [])
        rows = []
        fields = schema.get("properties", {}).items()
        for name, field in sorted(fields, key=lambda each: each[0] not in required):
            notes = [_sentence(_prose(self._meaning(field)))]
            if "default" in field:
                notes.append(f"Default <code>{escape(json.dumps(field['default']))}</code>.")
            mark = "" if name in required else ' <span class="optional">optional</span>'
            rows.append((f"<code>{escape(name)}</code>{mark}", self._kind(field), " ".join(notes)))
        yield from _table("", ("Field", "Type", "Meaning"), rows)

    def _responses(self, operation: Mapping[str, Any]) -> Iterator[str]:
        yield "<h4>Responses</h4>\n"
        errors = []
        for status, response in operation["responses"].items():
            if "$ref" in response:
                errors.append(f'<a href="#error-{status}">{status}</a>')
                continue
            headers = [name for name in response["headers"] if name != "X-Request-Id"]
            yield f'<p><b class="status">{status}</b> {_prose(response["description"])}'
            shown = [f"<code>{escape(name)}</code>" for name in headers]
            yield f" Headers: {', '.join(shown)}." if shown else ""
            yield "</p>\n"
            yield from self._contents(response.get("content", {}))
        yield f"<p>Errors: {', '.join(errors)}.</p>\n"

    def _contents(self, content: Mapping[str, Any]) -> Iterator[str]:
        for media_type, each in content.items():
            schema = self._resolved(each["schema"])
            if "properties" not in schema:
                yield f"<p><code>{escape(media_type)}</code></p>\n"
                continue
            title = f"<b>{self._kind(each['schema'])}</b> {_prose(schema.get('description', ''))}"
            yield f"<details><summary>{title}</summary>\n"
            yield from self._fields(schema)
            for item in self._inner(schema):
                yield f"<p><b>{self._kind(item)}</b> {_prose(self._meaning(item))}</p>\n"
                yield from self._fields(self._resolved(item))
            yield "</details>\n"

    def _inner(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The schemas of objects inside the fields of a schema, also inside lists."""
        for field in schema["properties"].values():
            for each in [field, field.get("items", {}), *field.get("anyOf", [])]:
                if "$ref" in each and "properties" in self._resolved(each):
                    yield each

    def _examples(
        self,
        method: str,
        path: str,
        operation: Mapping[str, Any],
        parameters: Iterable[Mapping[str, Any]],
    ) -> Iterator[str]:
        for each in parameters:
            if each["in"] == "path":
                path = path.replace("{" + each["name"] + "}", str(each["example"]))
        yield "<h4>Example</h4>\n"
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if not content:
            yield _code(_curl(method, path, operation, None))
        for example in content.get("examples", {}).values():
            yield f"<p>{_prose(example['summary'])}</p>\n"
            yield _code(_curl(method, path, operation, example["value"]))

    def _errors(self) -> Iterator[str]:
        yield '<h2 id="errors">Errors</h2>\n'
        problem = self._document["components"]["schemas"]["Problem"]
        yield "<p>Every error is <code>application/problem+json</code>. "
        yield f"{_prose(problem['description'])}</p>\n"
        yield from self._fields(problem)
        rows = []
        for status, response in self._document["components"]["responses"].items():
            headers = [name for name in response["headers"] if name != "X-Request-Id"]
            named = ", ".join(f"<code>{escape(name)}</code>" for name in headers)
            anchor = f'<b class="status" id="error-{status}">{status}</b>'
            rows.append((anchor, _prose(response["description"]), named))
        yield from _table("", ("Status", "Meaning", "Headers"), rows)

    def _kind(self, schema: Mapping[str, Any]) -> str:
        """The type of a value, in a few words."""
        if "$ref" in schema:
            target = self._resolved(schema)
            return self._kind(target) if "enum" in target else escape(_name(schema))
        if "anyOf" in schema:
            return " or ".join(self._kind(each) for each in schema["anyOf"])
        if "enum" in schema:
            return "one of " + " ".join(f"<code>{escape(str(e))}</code>" for e in schema["enum"])
        kind = str(schema.get("type", "any value"))
        if kind == "array":
            return f"list of {self._kind(schema.get('items', {}))}"
        bounds = [str(schema[name]) for name in ("minimum", "maximum") if name in schema]
        limits = (
            f" {' to '.join(bounds)}" if len(bounds) == 2 and schema["maximum"] < MAX_ID else ""
        )
        if "maxLength" in schema:
            limits = f" up to {schema['maxLength']} characters"
        return escape(kind + limits)

    def _meaning(self, schema: Mapping[str, Any]) -> str:
        for each in [schema, *schema.get("anyOf", [])]:
            if found := each.get("description", self._resolved(each).get("description")):
                return str(found)
        return ""

    def _resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in part:
            return part
        found: Any = self._document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        resolved: Mapping[str, Any] = found
        return resolved


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _curl(method: str, path: str, operation: Mapping[str, Any], body: Any) -> str:
    lines = [f"curl -sS $API{path}"]
    if method not in {"get", "post"} or (method == "post" and body is None):
        lines[0] = f"curl -sS -X {method.upper()} $API{path}"
    if operation["operationId"] == "receive_github":
        signed = json.dumps(body, separators=(",", ":"))
        return "\n".join(
            [
                "# SECRET is the secret of the webhook.",
                f"body={_quoted(signed)}",
                'signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$SECRET" -r)',
                f"{lines[0]} \\",
                "  -H 'Content-Type: application/json' \\",
                "  -H 'X-GitHub-Event: push' \\",
                "  -H 'X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958' \\",
                '  -H "X-Hub-Signature-256: sha256=${signature%% *}" \\',
                '  -d "$body"',
            ]
        )
    if operation.get("security") != []:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if body is not None:
        lines.append("-H 'Content-Type: application/json'")
        text = json.dumps(body, ensure_ascii=False)
        if len(text) > 60:
            text = json.dumps(body, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        lines.append(f"-d {_quoted(text)}")
    return " \\\n  ".join(lines)


def _quoted(text: str) -> str:
    """Quoted for a shell. The quotes of `shlex.quote` are hard to read."""
    return "'" + text.replace("'", "'\\''") + "'"


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "…")) else f"{text}."


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>\n"


def _prose(text: str) -> str:
    """Text as HTML, in which `backticks` mark code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))


def _breakable(path: str) -> str:
    return escape(path).replace("/", "<wbr>/")


def _table(title: str, heads: Iterable[str], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    if title:
        yield f"<h4>{title}</h4>\n"
    heads = list(heads)
    yield '<div class="wide"><table>\n<thead><tr>'
    yield "".join(f"<th>{head}</th>" for head in heads) + "</tr></thead>\n<tbody>\n"
    for row in rows:
        cells = zip(heads, row, strict=True)
        yield "<tr>" + "".join(f'<td data-h="{h}">{cell}</td>' for h, cell in cells) + "</tr>\n"
    yield "</tbody></table></div>\n"
