"""Ends what reads data in the background before the interpreter does."""

from __future__ import annotations

import atexit
import functools
import threading
import time


class Gate:
    """Sees to it that nothing is being loaded while the interpreter shuts down.

    A thread that wants to go on in Python after that never returns, and TensorFlow, dropping an iterator,
    would wait for it for ever: a process that ends by an exception would not end.
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
        """Raises StopIteration, to TensorFlow the end of the data, once the gate is closed."""
        if self._closed:
            raise StopIteration

    def close(self) -> None:
        """Returns when nothing is inside and, the buffers of `tf.data` being full, nothing comes any more."""
        self._closed = True
        seen = -1
        while self._inside or seen != self._entries:
            seen = self._entries
            time.sleep(0.1)


@functools.cache
def exit_gate() -> Gate:
    """The process' own, which closes when the interpreter shuts down."""
    gate = Gate()
    atexit.register(gate.close)
    return gate
