"""A trace of some steps, for TensorBoard's profiler."""

from __future__ import annotations

import os

import tensorflow as tf

from elegant_tf.files import writing
from elegant_tf.remote import as_path


class Trace:
    """Traces a run from one step to another.

    Args:
        steps: the first and the last step to trace; None: none.
        folder: where TensorBoard looks for it.

    Raises:
        UserError: from each method: the trace cannot be written, or another one is being made in this process.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: str | os.PathLike[str]) -> None:
        self._steps = steps
        self._folder = as_path(folder)
        self._runs = False

    def at(self, step: int) -> None:
        """Begins or ends the trace if that is due after so many steps."""
        due = self._steps is not None and self._steps[0] <= step + 1 <= self._steps[1]
        if due and not self._runs:
            with writing(self._folder):
                tf.profiler.experimental.start(str(self._folder))
            self._runs = True
        elif not due:
            self.close()

    def close(self) -> None:
        """Ends the trace if it has begun, and writes it."""
        if self._runs:
            self._runs = False
            with writing(self._folder):
                tf.profiler.experimental.stop()
