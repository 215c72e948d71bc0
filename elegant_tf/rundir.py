"""What a run directory holds, and the configuration in it. Needs no TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elegant_tf.config import Config, ModelConfig, group_of, read_groups, read_removed
from elegant_tf.errors import UserError
from elegant_tf.files import existing, reason, write_text
from elegant_tf.remote import as_path, is_remote

CONFIG_FILE = "config.json"
CHECKPOINT_DIR = "checkpoints"
CHECKPOINT_PREFIX = "step"
SUMMARIES_DIR = "summaries"
SAMPLES_DIR = "samples"
PACKED_FILE = "generator.npz"
EVALUATIONS_FILE = "evaluations.jsonl"

# Runs that come with the package, by name.
SHIPPED = Path(__file__).with_name("shipped")


def find_run(run: str | os.PathLike[str]) -> Path:
    """The directory of a run; of the model that comes with the package if it has this name and no such run exists."""
    name = os.fspath(run)
    shipped = SHIPPED / name
    is_shipped = os.path.basename(name) == name and (shipped / CONFIG_FILE).is_file()
    return shipped if is_shipped and not os.path.exists(os.path.join(name, CONFIG_FILE)) else as_path(run)


def check_usable(run_dir: str | os.PathLike[str], folders: Sequence[str], files: Sequence[str]) -> None:
    """Refuses a run directory in which these folders and files could not be made, read or written. Writes nothing.

    Raises:
        UserError: one could not, naming it.
    """
    run_dir = as_path(run_dir)
    try:
        run_dir.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(f"--run_dir={run_dir}: {reason(error)}; choose another one") from error
    if is_remote(run_dir):  # There is no other access than to write and see.
        return
    for path in (existing(run_dir), *(run_dir / name for name in folders)):
        if os.path.lexists(path):
            _check_access(path, os.path.isdir(path), "a directory")
    for path in (run_dir / name for name in files):
        if os.path.lexists(path):
            _check_access(path, not os.path.isdir(path), "a file")


def _check_access(path: Path, is_right: bool, kind: str) -> None:
    if not is_right:
        raise UserError(f"{path}: must be {kind} to train there; move it away, or choose another --run_dir")
    if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(path) else 0)):
        raise UserError(f"{path}: cannot be read and written: it belongs to someone else, or its disk is read-only")


def is_packed(run: str | os.PathLike[str]) -> bool:
    """Whether a run, found as `find_run` does, is a packed one."""
    return (find_run(run) / PACKED_FILE).is_file()


def write_config(config: Config, run_dir: str | os.PathLike[str]) -> None:
    """Writes a run directory's `config.json`, whole or not at all."""
    write_text(as_path(run_dir) / CONFIG_FILE, config.to_json())


def read_config(run: str | os.PathLike[str]) -> Config:
    """A run's configuration, of this or an older version.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    return _named(run, Config.from_json)


def read_model(run: str | os.PathLike[str]) -> ModelConfig:
    """The model group alone, whatever else the configuration holds. Raises UserError as `read_config` does."""
    return _named(run, lambda text: group_of("model", read_groups(text).get("model", {})))


def check_start(config: Config) -> None:
    """Raises UserError unless `--start_from` names a run whose generator has this configuration's architecture."""
    start = config.run.start_from
    try:
        there = read_model(start)
    except UserError as error:
        raise UserError(f"--start_from={start}: {error}") from error
    for name in ("attributes", "width", "depth", "mask"):
        its, mine = getattr(there, name), getattr(config.model, name)
        if its != mine:
            cure = f"give --{'' if its else 'no'}{name}" if isinstance(its, bool) else f"it must be this run's {mine}"
            raise UserError(f"--start_from={start}: its --{name} is {its}; {cure}")


def config_groups(run: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The groups in a run's configuration as plain values. Raises UserError as `read_config` does."""
    return _named(run, read_groups)


def removed_options(run: str | os.PathLike[str]) -> dict[str, str]:
    """Options of an older version that a run trained with and that are gone: flag and value to advice."""
    return _named(run, read_removed)


def _named(run: str | os.PathLike[str], read: Any) -> Any:
    """What `read` makes of the text of the run's configuration; its errors name the file."""
    path = find_run(run) / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{run} is not a run directory: cannot read {path.name} in it ({error})") from error
    try:
        return read(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
