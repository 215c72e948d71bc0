"""How `train` ends: with the scorecard in a dozen lines, and a command to try next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elegant_tf.config import Config
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.files import atomic_directory
from elegant_tf.images import write_image
from elegant_tf.remote import is_remote

if TYPE_CHECKING:
    from elegant_tf.evaluation.evaluate import Report
    from elegant_tf.evaluation.metrics.scores import Score

EXAMPLES_DIR = "examples"

# Attributes in the short scorecard, and people and exemplars among the examples.
_MOST_ROWS = 6
_EXAMPLES = 4


def short_scorecard(report: Report) -> str:
    """A report in a dozen lines: a row per attribute, and where the rest is."""
    attributes = list(dict.fromkeys(score.attribute for score in report.scores))
    shown = attributes if len(attributes) <= _MOST_ROWS else attributes[: _MOST_ROWS - 1]
    rows = [_row(name, [score for score in report.scores if score.attribute == name]) for name in shown]
    if len(shown) < len(attributes):
        rows.append((f"{len(attributes) - len(shown)} more in the report", "", "", ""))
    if report.mean:
        rows.append(_row("mean", [report.mean]))
    table = Table("", "", ("attribute", "realised", "leak", "PSNR"), rows)
    return "\n".join(
        [
            f"Held-out edits after {report.step:,} steps, compared with their targets",
            table.as_text(),
            "realised: the share of the intended change, 1 is perfect; leak: other changes, of 255, 0 is perfect",
            f"report:    {report.html_path}",
            f"examples:  {report.image_path}",
        ]
    )


def next_command(config: Config, run_dir: str) -> str:
    """A command line to try with a run that has been trained. Images that it needs are written to `RUN/examples`.

    Raises:
        UserError: they cannot be written.
    """
    from elegant_tf.evaluation.counterfactuals import has_counterfactuals, load_counterfactuals
    from elegant_tf.evaluation.edits import DIRECTIONS

    words = ["elegant-tf", "evaluate", "--run", run_dir]
    if has_counterfactuals(config) and not is_remote(run_dir):  # the command is of files to look at
        edits = load_counterfactuals(config, None, _EXAMPLES, directions=("add",))
        added = np.flatnonzero(edits.direction == DIRECTIONS.index("add"))
        if len(added):
            attribute = edits.attribute[added[0]]
            chosen = added[edits.attribute[added] == attribute][:_EXAMPLES]
            folders = _write_examples(Path(run_dir) / EXAMPLES_DIR, edits.inputs[chosen], edits.exemplars[chosen])
            words = ["elegant-tf", "grid", "--run", run_dir, "--input", folders[0], "--exemplar", folders[1]]
            words += ["--attributes", edits.attributes[attribute], "--out", str(Path(run_dir) / "grid.png")]
    return shlex.join(words)


def _row(name: str, scores: Sequence[Score]) -> tuple[str, str, str, str]:
    realised, leak, psnr = np.mean([(score.realised, score.leak, score.psnr) for score in scores], axis=0)
    return name, f"{realised:.2f}", f"{leak:.1f}", f"{psnr:.1f}"


def _write_examples(folder: Path, people: np.ndarray, exemplars: np.ndarray) -> list[str]:
    """Writes images uint8 `[n, S, S, 3]` unless the folder is there; returns the folders of the two."""
    named = {"people": people, "exemplars": exemplars}
    if not folder.is_dir():
        with atomic_directory(folder) as aside:
            for name, images in named.items():
                for number, image in enumerate(images, 1):
                    write_image(aside / name / f"{number}.png", image)
    return [str(folder / name) for name in named]
