"""Packed runs: the generator that a run edits with and nothing else, in 16 bits, small enough to pass on."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from elegant_tf.config import Config, find_run
from elegant_tf.errors import UserError
from elegant_tf.export.directory import new_directory
from elegant_tf.model import Elegant

PACKED_FILE = "generator.npz"
_STEP = "step"


def pack(config: Config, generator: Elegant, step: int, out: str | os.PathLike[str]) -> Path:
    """Writes a new directory, whole or not at all, that every command takes for a run; only training needs the rest.

    Weights are rounded to float16; those that it cannot hold are refused.

    Raises:
        UserError: `out` exists, cannot be written, or a weight is beyond float16's range.
    """
    weights = [np.asarray(value, np.float32) for value in generator.get_weights()]
    if any(np.abs(value).max() > np.finfo(np.float16).max for value in weights):
        raise UserError(f"{out}: a weight is too large for 16 bits; this run cannot be packed")
    halves = {f"{place:03d}": value.astype(np.float16) for place, value in enumerate(weights)}
    with new_directory(out) as aside:
        np.savez_compressed(aside / PACKED_FILE, **{_STEP: np.int64(step)}, **halves)
        # What it says of places on a disk is of no use elsewhere.
        dataclasses.replace(config, data_dir=config.data_dir and ".", labels_file="", start_from="").save(aside)
    return Path(out)


def is_packed(run_dir: str | os.PathLike[str]) -> bool:
    """Whether a run directory, or the model that comes with the package under this name, is a packed run."""
    return (find_run(run_dir) / PACKED_FILE).is_file()


def load_packed(generator: Elegant, run_dir: str | os.PathLike[str], step: int | None = None) -> int:
    """Puts a packed run's weights into a built model of its configuration; returns their step.

    Raises:
        UserError: the file is damaged or does not fit, or another step is asked for.
    """
    path = find_run(run_dir) / PACKED_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            there = int(arrays[_STEP])
            values = [arrays[name].astype(np.float32) for name in sorted(set(arrays.files) - {_STEP})]
        if step not in (None, there):
            raise UserError(f"{run_dir}: no checkpoint of step {step}; it is a packed run of step {there}")
        generator.set_weights(values)
    except UserError:
        raise
    except Exception as error:  # A damaged archive raises whatever zlib, zipfile and NumPy please.
        raise UserError(f"{path}: is damaged or does not fit its config.json: {str(error).splitlines()[0]}") from error
    return there
