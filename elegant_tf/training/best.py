"""The best generator of a run: a packed run inside its directory, where no later checkpoint removes it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elegant_tf.config import LARGER_IS_BETTER, Config
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_directory, atomic_file, remove_parts, sync, writing
from elegant_tf.model.elegant import Elegant
from elegant_tf.remote import as_path, is_remote
from elegant_tf.rundir import PACKED_FILE, read_config, write_config
from elegant_tf.runs import packed_arrays

BEST_DIR = "best"

# What an evaluation measured of the generator, as JSON. It is in the file of the weights, so that no kill parts them.
_NUMBERS = "evaluation"


class Kept(NamedTuple):
    """The step of a generator that is kept, and what an evaluation measured of it."""

    step: int
    numbers: Mapping[str, float]


class Best:
    """Keeps the best generator of a run so far, in `RUN/best`.

    That is a packed run whose weights are not rounded: every command takes it as a run. It appears whole and is
    replaced at once. A resumed run goes on from what is kept there.

    Args:
        config: the run's, with a `keep_best`.
        run_dir: the run directory. Nothing else may write there.

    Raises:
        UserError: see `check_best`; or what is kept is damaged, or something cannot be written.
    """

    def __init__(self, config: Config, run_dir: str | os.PathLike[str]) -> None:
        self._config, self._by = config, config.run.keep_best
        self._folder = as_path(run_dir) / BEST_DIR
        self._remove_parts()
        self._kept = check_best(config, run_dir)
        if self._kept:
            _check_whole(self._folder / PACKED_FILE)

    def __str__(self) -> str:
        """Where the best generator is, its step, and the number that it is judged by."""
        return describe_best(self._folder, self._kept, self._by) if self._kept else f"{self._folder} (none yet)"

    def offer(self, step: int, numbers: Mapping[str, float], generator: Elegant) -> bool:
        """Keeps a generator if it is better than the one that is kept. NaN never is; of equals, the earlier stays.

        Args:
            step: the generator's.
            numbers: what an evaluation measured of it.
            generator: the one to edit with.

        Returns:
            Whether it is kept.

        Raises:
            UserError: the evaluation lacks the number to judge by, or something cannot be written.
        """
        if self._by not in numbers:
            raise UserError(f"--keep_best={self._by}: the evaluation gives {', '.join(numbers)}; choose one of these")
        if not self._is_better(numbers):
            return False
        weights = [np.asarray(value, np.float32) for value in generator.get_weights()]
        if not all(np.isfinite(value).all() for value in weights):
            return False
        self._write(Kept(step, {name: float(value) for name, value in numbers.items()}), weights)
        return True

    def _is_better(self, numbers: Mapping[str, float]) -> bool:
        new, old = numbers[self._by], self._kept.numbers[self._by] if self._kept else math.nan
        if math.isnan(new) or math.isnan(old):
            return not math.isnan(new)
        return new > old if LARGER_IS_BETTER[self._by] else new < old

    def _write(self, kept: Kept, weights: list[np.ndarray]) -> None:
        arrays = packed_arrays(kept.step, weights, **{_NUMBERS: np.array(json.dumps(kept.numbers))})
        with contextlib.ExitStack() as stack:
            folder = self._folder
            if not (folder / PACKED_FILE).exists():
                folder = stack.enter_context(atomic_directory(folder, last=PACKED_FILE))
            write_config(self._config, folder)
            with atomic_file(folder / PACKED_FILE) as aside:
                with aside.open("wb") as file:  # given a name, NumPy would add an ending
                    np.savez(file, **arrays)
                sync(aside)
        for folder in (self._folder, self._folder.parent):
            with writing(folder):
                sync(folder)
        self._kept = kept

    def _remove_parts(self) -> None:
        """Removes what is left if the process was killed while it wrote."""
        remove_parts(self._folder)
        for aside in self._folder.parent.glob(f".{BEST_DIR}.{'[0-9a-f]' * 32}.part"):
            with writing(aside):
                shutil.rmtree(aside)


def check_best(config: Config, run_dir: str | os.PathLike[str]) -> Kept | None:
    """What is kept in a run directory; None if nothing is. Writes nothing.

    Raises:
        UserError: what is there was not kept by this run, cannot be read or written, or was evaluated without the
            number to judge by.
    """
    folder, by = as_path(run_dir) / BEST_DIR, config.run.keep_best
    if not (folder.exists() or folder.is_symlink()) or (folder.is_dir() and not any(folder.iterdir())):
        return None
    kept = read_best(run_dir)
    if differences := read_config(folder).differences(config):
        raise _refused(folder, f"is of a run of another configuration ({', '.join(differences)})")
    if not is_remote(folder) and not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(folder, "cannot be written: it belongs to someone else, or its disk is read-only")
    if by not in kept.numbers:
        raise _refused(folder, f"was judged by other numbers ({', '.join(kept.numbers)}) than --keep_best={by}")
    return kept


def read_best(run_dir: str | os.PathLike[str]) -> Kept:
    """What is kept in a run directory.

    Raises:
        UserError: nothing is, or it cannot be read.
    """
    path = as_path(run_dir) / BEST_DIR / PACKED_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Kept(int(arrays["step"]), json.loads(str(arrays[_NUMBERS])))
    except Exception as error:  # a damaged archive raises almost any error of zlib, zipfile or NumPy
        why = f"holds no generator that --keep_best kept, or it is damaged ({_first_line(error)})"
        raise _refused(path.parent, why) from error


def describe_best(folder: str | os.PathLike[str], kept: Kept, by: str) -> str:
    """A kept generator in words, with its number `by`."""
    return f"{os.fspath(folder)} ({by} {kept.numbers[by]:.3f} at step {kept.step})"


def _check_whole(path: Path) -> None:
    """Reads a file of weights to its end, with its checksums."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for name in arrays.files:
                arrays[name]
    except Exception as error:
        raise _refused(path.parent, f"is damaged ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _refused(folder: Path, why: str) -> UserError:
    return UserError(f"{folder}: {why}; move it away to train on")
