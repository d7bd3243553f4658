"""Patterns of paths and tags: their grammar, what they select, and that they cost little."""

import json
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.domain.patterns import Paths, Tags, selected_by
from chalicelib.errors import InvalidInput
from tests.support.fields import read

# From GitHub's "Workflow syntax for GitHub Actions", patterns to match file paths.
SELECTED = [
    ("*", "README.md"),
    ("**", "all/the/files.md"),
    ("*.js", "index.js"),
    ("**.js", "js/index.js"),
    ("**.js", "src/js/app.js"),
    ("**.js", "index.js"),
    ("docs/*", "docs/file.txt"),
    ("docs/**", "docs/mona/octocat.txt"),
    ("docs/**/*.md", "docs/README.md"),
    ("docs/**/*.md", "docs/mona/hello-world.md"),
    ("docs/**/*.md", "docs/a/markdown/file.md"),
    ("**/docs/**", "docs/hello.md"),
    ("**/docs/**", "dir/docs/my-file.txt"),
    ("**/docs/**", "space/docs/plan/space.doc"),
    ("**/README.md", "README.md"),
    ("**/README.md", "js/README.md"),
    ("**/*src/**", "a/src/app.js"),
    ("**/*src/**", "my-src/code/js/app.js"),
    ("**/*-post.md", "my-post.md"),
    ("**/*-post.md", "path/their-post.md"),
    ("**/migrate-*.sql", "db/sept/migrate-v1.sql"),
    ("v*", "v2"),
    ("v*", "v1.9.1"),
    ("releases/**", "releases/10/beta"),
    ("a/**/b", "a/b"),
    ("a*b*c", "aXbbYc"),
    ("a/**/b/**/b", "a/x/b/y/b/b"),
    ("it's (1) & more", "it's (1) & more"),
    ("*.md", "\u65e5\n\u672c.md"),
]
NOT_SELECTED = [
    ("*", "docs/README.md"),
    ("*.js", "js/index.js"),
    ("docs/*", "docs/mona/octocat.txt"),
    ("docs/**", "docs"),
    ("docs/**", "docs2/a"),
    ("docs/**", "a/docs/b"),
    ("**/docs", "docs/a"),
    ("**.js", "index.jsx"),
    ("v*", "rel/v1"),
    ("v*", "V1"),
    ("a*b", "a/b"),
    ("a.c", "abc"),
    ("a", "a\n"),
    ("ab", "a"),
    ("**/a*b/c", "ab/x/c"),
]


@pytest.mark.parametrize(("pattern", "name"), SELECTED)
def test_a_pattern_selects_the_names_that_it_matches(pattern: str, name: str) -> None:
    assert read(Paths, [pattern], "paths") == (pattern,)
    assert selected_by([pattern], name) == pattern
    assert selected_by([f"!{pattern}"], name) is None


@pytest.mark.parametrize(("pattern", "name"), NOT_SELECTED)
def test_a_pattern_matches_whole_names_only(pattern: str, name: str) -> None:
    assert selected_by([pattern], name) is None
    assert selected_by([f"!{pattern}"], name) == "**"


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        ([], "any/thing", "**"),
        (["*.md", "!README.md"], "hello.md", "*.md"),
        (["*.md", "!README.md"], "README.md", None),
        (["*.md", "!README.md"], "docs/hello.md", None),
        (["*.md", "!README.md", "README*"], "README.md", "README*"),
        (["!README.md", "*.md"], "README.md", "*.md"),
        (["src/**", "!src/*.md", "src/a.md"], "src/a.md", "src/a.md"),
        (["!docs/**", "!*.md"], "src/app.py", "**"),
        (["!docs/**", "!*.md"], "docs/a/b", None),
        (["a", "b", "a"], "a", "a"),
    ],
)
def test_the_last_pattern_that_matches_decides(
    patterns: list[str], name: str, expected: str | None
) -> None:
    assert selected_by(patterns, name) == expected


PATTERNS = st.from_regex(
    r"(\*\*/|\*?[ab]{0,2}\*?[ab]/|\*\*[ab]\*/){0,4}(\*\*|\*|\*{0,2}[ab]\*?[ab]?\*?)", fullmatch=True
).filter(lambda pattern: "a**" not in pattern and "b**" not in pattern)  # the API refuses these
NAMES = st.from_regex(r"([ab]{1,4}/){0,4}[ab]{1,4}", fullmatch=True)


