"""The export of a run when its training ends, as `--export_dir` asks for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.export.savedmodel import export_savedmodel
from elegant_tf.export.written import METADATA_FILE
from elegant_tf.files import check_writable
from elegant_tf.marks import model_hash
from elegant_tf.paths import check_loadable
from elegant_tf.remote import as_path
from elegant_tf.rundir import is_packed
from elegant_tf.runs import checkpoint_steps
from elegant_tf.training.best import BEST_DIR


def check_export(config: Config, run_dir: str | os.PathLike[str]) -> None:
    """Refuses an `--export_dir` that could not take the export when the training ends. Writes nothing.

    Raises:
        UserError: it cannot be written, TensorFlow could not load a model from it, or it has a version already that
            the training may export. An earlier export of the same weights is none.
    """
    directory = as_path(config.run.export_dir)
    check_loadable(directory, "export_dir")
    check_writable(directory, "export_dir")
    run = _exported_run(config, run_dir)
    for name in [path.name for path in directory.iterdir()] if directory.exists() else []:
        if not (name.isascii() and name.isdigit() and _may_export(config, run_dir, int(name))):
            continue
        if not _holds(directory / name, run, int(name)):
            raise UserError(
                f"--export_dir={directory}: has version {name} already, which this training may export; "
                "choose another directory, or move that version away"
            )


def export_trained(config: Config, run_dir: str | os.PathLike[str]) -> Path:
    """Exports what a run's training ended with to `--export_dir/STEP`, and returns that path.

    It is the generator that `--keep_best` kept, or that of the newest checkpoint. If an earlier call exported it, as
    before a kill, nothing is written.

    Raises:
        UserError: no generator was kept, or as `export_savedmodel` does.
    """
    run = _exported_run(config, run_dir)
    if run != as_path(run_dir) and not is_packed(run):
        raise UserError(f"{run}: no evaluation gave a number for --keep_best={config.run.keep_best} to judge by")
    _, step = model_hash(run)
    target = as_path(config.run.export_dir) / str(step)
    return target if _holds(target, run, step) else export_savedmodel(run, config.run.export_dir)


def _exported_run(config: Config, run_dir: str | os.PathLike[str]) -> Path:
    """The run to export: the best generator, packed, or the run itself."""
    return as_path(run_dir) / BEST_DIR if config.run.keep_best != "none" else as_path(run_dir)


def _may_export(config: Config, run_dir: str | os.PathLike[str], step: int) -> bool:
    """Whether the training of a run may end with the export of a step."""
    options, done = config.run, max(checkpoint_steps(run_dir), default=0)
    if options.keep_best == "none":
        return step == max(done, options.steps)
    best = as_path(run_dir) / BEST_DIR
    is_due = max(done, 1) <= step <= options.steps and step % options.evaluate_every == 0
    return is_due or (is_packed(best) and step == model_hash(best)[1])


def _holds(version: Path, run: Path, step: int) -> bool:
    """Whether a version is an export of these weights."""
    try:
        described = json.loads((version / "assets" / METADATA_FILE).read_text(encoding="utf-8"))
        return bool(described["model_sha256"] == model_hash(run, step)[0])
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return False
