"""What a run reports while it trains: on the screen, in its log, to TensorBoard, and as JSON lines."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.files import Appended, reason, write_text, writing
from elegant_tf.images import grid, write_image
from elegant_tf.remote import as_path
from elegant_tf.rundir import EVALUATIONS_FILE, SAMPLES_DIR, SUMMARIES_DIR
from elegant_tf.training.progress import Pace
from elegant_tf.training.reporter import Reporter

METRICS_FILE = "metrics.jsonl"


class Summary:
    """Writes a run's progress into its directory and has it reported.

    Args:
        run_dir: the run directory.
        steps: the step at which training ends.
        start: the step at which it begins now; later rows of an interrupted run are dropped.
        reporter: shows and logs the progress.
        deadline: when training ends at the latest, in seconds of `time.monotonic()`; infinite if nothing limits it.

    Raises:
        UserError: here and from each method: something in the run directory cannot be written.
    """

    def __init__(
        self, run_dir: str | os.PathLike[str], steps: int, start: int, reporter: Reporter, deadline: float = math.inf
    ) -> None:
        self._run_dir = as_path(run_dir)
        self._events = self._run_dir / SUMMARIES_DIR
        self._began = self._last = time.monotonic()
        self._reporter = reporter
        self._pace = Pace(start, steps, deadline)
        rows = self._drop_rows_after(METRICS_FILE, start)
        self._seconds_before = float(rows[-1].get("seconds", 0.0)) if rows else 0.0
        self._evaluations = {row["step"]: row for row in self._drop_rows_after(EVALUATIONS_FILE, start)}
        self._is_first = True
        self._metrics = Appended(self._run_dir / METRICS_FILE)
        with writing(self._events):
            self._writer = tf.summary.create_file_writer(str(self._events))
        reporter.progress(self._pace.at(start))

    def advance(self, step: int) -> None:
        """Shows that a step is done."""
        self._reporter.progress(self._pace.at(step))

    def progress(self, step: int, losses: Mapping[str, float], images: int) -> None:
        """Reports losses at a step, and the images (A and B) trained since the last report."""
        now = time.monotonic()
        rate = images / max(now - self._last, 1e-9)
        self._last = now
        shown_rate = math.nan if self._is_first else rate  # The first includes the time that compiling takes.
        self._is_first = False
        self._reporter.progress(replace(self._pace.at(step), losses=losses, images_per_second=shown_rate))
        self._scalars(step, {**losses, "images_per_second": rate})
        seconds = round(self._seconds_before + now - self._began, 3)
        self._append(self._metrics, {"step": step, "seconds": seconds, "images_per_second": rate, **losses})

    def evaluation(self, step: int, numbers: Mapping[str, float]) -> None:
        """Reports what the trainer's evaluator measured at a step."""
        self._reporter.note(f"step {step}  " + "  ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
        self._scalars(step, {f"evaluation/{name}": value for name, value in numbers.items()})
        file = Appended(self._run_dir / EVALUATIONS_FILE)
        self._append(file, {"step": step, **numbers})
        with writing(file.path):
            file.close()

    def evaluated(self, step: int) -> dict[str, float] | None:
        """What was measured at a step before this training began; None if nothing was."""
        row = self._evaluations.get(step)
        return {name: value for name, value in row.items() if name != "step"} if row else None

    def samples(self, step: int, rows: np.ndarray) -> Path:
        """Writes a grid of uint8 `[rows, columns, S, S, 3]` for TensorBoard and into `samples/`; returns its path."""
        image = grid(rows)
        path = self._run_dir / SAMPLES_DIR / f"{step:07d}.png"
        write_image(path, image, overwrite=True)
        with writing(self._events), self._writer.as_default(step=step):
            tf.summary.image("A, B, C, D, A1, B1, residual of C, residual of D", image[None])
            self._writer.flush()
        return path

    def flush(self) -> None:
        """Writes what a checkpoint that is saved now must not be without."""
        with writing(self._metrics.path):
            self._metrics.flush()

    def close(self) -> None:
        """Writes what waits, for TensorBoard, too."""
        with writing(self._metrics.path):
            self._metrics.close()
        with writing(self._events):
            self._writer.close()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        with writing(self._events), self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def _append(self, file: Appended, row: Mapping[str, float]) -> None:
        with writing(file.path):
            file.write(json.dumps(row) + "\n")

    def _drop_rows_after(self, name: str, step: int) -> list[dict[str, Any]]:
        """Drops rows of later steps, and what is no row, from a file of JSON lines and returns the others."""
        path = self._run_dir / name
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {reason(error)}") from error
        rows = [row for row in map(_row, lines) if row and row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        return rows


def _row(line: str) -> dict[str, Any] | None:
    """The row in a line; None if a kill or a full disk cut it short."""
    try:
        row = json.loads(line)
        return row if isinstance(row["step"], int | float) else None
    except (ValueError, KeyError, TypeError):
        return None
