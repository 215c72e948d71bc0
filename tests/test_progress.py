"""Progress on the screen: a bar on a terminal, plain lines elsewhere, and when it will end."""

from __future__ import annotations

import io
import itertools
import math
import re

import pytest

from elegant_tf.training.progress import Bar, Hidden, Lines, Pace, Progress, open_screen

LOSSES = {"generator": 2.5, "discriminator": 1.0, "reconstruction": 0.125, "cycle": 9.0}


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Gone(Terminal):
    """A terminal that has been closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")

    def flush(self):
        raise OSError(5, "Input/output error")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize(
    ("start", "minutes", "left"),
    [
        (0, math.inf, 2 * 980),  # 2 s a step, after 30 s of compiling
        (800, math.inf, 2 * 180),  # resumed: the steps before cost nothing now
        (0, 5, 300 - 30 - 20),  # time is over before the steps are done
        (980, 5, 0),  # the steps are done before time is over
    ],
)
def test_the_time_left_heeds_steps_and_minutes_and_leaves_compiling_out(start, minutes, left):
    clock = Clock()
    pace = Pace(start, 1000, clock.now + 60 * minutes, clock)
    clock.now += 30
    pace.at(start + 10)
    clock.now += 20
    progress = pace.at(start + 20)
    assert progress.end - clock.now == pytest.approx(left)
    assert progress.share == pytest.approx(max((start + 20) / 1000, 50 / (60 * minutes)))


@pytest.mark.parametrize(("minutes", "shown"), [(math.inf, ""), (5, "0:04:30 left")])
def test_before_the_speed_is_known_only_a_limit_tells_the_time_left(minutes, shown):
    clock = Clock()
    pace = Pace(0, 1000, clock.now + 60 * minutes, clock)
    clock.now += 30
    assert pace.at(10).left(clock.now) == shown


def train(screen, clock, seconds, steps=10**6, each=1):
    """Reports a training in which a step takes `each` seconds and every second one is reported."""
    pace = Pace(0, steps, clock.now + seconds, clock)
    screen.show(pace.at(0))
    for step in range(1, seconds // each + 1):
        clock.now += each
        progress = pace.at(step)
        screen.show(progress)
        if step % 2 == 0:
            screen.show(Progress(step, steps, progress.share, progress.end, LOSSES, 32.4))
            screen.note(f"saved step-{step}", routine=True)
    screen.close()


def test_lines_are_whole_and_rarer_as_time_goes_on():
    stream, clock = io.StringIO(), Clock()
    train(Lines(stream, clock), clock, 300)
    lines = stream.getvalue().splitlines()
    assert 8 <= len(lines) <= 15
    assert lines[0] == (
        "step 2/1000000  generator 2.5000  discriminator 1.0000  reconstruction 0.1250  32 images/s  0:04:58 left"
    )
    steps = [int(re.match(r"step (\d+)/", line)[1]) for line in lines]
    gaps = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert gaps == sorted(gaps)
    assert not set(stream.getvalue()) & {"\r", "\x1b"}


def test_a_day_takes_no_more_than_a_few_lines_an_hour():
    stream, clock = io.StringIO(), Clock()
    train(Lines(stream, clock), clock, 24 * 3600, each=20)
    assert 24 * 4 < len(stream.getvalue().splitlines()) < 24 * 7


def test_the_last_step_is_always_a_line():
    stream, clock = io.StringIO(), Clock()
    train(Lines(stream, clock), clock, 6, steps=6)
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["2/6", "6/6"]


def test_a_bar_has_steps_losses_and_time_and_notes_above():
    stream, clock = Terminal(), Clock()
    bar = Bar(stream, clock)
    bar.show(Progress(300, 1000, 0.5, clock.now + 61, LOSSES, 32.4))
    bar.note("saved runs/[a]/step-300")
    bar.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "saved runs/[a]/step-300" in shown
    last = [text for text in shown.splitlines() if text.strip()][-2:]
    assert last[0].startswith("step 300/1000 ")
    assert last[0].rstrip().endswith(" 0:01:01 left")
    assert last[0].count("━") in range(20, 60)
    assert last[1].startswith("generator 2.5000  discriminator 1.0000  reconstruction 0.1250  32 images/s")


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_a_bar_fits_its_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    bar = Bar(stream)
    bar.show(Progress(300, 1000, 0.5, math.inf, LOSSES, 32.4))
    bar.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= columns


def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    bar = Bar(stream)
    bar.show(Progress(300, 1000, 0.5, math.inf, LOSSES, 32.4))
    bar.close()
    assert not re.search(r"\x1b\[[0-9;]*[3-9][0-9;]*m", stream.getvalue())


@pytest.mark.parametrize(
    ("stream", "variables", "kind"),
    [
        (Terminal(), {}, Bar),
        (Terminal(), {"CI": "false"}, Bar),
        (Terminal(), {"CI": "true"}, Lines),
        (Terminal(), {"TERM": "dumb"}, Lines),
        (io.StringIO(), {}, Lines),
        (io.StringIO(), {"FORCE_COLOR": "1"}, Lines),
        (None, {}, Hidden),
    ],
)
def test_what_a_stream_can_show(monkeypatch, stream, variables, kind):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert type(open_screen(stream)) is kind


@pytest.mark.parametrize("kind", [Bar, Lines])
def test_a_closed_terminal_ends_nothing(kind):
    clock = Clock()
    train(kind(Gone(), clock), clock, 20)
