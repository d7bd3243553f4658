"""Channels as people read them. Pure functions of the API's answers, as in `views`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway_cli.text import ago, one_line, shell_word
from slipway_cli.views import BAD, DIM, GOOD, WARN, facts


def state(row: Mapping[str, Any]) -> Text:
    """Whether a channel works. One that nothing was told and nobody tested is not known to."""
    if row["off_since"]:
        return Text(f"off for {_age(row['off_since'])}", BAD)
    if row["failing_since"]:
        return Text(f"failing for {_age(row['failing_since'])}", WARN)
    return Text("works", GOOD) if row["tested_at"] else Text("not tested", DIM)


def _age(time: object) -> str:
    return ago(time).removesuffix(" ago")


def scope(row: Mapping[str, Any], projects: Mapping[int, str], services: Mapping[int, str]) -> str:
    """What a channel is told of."""
    service, project = row["service_id"], row["project_id"]
    if service is not None:
        return services.get(service, f"service {service}")
    if project is not None:
        return one_line(f"project {projects.get(project, project)}")
    return "all projects"


def table(found: Sequence[Mapping[str, Any]], scopes: Mapping[int, str]) -> Table:
    """All channels in a line each."""
    made = Table(box=None, pad_edge=False, header_style=DIM)
    for title in ("CHANNEL", "KIND", "NAME", "TOLD OF", "STATE", "TESTED"):
        made.add_column(title, overflow="fold", no_wrap=title in {"CHANNEL", "KIND", "TESTED"})
    for row in found:
        now = state(row)
        if row["trouble"]:
            now.append(f": {one_line(row['trouble'], 80)}")
        made.add_row(
            Text(str(row["id"]), "bold"),
            Text(one_line(row["kind"])),
            Text(one_line(row["name"])),
            Text(scopes[row["id"]]),
            now,
            Text(ago(row["tested_at"]) or "never"),
        )
    return made


def details(row: Mapping[str, Any], told_of: str) -> Table:
    """One channel."""
    rows: list[tuple[str, Text | str]] = [
        ("Channel", Text(f"{row['id']}: {one_line(row['name'])}", "bold")),
        ("Kind", row["kind"]),
        ("Told of", told_of),
        ("Events", ", ".join(row["events"]) or "the usual ones of its kind"),
        ("Branches", ", ".join(row["branches"]) or "all"),
        *((name.title(), row[name]) for name in ("secret", "target") if row[name]),
        ("State", state(row)),
        *([("Trouble", Text(one_line(row["trouble"]), BAD))] if row["trouble"] else []),
        ("Tested", ago(row["tested_at"]) or "never"),
        ("Created", f"{ago(row['created_at'])} by {row['created_by']}"),
    ]
    return facts(rows)


def kinds(found: Mapping[str, Any], options: Sequence[str]) -> Iterator[Text | Padding]:
    """What each kind receives and needs, and the commands that create both."""
    for each in found["items"]:
        yield Text.assemble((one_line(each["kind"]), "bold"), f" gets {one_line(each['receives'])}")
        for line in _steps(each, options):
            yield Padding(Text(line), (0, 0, 0, 2), expand=False)
    yield Text(
        "Before a command with value.txt, write what the kind needs into it. Delete it after."
    )
    usual = ", ".join(found["usual_events"])
    other = ", ".join(each for each in found["events"] if each not in found["usual_events"])
    yield Text(f"Usual events: {one_line(usual)}")
    yield Text(f"Other events: {one_line(other)}")


def _steps(kind: Mapping[str, Any], options: Sequence[str]) -> Iterator[str]:
    if kind["without"]:
        yield f"It needs nothing, and uses {one_line(kind['without'])}:"
        yield f"  {_create(kind, options)}"
    yield f"{'Or it' if kind['without'] else 'It'} needs {one_line(kind['needs'])}:"
    yield f"  {one_line(kind['command'])}"
    yield f"  {_create(kind, options)} {_place(kind)}"


def how_to_create(kind: Mapping[str, Any], options: Sequence[str]) -> Iterator[Text]:
    """How to create what a channel needs, and then the channel."""
    is_secret = kind["field"] == "secret"
    needs = one_line(kind["needs"])
    if is_secret:
        yield Text(f"Write this into the file value.txt: {needs}. Then run:")
    else:
        yield Text(f"It needs {needs}. Run:")
    yield Text(f"  {one_line(kind['command'])}", "bold")
    yield Text("Delete the file, and run:" if is_secret else "Then run:")
    yield Text(f"  {_create(kind, options)} {_place(kind)}", "bold")


def _create(kind: Mapping[str, Any], options: Sequence[str]) -> str:
    words = ["slipway channels create", one_line(kind["kind"]), *map(shell_word, options)]
    return " ".join(words)


def _place(kind: Mapping[str, Any]) -> str:
    return f"--{one_line(kind['field'])} {_word(kind['example'])}"


def _word(example: object) -> str:
    return shell_word(one_line(example))


def good_test(row: Mapping[str, Any], *, was_off: bool) -> Iterator[Text]:
    """The result of a test that succeeded."""
    name = f"channel {row['id']}, {one_line(row['name'])}"
    if row["kind"] == "github":
        yield Text(f"GitHub answered for {name}.", GOOD)
        if row["secret"]:
            yield Text("Whether the token may write statuses is seen at the next one.")
    else:
        yield Text(f"The receiver of {name} has taken a test message.", GOOD)
    if was_off:
        yield Text("The channel was off, and is on again.")


def failed_test(row: Mapping[str, Any]) -> Iterator[Text]:
    """The result of a test that failed."""
    name = f"channel {row['id']}, {one_line(row['name'])}"
    yield Text(f"The test of {name} failed: {one_line(row['trouble'])}", BAD)


def mend(row: Mapping[str, Any], kind: Mapping[str, Any]) -> Iterator[Text]:
    """What to check if a channel does not work."""
    secret = one_line(row["secret"] or "").partition(":")[2]
    if secret:
        yield Text(f"Next step: The secret {secret} must be {one_line(kind['needs'])}.", WARN)
        # AWS refuses to create a secret that exists, and to change one that does not.
        if row["secret"] in row["trouble"]:
            yield Text(f"To create it: {_aws('create-secret --name', secret)}")
        yield Text(f"To replace it: {_aws('put-secret-value --secret-id', secret)}")
    elif row["target"]:
        target = one_line(row["target"])
        yield Text(f"Next step: {target} must be {one_line(kind['needs'])}.", WARN)
    yield Text(f"Then: slipway channels test {row['id']}")


def _aws(verb: str, secret: str) -> str:
    return f"aws secretsmanager {verb} {_word(secret)} --secret-string file://value.txt"
