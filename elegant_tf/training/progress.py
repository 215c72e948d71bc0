"""How a training goes, on the screen: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from elegant_tf.data.parallel import duration

if TYPE_CHECKING:
    from rich.console import RenderableType

Clock = Callable[[], float]

SHOWN = ("generator", "discriminator", "reconstruction")

# Seconds between plain lines: this share of the time since the first, within these limits.
_SHARE, _SHORTEST, _LONGEST = 0.3, 10.0, 600.0
_REFRESHES = 4  # of the bar, a second


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    `step` of `steps`; `share`: what is done, by steps or by time, whichever is further, 0 to 1; `end`: when it ends, in
    seconds of the clock, infinite if unknown; `losses` and `images_per_second`: since the last report; empty and NaN
    if there is nothing to report.
    """

    step: int
    steps: int
    share: float
    end: float
    losses: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float = math.nan

    @property
    def place(self) -> str:
        """The step, as `step 20/1200`."""
        return f"step {self.step}/{self.steps}"

    @property
    def measured(self) -> str:
        """The losses that matter most, and the speed."""
        numbers = [f"{name} {self.losses[name]:.4f}" for name in SHOWN if name in self.losses]
        if math.isfinite(self.images_per_second):
            numbers.append(f"{self.images_per_second:.0f} images/s")
        return "  ".join(numbers)

    def left(self, now: float) -> str:
        """The time left, as `0:02:41 left`; empty if it is unknown."""
        return f"{duration(max(self.end - now, 0.0))} left" if math.isfinite(self.end) else ""

    def line(self, now: float) -> str:
        """All of this in a line."""
        return "  ".join(filter(None, (self.place, self.measured, self.left(now))))


class Pace:
    """Estimates when a call of training ends: at its last step or at its deadline, whichever comes first.

    Speed is measured from the end of the first steps, which include the time that compiling takes.

    Args:
        start: the step at which the call begins.
        steps: the last step.
        deadline: when time is over, in seconds of the clock; infinite if nothing limits it.
        clock: tells the time in seconds.
    """

    def __init__(self, start: int, steps: int, deadline: float = math.inf, clock: Clock = time.monotonic) -> None:
        self._start, self._steps, self._deadline, self._clock = start, steps, deadline, clock
        self._began = clock()
        self._measured_from: tuple[int, float] | None = None

    def at(self, step: int) -> Progress:
        """Where the training is when it has just finished a step, or is about to begin at `start`."""
        now = self._clock()
        by_steps = step / max(self._steps, 1)
        by_time = (now - self._began) / max(self._deadline - self._began, 1e-9)
        return Progress(step, self._steps, min(max(by_steps, by_time), 1.0), self._end(step, now))

    def _end(self, step: int, now: float) -> float:
        if step >= self._steps:
            return now
        if step == self._start:
            return self._deadline
        if self._measured_from is None:
            self._measured_from = step, now
        first, then = self._measured_from
        if step == first:
            return self._deadline
        return min(now + (now - then) / (step - first) * (self._steps - step), self._deadline)


class Screen(Protocol):
    """Where progress is shown. Nothing here raises: a screen that goes away does not end a training."""

    def show(self, progress: Progress) -> None:
        """Shows where the training is."""

    def note(self, text: str, routine: bool = False) -> None:
        """Shows a line of text, unless it is routine and would fill the screen."""

    def close(self) -> None:
        """Ends what is shown."""


class Lines:
    """Prints reports at growing intervals: about a dozen lines in five minutes, six an hour later on."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = _Forgiving(stream), clock
        self._first: float | None = None
        self._due = -math.inf

    def show(self, progress: Progress) -> None:
        now = self._clock()
        if not progress.losses or (now < self._due and progress.step < progress.steps):
            return
        self._first = now if self._first is None else self._first
        self._due = now + min(max(_SHARE * (now - self._first), _SHORTEST), _LONGEST)
        self.note(progress.line(now))

    def note(self, text: str, routine: bool = False) -> None:
        if not routine:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        pass


class Bar:
    """Keeps a bar at the bottom of a terminal; notes, and what else is written to `sys.stderr`, appear above it."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        from rich.console import Console  # here, because it takes a tenth of a second
        from rich.live import Live

        self._clock = clock
        self._progress: Progress | None = None
        self._measured = ""
        self._console = Console(file=cast("TextIO", _Forgiving(stream)), force_terminal=True, markup=False, emoji=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_REFRESHES,
            # What is printed would land in the bar, unless standard output goes elsewhere.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )

    def show(self, progress: Progress) -> None:
        self._progress = progress
        self._measured = progress.measured or self._measured
        if not self._live.is_started:
            self._live.start()

    def note(self, text: str, routine: bool = False) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self._progress is None:
            return ""
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(self._progress.place, ProgressBar(1.0, self._progress.share), self._progress.left(self._clock()))
        measured = self._measured or "compiling the first steps"
        return Group(line, Text(measured, no_wrap=True, overflow="ellipsis"))


class Hidden:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        pass

    def note(self, text: str, routine: bool = False) -> None:
        pass

    def close(self) -> None:
        pass


def open_screen(stream: TextIO | None, clock: Clock = time.monotonic) -> Screen:
    """A bar if the stream is a terminal that can show one, lines if it is another stream.

    `CI` and `TERM=dumb` in the environment ask for lines.
    """
    if stream is None:
        return Hidden()
    plain = os.environ.get("TERM", "dumb") in ("dumb", "unknown", "") or os.environ.get("CI", "") not in ("", "false")
    return Lines(stream, clock) if plain or not stream.isatty() else Bar(stream, clock)


class _Forgiving:
    """A text stream that drops what it cannot write: its reader has gone, or a signal came in the middle of a write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._stream.flush()