def matches(pattern: str, name: str) -> bool:
    """The meaning of a pattern, by trying everything."""
    tokens = list(pattern.replace("**", "\0"))

    @cache
    def rest(at: int, of: int) -> bool:
        if at == len(tokens):
            return of == len(name)
        token = tokens[at]
        if token == "\0":
            at_start = of == 0 or name[of - 1] == "/"
            if at + 1 < len(tokens) and tokens[at + 1] == "/":  # `**/`: any number of parts
                ends = [of, *(k + 1 for k in range(of, len(name)) if name[k] == "/")]
                return at_start and any(rest(at + 2, end) for end in ends)
            return any(rest(at + 1, end) for end in range(of, len(name) + 1))
        if token == "*":
            ends = [k for k in range(of, len(name) + 1) if "/" not in name[of:k]]
            return any(rest(at + 1, end) for end in ends)
        return of < len(name) and name[of] == token and rest(at + 1, of + 1)

    return rest(0, 0)


@given(PATTERNS, NAMES)
@example("**a*b/**/b", "ab/aab/b/b")
@example("a/**/**/b", "a/b")
@example("*a*b", "aabab")
def test_a_pattern_means_what_it_says_for_any_name(pattern: str, name: str) -> None:
    assert (selected_by([pattern], name) is not None) is matches(pattern, name)


@given(st.lists(st.tuples(st.booleans(), PATTERNS), max_size=4), NAMES)
def test_lists_of_patterns_mean_the_same_in_any_combination(
    given_patterns: list[tuple[bool, str]], name: str
) -> None:
    patterns = [f"!{pattern}" if excludes else pattern for excludes, pattern in given_patterns]
    included = all(excludes for excludes, _ in given_patterns)
    for excludes, pattern in given_patterns:
        if matches(pattern, name):
            included = not excludes
    assert (selected_by(patterns, name) is not None) is included


HOSTILE = ["*a" * 90 + "b", "**/*a*a*a*a*b/*c", "a*/" * 60 + "**/b", "**/" * 60 + "b", "**a*b*c"]
MATCH = """
import json, sys
from chalicelib.domain.patterns import selected_by
for pattern in json.loads(sys.argv[1]):
    for name in ("a" * 100_000, "a/" * 50_000 + "a", "aab/" * 25_000 + "x"):
        assert selected_by([pattern], name) is None
"""


def test_hostile_patterns_are_matched_in_linear_time() -> None:
    """Backtracking over 100,000 characters would take longer than anyone can wait."""
    assert read(Paths, HOSTILE, "paths") == tuple(HOSTILE)
    # In a process of its own: a regular expression that backtracks cannot be interrupted.
    subprocess.run([sys.executable, "-c", MATCH, json.dumps(HOSTILE)], timeout=60, check=True)


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("docs/", "write docs/**"),
        ("/docs/**", "without / or ./"),
        ("./docs/**", "without / or ./"),
        ("!/docs/**", "without / or ./"),
        ("!!a", "without / or ./"),
        ("a?", "? has no meaning here; write *"),
        ("v[0-9]", "[ has no meaning here; write *"),
        ("a+", "+ has no meaning here; write *"),
        ("a\\*", "\\ has no meaning here; write *"),
        ("a**", "write ** only at the start of a part"),
        ("a**b/c", "write ** only at the start of a part"),
        ("***", "write ** only at the start of a part"),
        ("a//b", "no part of a path may be empty, . or .."),
        ("a/../b", "no part of a path may be empty, . or .."),
        ("a/.", "no part of a path may be empty, . or .."),
        ("", "not empty"),
        ("!", "not empty"),
        ("a\n", "control characters"),
        ("a\u202eb", "control characters"),
        ("\ud800", "control characters"),
        ("a" * 201, "at most 200 characters"),
        (5, "must be a text"),
        (None, "must be a text"),
    ],
)
def test_a_pattern_that_would_mean_something_else_is_refused_with_advice(
    pattern: object, advice: str
) -> None:
    for kind, field in ((Paths, "paths"), (Tags, "tags")):
        with pytest.raises(InvalidInput) as refused:
            read(kind, ["a", pattern], field)
        assert (refused.value.code, refused.value.field) == (f"invalid_{field}", field)
        assert advice in refused.value.detail


@pytest.mark.parametrize("value", [None, "src/**", {"a": "b"}, 5, ["a"] * 31])
def test_patterns_are_a_list_of_bounded_length(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(Paths, value, "paths")
    assert refused.value.code == "invalid_paths"
    assert read(Paths, ["a"] * 30, "paths") == ("a",) * 30


def test_a_tag_is_named_without_refs_tags() -> None:
    with pytest.raises(InvalidInput) as refused:
        read(Tags, ["refs/tags/v*"], "tags")
    assert "without refs/tags/" in refused.value.detail
    assert read(Paths, ["refs/tags/v*"], "paths") == ("refs/tags/v*",)
