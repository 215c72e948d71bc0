"""What a training says, on the screen and in its log."""

from __future__ import annotations

import logging
import re

import pytest

from elegant_tf.errors import UserError
from elegant_tf.training.progress import Progress
from elegant_tf.training.reporter import LOG_FILE, Reporter

PROGRESS = Progress(20, 100, 0.2, 1e9, {"generator": 2.5})


def log(run_dir):
    """Level and text of each line; every line has a time."""
    lines = (run_dir / LOG_FILE).read_text("utf-8").splitlines()
    return [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ([A-Z]+) (.*)", line).groups() for line in lines]


def test_everything_is_in_the_log_and_is_added_to_it(tmp_path, capsys):
    with Reporter(tmp_path) as reporter:
        reporter.note("resuming")
        reporter.progress(PROGRESS)
        reporter.progress(Progress(21, 100, 0.21, 1e9))
        reporter.note("saved step-20", routine=True)
        logging.getLogger("absl").warning("%d images cannot be read", 3)
        logging.getLogger("tensorflow").warning("five retraces")
    with pytest.raises(UserError), Reporter(tmp_path):
        raise UserError("--seed=-1: must be 0 or more")
    logging.getLogger("absl").warning("after it")
    (_, first), progress, *rest = log(tmp_path)
    assert first == "resuming"
    assert progress[1].startswith("step 20/100  generator 2.5000  ")
    assert rest == [
        ("INFO", "saved step-20"),
        ("WARNING", "3 images cannot be read"),
        ("WARNING", "five retraces"),
        ("ERROR", "--seed=-1: must be 0 or more"),
    ]
    shown = capsys.readouterr().err
    assert "resuming\nstep 20/100" in shown
    assert "saved" not in shown  # off a terminal


def test_an_unexpected_error_is_logged_with_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), Reporter(tmp_path):
        print(1 / 0)
    text = (tmp_path / LOG_FILE).read_text("utf-8")
    assert " ERROR Traceback (most recent call last):\n" in text
    assert text.endswith("ZeroDivisionError: division by zero\n")


def test_nothing_is_shown_unless_wanted(tmp_path, capsys):
    with Reporter(tmp_path, on_screen=False) as reporter:
        reporter.note("resuming")
        reporter.progress(PROGRESS)
    assert capsys.readouterr() == ("", "")
    assert len(log(tmp_path)) == 2


def test_a_full_disk_is_told_once_and_ends_nothing(tmp_path, capsys):
    (tmp_path / LOG_FILE).symlink_to("/dev/full")
    with Reporter(tmp_path) as reporter:
        for _ in range(3):
            reporter.note("going on")
    told = f"warning: {tmp_path / LOG_FILE}: cannot be written: No space left on device; training goes on\n"
    assert capsys.readouterr().err == "going on\n" + told + 2 * "going on\n"


def test_a_log_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / LOG_FILE).mkdir()
    with pytest.raises(UserError, match=rf"{LOG_FILE}: cannot be written: Is a directory"), Reporter(tmp_path):
        pass


def test_names_that_are_not_utf_8_are_logged(tmp_path):
    with Reporter(tmp_path) as reporter:
        reporter.note("saved a\udcffb")
    assert log(tmp_path) == [("INFO", r"saved a\udcffb")]


@pytest.mark.parametrize(
    ("handlers", "shown"),
    [([], "watch out\nlater\n"), ([logging.StreamHandler], "mine: watch out\nmine: later\n")],
    ids=["unconfigured", "configured"],
)
def test_a_program_sees_warnings_as_it_would_without_the_log(tmp_path, capsys, monkeypatch, handlers, shown):
    made = [handler() for handler in handlers]
    for handler in made:
        handler.setFormatter(logging.Formatter("mine: %(message)s"))
    monkeypatch.setattr(logging.root, "handlers", made)
    with Reporter(tmp_path, on_screen=False):
        logging.getLogger("absl").warning("watch out")
    logging.getLogger("absl").warning("later")
    assert capsys.readouterr() == ("", shown)
    assert log(tmp_path) == [("WARNING", "watch out")]
