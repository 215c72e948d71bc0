"""Work on many images at once, in order and in bounded memory, and its progress."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # results waiting per worker
_LINE_SECONDS = 10.0
_BAR_SECONDS = 0.2
_BAR = 24


def cpus() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yields the results for the items, in their order; `workers` threads compute a few of them ahead.

    Threads suffice: decoding, resampling and encoding images release Python's lock.
    """
    # Executor.map would submit all items at once; its buffersize needs Python 3.14.
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


# keras.utils.Progbar loads TensorFlow and writes to stdout; off a terminal, rich prints nothing until the end.
class Progress:
    """Prints how much of `total` is done, the rate and the time left: a bar on a terminal, lines elsewhere."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._what, self._total, self._done = what, total, done
        self._start, self._from = time.monotonic(), done
        self._printed = self._start
        self._bar = sys.stderr.isatty()

    def add(self, count: int = 1) -> None:
        """Counts what is done; prints now and then."""
        self._done += count
        now = time.monotonic()
        if now - self._printed > (_BAR_SECONDS if self._bar else _LINE_SECONDS):
            self._printed = now
            self._print(end="" if self._bar else "\n")

    def close(self) -> None:
        """Prints the last line."""
        self._print(end="\n")

    def _print(self, end: str) -> None:
        rate = (self._done - self._from) / max(time.monotonic() - self._start, 1e-9)
        left = (self._total - self._done) / rate if rate else 0
        filled = _BAR * self._done // max(self._total, 1)
        head = f"\r[{'#' * filled}{'.' * (_BAR - filled)}] " if self._bar else ""
        text = f"{self._done}/{self._total} {self._what}, {rate:.0f} a second, {duration(left)} left"
        print(head + text, end=end, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as `h:mm:ss`."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
