"""The steps of BuildKit in its plain output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.buildkit_steps import count, is_pushing, read_stages

OUTPUT = """\
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 32B done
#5 [builder 1/3] FROM docker.io/library/golang:1.22@sha256:0f
#6 [stage-1 1/2] FROM docker.io/library/alpine:3.20@sha256:1e
#7 [builder 2/3] COPY . .
#7 CACHED
#8 [builder 3/3] RUN make
#8 0.312 #9 [builder 900/999] RUN fake
#8 DONE 3.2s
""".splitlines()


def test_steps_of_all_stages_are_counted() -> None:
    stages = read_stages(OUTPUT, {})
    assert stages == {"builder": (3, 3), "stage-1": (1, 2)}
    assert count(stages) == (4, 5)


@pytest.mark.parametrize(
    ("line", "stages"),
    [
        ("#5 [1/2] FROM alpine", {"": (1, 2)}),
        ("#5 [linux/arm64 builder 2/4] RUN make", {"linux/arm64 builder": (2, 4)}),
        ("#5 [linux/arm64 2/4] RUN make", {"linux/arm64": (2, 4)}),
        ("#5 [auth] sharing credentials", {}),
        ("#5 [3/2] RUN false", {}),
        ("#5 [0/2] RUN false", {}),
        ("5 [1/2] FROM alpine", {}),
        ("#5 0.1 [1/2] FROM alpine", {}),
        ("#5 [" + "x" * 5000 + " 1/2] FROM alpine", {}),
    ],
)
def test_only_the_begin_of_a_step_counts(line: str, stages: dict[str, tuple[int, int]]) -> None:
    assert read_stages([line], {}) == stages


def test_a_later_part_of_the_output_adds_to_what_is_known() -> None:
    assert read_stages(OUTPUT[6:], read_stages(OUTPUT[:6], {})) == read_stages(OUTPUT, {})
    assert read_stages(OUTPUT[:5], {"builder": (3, 3)})["builder"] == (3, 3)


@pytest.mark.parametrize(
    ("line", "pushes"),
    [
        ("#15 exporting to image", True),
        ("#15 pushing layers 1.2s done", True),
        ("#15 pushing manifest for shop:1", True),
        ("#15 0.1 pushing layers", False),
        ("pushing layers", False),
    ],
)
def test_the_push_of_the_image_is_seen(line: str, pushes: bool) -> None:
    assert is_pushing([line]) is pushes


@given(st.lists(st.text()))
def test_any_output_has_steps_within_bounds(lines: list[str]) -> None:
    begun, total = count(read_stages([f"#1 [{line}] RUN" for line in lines], {}))
    assert 0 <= begun <= total


def test_an_output_with_very_many_stages_is_bounded() -> None:
    assert len(read_stages((f"#1 [s{n} 1/2] RUN" for n in range(10_000)), {})) == 50
