"""Where a command prints: results on stdout, words and progress on stderr.

With --json stdout has only JSON. Colours and bars appear only on a terminal (rich reads NO_COLOR).
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from slipway_cli.text import clean, one_line

if TYPE_CHECKING:
    from rich.progress import Progress

# The width where stdout is no terminal: lines stay whole for grep.
_WIDE = 1000
# Below this width a table of services breaks its lines.
_TABLE = 150
_NARROW = 80
# Below this width the table of a history would break its words.
_HISTORY = 60
# COLUMNS below this width is a mistake, such as the 0 of a pseudo-terminal without a size.
_USABLE = 20


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.answered = False  # whether stdout has JSON
        for stream in (sys.stdout, sys.stderr):
            # Never fail at a character that the terminal's encoding lacks.
            getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @property
    def is_narrow(self) -> bool:
        """Whether a table would not fit."""
        return self.out.width < _TABLE

    @property
    def is_too_narrow_for_history(self) -> bool:
        """Whether the table of a history would not fit."""
        return self.out.width < _HISTORY

    def show(self, *parts: RenderableType) -> None:
        """Print a result for people; nothing with --json."""
        for part in () if self.as_json else parts:
            self.out.print(part)

    def document(self, value: Any) -> None:
        """Print the JSON document of a result; nothing without --json."""
        if self.as_json:
            self.answered = True
            sys.stdout.write(json.dumps(value) + "\n")
            sys.stdout.flush()

    def lines(self, lines: list[dict[str, Any]], *, as_events: bool) -> None:
        """Print lines of a log. With --json each is one event."""
        if as_events:
            shown = (json.dumps(each) for each in lines)
        else:
            shown = (clean(each["message"]) for each in lines)
        sys.stdout.write("".join(f"{line}\n" for line in shown))
        sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """Print words about the work on stderr. A full disk or a lost reader does not end it."""
        with contextlib.suppress(OSError):
            self.err.print(Text(clean(text), style), soft_wrap=True)

    def say_parts(self, *parts: RenderableType) -> None:
        """Print more than words on stderr."""
        with contextlib.suppress(OSError):
            for part in parts:
                self.err.print(part)

    @contextmanager
    def progress(self, name: str) -> Iterator["Shown"]:
        """Show the progress of a job: a bar on a terminal that can, else a line for each change."""
        if not self.err.is_terminal or self.err.is_dumb_terminal:
            yield Shown(self, name, None)
            return
        # Only a terminal needs this import of 20 ms.
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        bar = BarColumn(bar_width=10 if self.err.width < _NARROW else 30)
        columns = (TextColumn("{task.description}", markup=False), bar, TaskProgressColumn())
        with Progress(*columns, console=self.err, transient=True, refresh_per_second=4) as made:
            yield Shown(self, name, made)


class Shown:
    """The progress of one job on stderr."""

    def __init__(self, output: Output, name: str, bar: "Progress | None") -> None:
        self._output = output
        self._name = name
        self._bar = bar
        self._task = None if bar is None else bar.add_task(name, total=100)
        self._last = ""

    def update(self, step: str, words: str, percent: int) -> None:
        """Show what the job does now. Without a terminal, only another `step` makes a line."""
        if self._bar is not None and self._task is not None:
            is_narrow = self._output.err.width < _NARROW
            width = max(self._output.err.width - (22 if is_narrow else 42), 12)
            shown = one_line(f"{self._name} {words}", width)
            self._bar.update(self._task, description=shown, completed=percent)
        elif step != self._last:
            self._output.say(f"{self._name}: {words}")
        self._last = step


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError again. Rich would end the command, also for a lost stderr."""
        raise


def _console(stream: TextIO) -> Console:
    """A console for a stream. FORCE_COLOR and similar variables make no terminal of a pipe: bars
    would garble a log.
    """
    is_terminal = stream.isatty()
    return _Console(
        file=stream,
        width=_width(stream, is_terminal=is_terminal),
        force_terminal=is_terminal,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _width(stream: TextIO, *, is_terminal: bool) -> int | None:
    """The width of lines; None if rich asks the terminal. Rich prints nothing into 0 columns."""
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal():
        return None if is_terminal else _WIDE
    if int(columns) >= _USABLE:
        return int(columns)
    seen = os.get_terminal_size(stream.fileno()).columns if is_terminal else _WIDE
    return max(seen, _USABLE)
