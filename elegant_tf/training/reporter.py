"""What a training says: on the screen and in the run directory's `train.log`."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from elegant_tf.errors import UserError
from elegant_tf.files import Appended, reason, writing
from elegant_tf.remote import as_path
from elegant_tf.training.progress import Clock, Hidden, Progress, Screen, open_screen

LOG_FILE = "train.log"


class Reporter:
    """Reports to `sys.stderr` and to `train.log`, from when the block is entered until it is left.

    Warnings that go through `logging`, those of TensorFlow among them, are in the log, too, and so is the error that
    leaves the block. A log that can no longer be written is told once and ends nothing.

    Args:
        run_dir: the run directory, which must exist when the block is entered; None: nothing is logged.
        on_screen: whether to report to `sys.stderr`.
        clock: tells the time in seconds.

    Raises:
        UserError: on entering: the log cannot be opened for writing.
    """

    def __init__(
        self, run_dir: str | os.PathLike[str] | None, on_screen: bool = True, clock: Clock = time.monotonic
    ) -> None:
        self._path = None if run_dir is None else as_path(run_dir) / LOG_FILE
        self._on_screen = on_screen
        self._clock = clock
        self._screen: Screen = Hidden()
        self._log: _Log | None = None
        self._handlers: list[logging.Handler] = []

    def __enter__(self) -> Reporter:
        self._log = _Log(self._path, self._say_broken) if self._path else None
        self._screen = open_screen(sys.stderr if self._on_screen else None, self._clock)
        self._handlers = [self._log] if self._log else []
        if self._log and not logging.root.handlers and logging.lastResort:
            self._handlers.append(logging.lastResort)  # which falls silent as soon as there is another handler
        for handler in self._handlers:
            logging.root.addHandler(handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._screen.close()
        for handler in self._handlers:
            logging.root.removeHandler(handler)
        if error is not None:
            self._write(_describe(error), "ERROR")
        if self._log:
            self._log.close()
        self._log = None

    def progress(self, progress: Progress) -> None:
        """Shows where a training is; losses, if there are any, go to the log."""
        self._screen.show(progress)
        if progress.losses:
            self._write(progress.line(self._clock()))

    def note(self, text: str, routine: bool = False) -> None:
        """Says a sentence. What is routine is left out where it would fill the screen."""
        self._screen.note(text, routine)
        self._write(text)

    def _write(self, text: str, level: str = "INFO") -> None:
        if self._log:
            self._log.write(text, level)

    def _say_broken(self, why: str) -> None:
        self._screen.note(f"warning: {self._path}: cannot be written: {why}; training goes on")


class _Log(logging.Handler):
    """Appends warnings, and what else is written, to a file; see `Appended` for when each is on the disk."""

    def __init__(self, path: Path, say_broken: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._file = Appended(path)
        with writing(path):
            self._file.write("")
        self._say_broken = say_broken
        self._is_broken = False

    def emit(self, record: logging.LogRecord) -> None:
        self.write(self.format(record), record.levelname)

    def write(self, text: str, level: str) -> None:
        """Writes a line with time and level. What cannot be written is dropped; the first time, that is said."""
        with self._telling():
            self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level} {text}\n")

    def close(self) -> None:
        with self._telling():
            self._file.close()
        super().close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Says an error of the file system, the first one."""
        try:
            yield
        except OSError as error:
            if not self._is_broken:
                self._is_broken = True
                self._say_broken(reason(error))


def _describe(error: BaseException) -> str:
    """A user's mistake in its own words, anything else with its traceback."""
    return str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error)).rstrip()
