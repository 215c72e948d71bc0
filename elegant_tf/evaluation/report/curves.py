"""Curves of what `--evaluate_every` measured during training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from elegant_tf.errors import UserError
from elegant_tf.evaluation.report.plots import Plot
from elegant_tf.files import read_json_lines
from elegant_tf.rundir import EVALUATIONS_FILE, find_run


def read_curves(run: str | os.PathLike[str]) -> list[dict[str, float]]:
    """The rows of a run's `evaluations.jsonl`, oldest first; empty if it has none.

    Raises:
        UserError: it cannot be read, or a line other than the last is no row of numbers.
    """
    path = find_run(run) / EVALUATIONS_FILE
    rows = read_json_lines(path) if path.exists() or path.is_symlink() else []
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
    steps, values = [row["step"] for row in rows], [row[name] for row in rows]
    title = f"{name.replace('_', ' ')}, now {values[-1]:.3g}"
    ticks = [(steps[0], f"step {steps[0]:,.0f}"), (steps[-1], f"{steps[-1]:,.0f}")]
    return Plot(title, steps, values, ticks).as_svg()
