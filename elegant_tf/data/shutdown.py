"""Ends the reading of data in the background before the interpreter shuts down."""

from __future__ import annotations

import atexit
import functools
import threading
import time


class ShutdownGuard:
    """Keeps the interpreter from shutting down while data is being loaded: every load happens inside `with guard:`.

    A thread that returns to Python after the shutdown has begun never wakes up. TensorFlow drops an iterator only when
    its threads have returned, so it would wait forever, and a process that ends by an exception would hang.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._inside = 0
        self._entries = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self._entries += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def check_open(self) -> None:
        """Raises StopIteration, for TensorFlow the end of the data, if the guard is closed."""
        if self._closed:
            raise StopIteration

    def close(self) -> None:
        """Returns when no load is running and, as the buffers of `tf.data` are full, none begins any more."""
        self._closed = True
        seen = -1
        while self._inside or seen != self._entries:
            seen = self._entries
            time.sleep(0.1)


@functools.cache
def shutdown_guard() -> ShutdownGuard:
    """This process's guard, which closes when the interpreter shuts down."""
    guard = ShutdownGuard()
    atexit.register(guard.close)
    return guard
