"""Evaluating a run on held-out counterfactuals: a table, `scorecard.json` and `scorecard.png`."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.config import Config
from elegant_tf.editor import Editor
from elegant_tf.evaluation.scorecard import Score, as_rows, mean_score, scorecard
from elegant_tf.evaluation.sheet import draw_sheet
from elegant_tf.evaluation.triples import Triples, load_triples
from elegant_tf.files import whole_file
from elegant_tf.images import write_image

COUNT = 64

_HEADS = ("attribute", "direction", "realised", "leak", "PSNR", "SSIM", "n")


@dataclass(frozen=True)
class Report:
    """A run's scorecard.

    `step`: of the weights; `scores`: a row per attribute and direction; `mean`: over these rows; `json_path`
    and `image_path`: the files written.
    """

    step: int
    scores: list[Score]
    mean: Score
    json_path: Path
    image_path: Path

    def table(self) -> str:
        """The scores as text in aligned columns, their mean last."""
        return format_table([*self.scores, self.mean])

    def __str__(self) -> str:
        """The table and where the files are."""
        return f"{self.table()}\n\nscorecard: {self.json_path}\nexamples:  {self.image_path}"


def evaluate(
    run_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    count: int = COUNT,
    out: str | os.PathLike[str] | None = None,
) -> Report:
    """Edits held-out counterfactuals with a run's newest checkpoint and scores the results.

    Args:
        run_dir: the run directory.
        data_dir: a folder that `elegant-tf faces` wrote; None: what the run learned from.
        count: edits per attribute and direction.
        out: the directory for `scorecard.json` and `scorecard.png`, which are replaced; None: `run_dir`.

    Raises:
        UserError: no run or checkpoint there, no counterfactuals, or the files cannot be written.
    """
    config = Config.load(run_dir)
    editor = Editor.load(run_dir)
    triples = load_triples(config, data_dir, count)
    edited = edit_triples(editor, triples)
    scores = scorecard(triples, edited)
    mean = mean_score(scores)
    out = Path(run_dir if out is None else out)
    report = Report(editor.step, scores, mean, out / "scorecard.json", out / "scorecard.png")
    title = f"Held-out edits after {editor.step:,} steps: realised {mean.realised:.2f}, leak {mean.leak:.1f}"
    write_image(report.image_path, draw_sheet(triples, edited, scores, title), overwrite=True)
    source = str(data_dir or config.data_dir or config.data)
    _write_json(
        report.json_path,
        {
            "step": editor.step,
            "settings": {"evaluated_on": source, "count": count, **dataclasses.asdict(config)},
            "rows": as_rows(scores),
            "mean": as_rows([mean])[0],
        },
    )
    return report


def edit_triples(editor: Editor, triples: Triples) -> np.ndarray:
    """Every input with its attribute from its exemplar, uint8 `[M, S, S, 3]`."""
    weights = np.eye(len(triples.attributes))[triples.attribute][:, None]
    return editor.edit(triples.inputs, triples.exemplars[:, None], weights)


def format_table(scores: Sequence[Score]) -> str:
    """One line per score under a line of headings, in aligned columns."""
    lines = [_HEADS, *map(_cells, scores)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_align(line, widths) for line in lines)


def _cells(score: Score) -> tuple[str, ...]:
    numbers = (
        f"{score.realised:.3f}",
        f"{score.leak:.2f}",
        f"{score.psnr:.2f}",
        f"{score.ssim:.3f}",
        str(score.count),
    )
    return (score.attribute, score.direction, *numbers)


def _align(cells: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*words, *numbers])


def _write_json(path: Path, values: dict[str, Any]) -> None:
    """Whole or not at all."""
    with whole_file(path) as aside:
        aside.write_text(json.dumps(_plain(values), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """The value with null for numbers that JSON has not: the PSNR of a perfect edit is infinite."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
