"""Curves of what `--evaluate_every` measured during training."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.files import read_json_lines
from elegant_tf.rundir import EVALUATIONS_FILE, find_run

# Of a curve, in pixels.
_WIDTH, _HEIGHT, _MARGIN = 420, 220, 40


def read_curves(run: str | os.PathLike[str]) -> list[dict[str, float]]:
    """The rows of a run's `evaluations.jsonl`, oldest first; empty if it has none.

    Raises:
        UserError: it cannot be read, or a line other than the last is no row of numbers.
    """
    path = find_run(run) / EVALUATIONS_FILE
    rows = read_json_lines(path) if os.path.lexists(path) else []
    for number, row in enumerate(rows, 1):
        if not (isinstance(row, dict) and "step" in row and all(type(value) in (int, float) for value in row.values())):
            raise UserError(f"{path}, line {number}: is not a row of numbers with their step: remove this line")
    return rows


def draw_curves(rows: Sequence[Mapping[str, float]]) -> str:
    """Every number of the rows over their `step`, as SVG."""
    names = dict.fromkeys(name for row in rows for name in row if name != "step")
    return "".join(_curve([row for row in rows if name in row], name) for name in names)


def _curve(rows: Sequence[Mapping[str, float]], name: str) -> str:
    """A line over the steps, labelled with its smallest and largest value."""
    steps, values = (np.array([row[key] for row in rows], float) for key in ("step", name))
    heading = html.escape(name.replace("_", " "))
    span = max(float(np.ptp(values)), 1e-9)
    x = _MARGIN + (steps - steps[0]) / max(float(np.ptp(steps)), 1.0) * (_WIDTH - 2 * _MARGIN)
    y = _HEIGHT - _MARGIN - (values - values.min()) / span * (_HEIGHT - 2 * _MARGIN)
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(x, y, strict=True))
    texts = [
        (_MARGIN, 24, f"{heading}, now {values[-1]:.3g}", "start"),
        (_MARGIN - 6, _MARGIN + 4, f"{values.max():.3g}", "end"),
        (_MARGIN - 6, _HEIGHT - _MARGIN + 4, f"{values.min():.3g}", "end"),
        (_MARGIN, _HEIGHT - 14, f"step {steps[0]:,.0f}", "start"),
        (_WIDTH - _MARGIN, _HEIGHT - 14, f"{steps[-1]:,.0f}", "end"),
    ]
    labels = "".join(f'<text x="{left}" y="{top}" text-anchor="{end}">{text}</text>' for left, top, text, end in texts)
    line = f'<polyline points="{points}" fill="none" stroke="#1a73e8" stroke-width="2"/>'
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-size="12">{line}{labels}</svg>\n'
