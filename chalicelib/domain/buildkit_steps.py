"""How far BuildKit is in a build, from its plain output.

BuildKit writes `#12 [builder 4/9] RUN make` when it begins step 4 of 9 of the stage `builder`, with
the platform before the stage if there are several, and without a name if there is one stage only.
Output of a command has the seconds after the number (`#12 0.312 …`), so that it is never taken for
a step. Source: the progress display of BuildKit, util/progress/progressui.
"""

from collections.abc import Iterable, Mapping

from chalicelib.domain.regex import regex

# Steps by stage: the newest one that began, and their number.
Stages = Mapping[str, tuple[int, int]]

_STEP = regex(r"#[0-9]{1,9} \[(?P<stage>[^]]{0,100}?) ?(?P<step>[0-9]{1,3})/(?P<of>[0-9]{1,3})\]")
_PUSHES = regex(r"#[0-9]{1,9} (?:exporting to image|pushing (?:layers|manifest))")
_MOST_STAGES = 50


def read_stages(lines: Iterable[str], known: Stages) -> dict[str, tuple[int, int]]:
    """The stages of a part of the output, together with those that are known from other parts."""
    stages = dict(known)
    for line in lines:
        found = _STEP.match(line)
        if found is None:
            continue
        name, step, of = found["stage"], int(found["step"]), int(found["of"])
        is_room = name in stages or len(stages) < _MOST_STAGES
        if 1 <= step <= of and is_room:
            before, _ = stages.get(name, (0, of))
            stages[name] = (min(max(before, step), of), of)
    return stages


def is_pushing(lines: Iterable[str]) -> bool:
    """Whether the output shows that BuildKit pushes the image."""
    return any(_PUSHES.match(line) for line in lines)


def count(stages: Stages) -> tuple[int, int]:
    """How many steps have begun, and how many there are, in all stages."""
    return sum(step for step, _ in stages.values()), sum(of for _, of in stages.values())
