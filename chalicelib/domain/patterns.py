"""Patterns that select file paths and tags, as the filters of GitHub's workflows do.

`*` matches any characters within one part of a path, `**` matches across parts, and `!` at the
start excludes. The last pattern that matches a name decides about it. The source is GitHub's
"Workflow syntax for GitHub Actions", filter pattern cheat sheet. Its other special characters (`?`,
`+`, `[`, `]`, `\\`) are refused: as plain characters they would select other names than in a
workflow.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

from msgspec import Meta

from chalicelib.domain.fields import END, UNSAFE, Rule
from chalicelib.domain.regex import regex

_MAX_COUNT = 30
_MAX_LENGTH = 200

_TEXT = rf"[^*?+\[\]\\/{UNSAFE}]"
_STARS_BETWEEN = rf"{_TEXT}(?:\*?{_TEXT})*\*?"
# `**` is allowed only at the start of a part: so one regular expression matches in linear time.
_PART = rf"(?!\.\.?(?:/|$))(?:\*\*|(?:\*\*)?{_STARS_BETWEEN}|\*(?:{_STARS_BETWEEN})?)"
_PARTS = rf"{_PART}(?:/{_PART})*{END}"
_SPECIAL = regex(r"[?+\[\]\\]")


def selected_by(patterns: Sequence[str], name: str) -> str | None:
    """The pattern that selects `name`; None if the last match excludes it, or none matches.

    If all patterns exclude, or there is none, `**` selects all other names. The time is linear in
    the length of the name, whatever the patterns are.
    """
    in_order, regex = _compiled(tuple(patterns))
    match = regex.match(name)
    if match is None or match.lastindex is None:
        return None
    pattern = in_order[match.lastindex - 1]
    return None if pattern.startswith("!") else pattern


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """The patterns, the deciding one first, and a regular expression with a group for each."""
    selects_rest = all(pattern.startswith("!") for pattern in patterns)
    in_order = (*reversed(patterns), *(["**"] if selects_rest else []))
    groups = (f"({_regex(pattern.removeprefix('!'))})" for pattern in in_order)
    return in_order, re.compile("|".join(groups), re.DOTALL)


def _regex(pattern: str) -> str:
    """A regular expression for whole names.

    The parts between two `**` match at the first place where they can, and an atomic group keeps
    that place. A later place could not help, because `**` matches whatever follows. The same holds
    for `*` within a part. So no part of a name is tried in more than one way.
    """
    first, *rest = _between_double_stars(pattern)
    if not rest:
        return rf"{_joined(first)}\Z"
    regex = "".join(f"{_part_regex(part)}/" for part in first)
    anywhere = "(?:[^/]*+/)*?"
    for parts in rest[:-1]:
        regex += f"(?>{anywhere}{''.join(f'{_part_regex(part)}/' for part in parts)})"
    return regex + (rf"(?>{anywhere}{_joined(rest[-1])}\Z)" if rest[-1] else ".+")


def _between_double_stars(pattern: str) -> list[list[str]]:
    """The parts of a pattern, as a list for each section between two `**`."""
    sections: list[list[str]] = [[]]
    for part in pattern.split("/"):
        if part.startswith("**"):
            sections.append([])
            part = part.removeprefix("*") if part != "**" else ""  # `**.js` means `**/*.js`
        if part:
            sections[-1].append(part)
    return sections


def _joined(parts: Sequence[str]) -> str:
    return "/".join(map(_part_regex, parts))


def _part_regex(part: str) -> str:
    first, *rest = (re.escape(text) for text in part.split("*"))
    if not rest:
        return first
    middle = "".join(f"(?>[^/]*?{text})" for text in rest[:-1])
    return first + middle + (f"(?>[^/]*?{rest[-1]}(?![^/]))" if rest[-1] else "[^/]*+")


def _explain(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return "this must be a list of patterns, such as docs/** or v*"
    if len(value) > _MAX_COUNT:
        return f"at most {_MAX_COUNT} patterns are allowed"
    return next(filter(None, map(_why_not, value)), "this must be a list of other patterns")


def _why_not(pattern: Any) -> str:
    """Why a pattern is refused; empty if it is allowed."""
    if not isinstance(pattern, str) or not pattern.removeprefix("!"):
        return "each pattern must be a text that is not empty"
    if len(pattern) > _MAX_LENGTH:
        return f"a pattern must have at most {_MAX_LENGTH} characters"
    if re.search(f"[{UNSAFE}]", pattern):
        return "a pattern must have no control characters"
    special = _SPECIAL.search(pattern)
    if special:
        return f"{pattern}: {special[0]} has no meaning here; write * for any characters"
    if pattern.endswith("/"):
        return f"{pattern}: write {pattern}** for all files in a directory"
    if pattern.removeprefix("!").startswith(("/", "./", "!")):
        return f"{pattern}: begin with the first part of the path, without / or ./ before it"
    if pattern.removeprefix("!").startswith("refs/"):
        return f"{pattern}: write the name of a tag without refs/tags/ before it"
    if _ALLOWED.search(pattern):
        return ""
    if "**" in pattern:
        return f"{pattern}: write ** only at the start of a part, as in a/**/b"
    return f"{pattern}: no part of a path may be empty, . or .."


_RULES = (
    f"At most {_MAX_COUNT} patterns. * matches within a part of the path, ** across parts, and ! "
    "at the start excludes. The last pattern that matches decides. A list that only excludes "
    "selects everything else"
)
_PATH_PATTERN = rf"^!?(?!!){_PARTS}"
_ALLOWED = regex(_PATH_PATTERN)

PathPattern = Annotated[
    str,
    Meta(
        pattern=_PATH_PATTERN,
        max_length=_MAX_LENGTH,
        extra_json_schema={"format": "path-pattern"},
    ),
]
TagPattern = Annotated[
    str,
    Meta(
        pattern=rf"^!?(?!!|refs/){_PARTS}",
        max_length=_MAX_LENGTH,
        extra_json_schema={"format": "tag-pattern"},
    ),
]
Paths = Annotated[
    tuple[PathPattern, ...],
    Meta(
        max_length=_MAX_COUNT,
        description=(
            "patterns of file paths: a push to the branch is built only if it changes a file that "
            f"they select. Empty: every push is built. {_RULES}"
        ),
    ),
    Rule(explain=_explain),
]
Tags = Annotated[
    tuple[TagPattern, ...],
    Meta(
        max_length=_MAX_COUNT,
        description=(
            "patterns of tags, such as v*: a push of a tag that they select is built, as a push to "
            f"the branch is. Empty: no tag is built. {_RULES}"
        ),
    ),
    Rule(explain=_explain),
]
Branches = Annotated[
    tuple[TagPattern, ...],
    Meta(
        max_length=_MAX_COUNT,
        description=(
            "patterns of branches, such as release/**: only builds of branches that they select, "
            f"and their deployments, are told. Empty: those of all branches. {_RULES}"
        ),
    ),
    Rule(explain=_explain),
]
