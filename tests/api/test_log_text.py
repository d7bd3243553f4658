"""What a reader of a build's output is spared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.logtext import clean


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
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
        ("token ghp_" + "a" * 36, "token ***"),
        ("token github_pat_" + "a" * 30, "token ***"),
        ("slw_" + "a" * 43 + "0Ab12z", "***"),
        ("https://user:hunter2@github.com/a", "https://***@github.com/a"),
        ("https://github.com/a:b@c", "https://github.com/a:b@c"),
    ],
)
def test_a_line_is_shown_without_control_sequences_and_secrets(line: str, shown: str) -> None:
    assert clean(line) == shown


@given(st.text(alphabet=st.sampled_from("\x1b[]0;mHx\x07\\\r\n\x9b ")))
def test_no_escape_is_left_of_any_line(line: str) -> None:
    assert not set(clean(line)) & {"\x1b", "\x9b", "\r", "\n", "\x07"}
