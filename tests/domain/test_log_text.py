"""Build output is shown without control sequences and secrets."""

import base64
import re
import time
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import log_text
from chalicelib.domain.log_text import MASK
from chalicelib.domain.masking import PART, SHORTEST, mask_known


def clean_lines(lines: Iterable[str]) -> list[str]:
    return log_text.clean_lines(lines, SECRETS)


def clean(line: str) -> str:
    (shown,) = clean_lines([line])
    return shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("#5 [2/3] RUN make\r\n", "#5 [2/3] RUN make"),
        ("\x1b[1;31merror:\x1b[0m no", "error: no"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07", "x"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1b]0;never ends", ""),
        ("\x1bc\x1b(Bx", "x"),
        ("10%\r50%\r100%\n", "100%"),
        ("tab\tstays, bell\a goes", "tab\tstays, bell goes"),
        ("if a\u202eb", "if ab"),
        ("\u200fa\u200eb\u061cc\u2066d", "abcd"),
        ("one\u2028two\u2029three", "onetwothree"),
        ("half \ud800 a character", "half  a character"),
        ("join\u200der stays, accents\u0301 too", "join\u200der stays, accents\u0301 too"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
        ("token ghp_" + "a" * 36, "token ***"),
        ("token github_pat_" + "a" * 30, "token ***"),
        ("slw_" + "a" * 43 + "0Ab12z", "***"),
        ("key ASIAIOSFODNN7EXAMPLE", "key ***"),
        (
            "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPx",
            "export AWS_SECRET_ACCESS_KEY=***",
        ),
        ('"SecretAccessKey": "wJalr"', '"SecretAccessKey": "wJalr"'),
        ('"aws_session_token": "IQoJb3Jp", 1', '"aws_session_token": "***", 1'),
        ("glpat-" + "a" * 20 + ".01.1a2b3c4d5", "***"),
        ("token=glrt-t1_" + "A-b_c" * 5, "token=***"),
        ("xoxb-123456789012-abcdefABCDEF", "***"),
        ("xapp-1-A012-345-abcdef", "***"),
        ("https://hooks.slack.com/services/T0/B0/abcdef", "https://hooks.slack.com/services/***"),
        ("npm_" + "a1B2" * 9, "***"),
        ("//registry.npmjs.org/:_authToken=abc-def", "//registry.npmjs.org/:_authToken=***"),
        ("pypi-AgEIcHlwaS5vcmc" + "x" * 40, "***"),
        ("dckr_pat_" + "a-B_" * 6, "***"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig-na_ture!", "jwt ***!"),
        ("> Authorization: Basic dXNlcjpwYXNz", "> Authorization: Basic ***"),
        ("'authorization': 'Bearer abc'", "'authorization': 'Bearer ***'"),
        ("Authorization: " + "k" * 20, "Authorization: ***"),
        ("authorization: none needed", "authorization: none needed"),
        ("PRIVATE-TOKEN: abcdef", "PRIVATE-TOKEN: ***"),
        ("sent bearer " + "x" * 16, "sent bearer ***"),
        ("a bearer of news", "a bearer of news"),
        ("k=-----BEGIN RSA PRIVATE KEY-----\\nMII\\n-----END RSA PRIVATE KEY-----;", "k=***;"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIE", "***"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        ("eyJust a word.eyJ", "eyJust a word.eyJ"),
        ("sha256:" + "0a" * 32, "sha256:" + "0a" * 32),
        ("https://user:hunter2@github.com/a", "https://***@github.com/a"),
        ("https://github.com/a:b@c", "https://github.com/a:b@c"),
    ],
)
def test_a_line_is_shown_without_control_sequences_and_secrets(line: str, shown: str) -> None:
    assert clean(line) == shown


@given(st.text(alphabet=st.sampled_from("\x1b[]0;mHx\x07\\\r\n\x9b ")))
def test_no_escape_character_remains_in_any_line(line: str) -> None:
    assert not set(clean(line)) & {"\x1b", "\x9b", "\r", "\n", "\x07"}


# Known secrets, in every form and with line breaks at any position.

SECRETS = [
    "q8Zr0TnW4xKe7LhB2sVd9GpY",
    "It's a Secret/to+Everybody?",
    "p\u00e4ssw\u00f6rd-mit-\u20ac",
    "hunter2!",
]


def escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def b64(before: int, encode: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda secret: encode(b"x" * before + secret.encode() + b"tail").decode()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda secret: quote(secret, safe=""),
    "percent, slashes kept": quote,
    "percent, in small letters": lambda secret: re.sub(
        "%..", lambda escape: escape[0].lower(), quote(secret, safe="")
    ),
    "a web form": quote_plus,
    "every byte escaped": escaped,
    **{f"base64 after {n}": b64(n, base64.b64encode) for n in range(3)},
    **{f"base64url after {n}": b64(n, base64.urlsafe_b64encode) for n in range(3)},
    "base64 escaped": lambda secret: quote(base64.b64encode(secret.encode()).decode(), safe=""),
}


def core(form: str, secret: str, text: str) -> str:
    """The part of `text` that depends only on the secret. The rest may be shown."""
    if not form.startswith("base64"):
        return text
    before = int(form[-1]) if form[-1].isdigit() else 0
    start = (before * 8 + 5) // 6
    return text[start : (before + len(secret.encode())) * 8 // 6]


def pieces(text: str) -> set[str]:
    """All parts of a text that must be hidden."""
    return {text[at : at + PART] for at in range(len(text) - PART + 1)}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_hidden_in_every_form(form: str, secret: str) -> None:
    text = FORMS[form](secret)
    inner = core(form, secret, text)
    shown = clean(f"before {text} after")
    assert MASK in shown
    assert inner not in shown
    assert not pieces(inner) & pieces(shown)
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@given(
    secret=st.sampled_from(SECRETS),
    form=st.sampled_from(sorted(FORMS)),
    cuts=st.sets(st.integers(0, 100), max_size=6),
    pages=st.sets(st.integers(0, 8), max_size=4),
    numbered=st.booleans(),
)
def test_a_known_secret_is_hidden_with_any_split_into_lines_and_pages(
    secret: str, form: str, cuts: set[int], pages: set[int], numbered: bool
) -> None:
    text = FORMS[form](secret)
    inner = core(form, secret, text)
    whole = f"before {text} after"
    begins = whole.index(inner)
    at = sorted({begins + cut % (len(inner) + 1) for cut in cuts})
    bounds = list(zip([0, *at], [*at, len(whole)], strict=True))
    ends = sorted({page for page in pages if 0 < page < len(bounds)})
    for first, last in zip([0, *ends], [*ends, len(bounds)], strict=True):
        lines = [
            f"#7 0.{number} {whole[a:b]}" if numbered and number else whole[a:b]
            for number, (a, b) in enumerate(bounds[first:last], first)
        ]
        shown = clean_lines(lines)
        assert len(shown) == len(lines)
        start, end = bounds[first][0], bounds[last - 1][1]
        here = whole[max(start, begins) : min(end, begins + len(inner))]
        # Less than PART characters may be shown. An escape of three characters counts as one, and
        # two digits of another escape may be at each end of the page.
        if len(here) >= (3 * PART + 4 if "%" in text else PART):
            lined = "".join(re.sub(r"^#7 0\.\d ", "", line) for line in shown)
            assert not pieces(here) & pieces(lined), (lines, shown)


@given(
    st.lists(st.text(alphabet="abcdefgh XYZ.:-_0123/=<>()\u00fc\u65e5", max_size=80), max_size=20)
)
def test_a_text_without_secrets_is_not_changed(lines: list[str]) -> None:
    shown = mask_known(lines, ["~q8Zr0TnW4xKe7LhB2sVd9GpY~"], MASK)
    assert shown == lines


@given(st.lists(st.text(max_size=40), max_size=10))
def test_the_number_of_lines_does_not_change(lines: list[str]) -> None:
    assert len(clean_lines(lines)) == len(lines)


def test_a_secret_of_less_than_six_characters_is_not_hidden() -> None:
    assert mask_known(["the cat sat"], ["cat"], MASK) == ["the cat sat"]
    assert len("cat") < SHORTEST


def test_two_secrets_that_overlap_are_both_hidden() -> None:
    assert mask_known(["x abcdefghij y"], ["abcdefg", "defghij"], MASK) == ["x *** y"]


# Private keys of several lines.

BODY = base64.b64encode(bytes(range(256)) * 3).decode()
KEY = [
    "-----BEGIN RSA PRIVATE KEY-----",
    *(BODY[at : at + 64] for at in range(0, 300, 64)),
    "c2hvcnQ=",
    "-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("prefix", ["", "#12 0.345 ", "   "])
@pytest.mark.parametrize("cut", range(len(KEY) - 1))
def test_a_private_key_is_hidden_with_a_page_break_at_any_line(cut: int, prefix: str) -> None:
    lines = ["before", *(prefix + line for line in KEY), "after"]
    shown = clean_lines(lines[:cut]) + clean_lines(lines[cut:])
    assert len(shown) == len(lines)
    assert not [line for line in shown if any(part in line for part in KEY[1:-2])]
    assert (shown[0], shown[-1]) == ("before", "after")


def test_lines_of_other_steps_between_the_lines_of_a_key_are_shown() -> None:
    lines = [KEY[0], KEY[1], "#5 building the rest", KEY[2], KEY[-1], "done"]
    shown = clean_lines(lines)
    assert shown[1:] == ["***", "#5 building the rest", "***", KEY[-1], "done"]


def test_digests_are_shown() -> None:
    digests = ["0123456789abcdef" * 4, "ABCDEF0123456789" * 4]
    assert clean_lines(digests) == digests


def test_a_text_of_lines_becomes_one_line_without_secrets() -> None:
    text = f"Error:\r\n  no {SECRETS[0]}\n\x1b[31mred"
    assert log_text.clean_text(text, SECRETS) == "Error:   no *** red"
    assert log_text.clean_text("", SECRETS) == ""


@pytest.mark.parametrize(
    "piece",
    [
        "\x1b]", "\x1b[0;", "\x1b", "\r", "://a:", "eyJ", "eyJ-", "eyJaaaaaaaa.", ".glpat-",
        "xoxb-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "authorization: ", "bearer ",
        "ghp_", "_auth=", "AKIA", "slw_", "%", "%4", "%41", "a", "A1", "= ", "_password ",
        "#1 0.1 ", "q8Zr", SECRETS[0], SECRETS[0][:-1], SECRETS[1][:9],
    ],
)  # fmt: skip
def test_hostile_text_of_256_kib_is_cleaned_within_two_seconds(piece: str) -> None:
    """CloudWatch's pages have at most 1 MB. This is a quarter, as one line and as many lines."""
    size = 256 * 1024
    long = piece * (size // len(piece))
    for lines in ([long], [piece] * (size // 32)):
        began = time.process_time()
        clean_lines(lines)
        assert time.process_time() - began < 2


def test_a_guess_of_a_few_characters_is_not_hidden() -> None:
    """A build that prints guesses must not see from the masks which one is right."""
    secret = "k3J9x0QmZ7tB2vLw8RdY5nHc"
    for size in range(1, 16):
        for at in range(len(secret) - size + 1):
            guess = secret[at : at + size]
            assert mask_known([guess], (secret,), "***") == [guess]


def test_a_text_that_was_shown_before_is_cleaned_again_when_a_secret_becomes_known() -> None:
    text = "deployed with q8Zr0TnW4xKe7LhB2sVd9GpY"
    assert log_text.clean_text(text, ()) == text
    assert log_text.clean_text(text, ("q8Zr0TnW4xKe7LhB2sVd9GpY",)) == f"deployed with {MASK}"
