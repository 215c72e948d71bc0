"""ELEGANT, by the authors' recipe (`official`) and by this package's (`modern`), in the package's own trainer."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.peers.plumbing import Task, channels
from elegant_tf.editor import Editor
from elegant_tf.training.trainer import Trainer

WIDTH = 64
"""Of `official`, as published; `modern` has a width of its own."""
FOR_EVER = 1_000_000


def trained(recipe: str, task: Task, path: Path, labels_of: object = None) -> Editor:
    """The editor of a recipe; `path`: its run directory. One that is there is not trained again."""
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        train(recipe, task, unfinished)
        unfinished.rename(path)
    return Editor.load(path)


def train(recipe: str, task: Task, run_dir: Path) -> None:
    """Trains for the task's minutes. Raises SystemExit on a signal."""
    width = {"width": channels(WIDTH, task.width)} if recipe == "official" else {}
    often = {"steps": FOR_EVER, "checkpoint_every": FOR_EVER, "sample_every": 0, "strategy": "one_device"}
    trainer = Trainer(task.config(recipe, max_minutes=task.minutes, **width, **often), run_dir)
    trainer.train()
    if trainer.interrupted:
        raise SystemExit(f"{run_dir}: interrupted")
