"""What a run reports while it trains: log lines, TensorBoard's scalars and images, JSON lines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.data.parallel import duration
from elegant_tf.files import write_text
from elegant_tf.images import grid, write_image
from elegant_tf.rundir import EVALUATIONS_FILE

METRICS_FILE = "metrics.jsonl"
SHOWN = ("generator", "discriminator", "reconstruction")


class Summary:
    """Writes a run's progress into its directory and to the log.

    Args:
        run_dir: the run directory.
        steps: the step at which training ends.
        start: the step at which it begins now; later rows of an interrupted run are dropped.
    """

    def __init__(self, run_dir: str | os.PathLike[str], steps: int, start: int) -> None:
        self._run_dir = Path(run_dir)
        self._steps = steps
        self._start = start
        self._began = self._last = time.monotonic()
        self._writer = tf.summary.create_file_writer(str(self._run_dir / "summaries"))
        rows = self._drop_rows_after(METRICS_FILE, start)
        self._seconds_before = float(rows[-1].get("seconds", 0.0)) if rows else 0.0
        self._drop_rows_after(EVALUATIONS_FILE, start)

    def progress(self, step: int, losses: Mapping[str, float], images: int) -> None:
        """Reports losses at a step, and the images (A and B) trained since the last report."""
        now = time.monotonic()
        rate = images / max(now - self._last, 1e-9)
        left = (now - self._began) / (step - self._start) * (self._steps - step)
        self._last = now
        shown = "  ".join(f"{name} {losses[name]:.4f}" for name in SHOWN)
        logging.info("step %d/%d  %s  %.0f images/s  %s left", step, self._steps, shown, rate, duration(left))
        with self._writer.as_default(step=step):
            for name, value in {**losses, "images_per_second": rate}.items():
                tf.summary.scalar(name, value)
        seconds = round(self._seconds_before + now - self._began, 3)
        self._append(METRICS_FILE, {"step": step, "seconds": seconds, "images_per_second": rate, **losses})

    def evaluation(self, step: int, numbers: Mapping[str, float]) -> None:
        """Reports what the trainer's evaluator measured at a step."""
        logging.info("step %d  %s", step, "  ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
        with self._writer.as_default(step=step):
            for name, value in numbers.items():
                tf.summary.scalar(f"evaluation/{name}", value)
        self._append(EVALUATIONS_FILE, {"step": step, **numbers})

    def samples(self, step: int, rows: np.ndarray) -> Path:
        """Writes a grid of uint8 `[rows, columns, S, S, 3]` for TensorBoard and into `samples/`; returns its path."""
        image = grid(rows)
        path = self._run_dir / "samples" / f"{step:07d}.png"
        write_image(path, image, overwrite=True)
        with self._writer.as_default(step=step):
            tf.summary.image("A, B, C, D, A1, B1, residual of C, residual of D", image[None])
        self._writer.flush()
        return path

    def close(self) -> None:
        """Flushes what TensorBoard reads."""
        self._writer.close()

    def _append(self, name: str, row: Mapping[str, float]) -> None:
        with open(self._run_dir / name, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _drop_rows_after(self, name: str, step: int) -> list[dict[str, float]]:
        """Drops rows of later steps from a file of JSON lines and returns the others."""
        path = self._run_dir / name
        if not path.exists():
            return []
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if _step(line) <= step]
        write_text(path, "".join(row + "\n" for row in rows))
        return [json.loads(row) for row in rows]


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):  # A line cut short by a kill.
        return float("inf")
