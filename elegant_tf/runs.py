"""Finding a run, loading its generator, packing it. Nothing here needs an optimizer, a loss or training data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.checkpoint_files import CheckpointFiles
from elegant_tf.config import Config, ModelConfig
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_directory, literal, reason, write_text
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator
from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.rundir import (
    CONFIG_FILE,
    PACKED_FILE,
    config_groups,
    find_run,
    is_packed,
    read_model,
)
from elegant_tf.upgrade import VERSION

# What TensorFlow raises on damaged files (IndexError: truncated data) and on values that do not fit.
UNREADABLE = (AssertionError, IndexError, ValueError, tf.errors.OpError)

_STEP = "step"

# A learner's lists of variables, as every version's checkpoints name them.
_GENERATOR, _AVERAGE, _DISCRIMINATOR = "generator_variables", "averaged_variables", "discriminator_variables"


def make_generator(model: ModelConfig, policy: keras.mixed_precision.Policy | str, name: str = "elegant") -> Elegant:
    """A generator with new weights."""
    return Elegant(
        model.attributes,
        width=model.width,
        depth=model.depth,
        flip_tta=model.flip_tta,
        mask=model.mask,
        dtype=policy,
        name=name,
    )


def make_discriminator(
    config: Config, policy: keras.mixed_precision.Policy | str, normalization: keras.layers.Layer | None = None
) -> MultiScaleDiscriminator:
    """Discriminators with new weights; `normalization`: a layer to use instead of `--discriminator_norm`'s."""
    model = config.model
    return MultiScaleDiscriminator(
        model.image_size,
        len(model.attributes),
        model.width,
        config.loss.conditioning,
        config.loss.discriminator_norm,
        normalization,
        dtype=policy,
    )


def checkpoint_steps(run_dir: str | os.PathLike[str]) -> list[int]:
    """The steps of a run's checkpoints that have all their files, oldest first; empty if it has none."""
    files = CheckpointFiles(run_dir)
    return [step for step in files.steps() if not files.lacks(step)]


def newest_checkpoint(run_dir: str | os.PathLike[str], lists: Sequence[str] = ("",)) -> int | None:
    """The step of a run's newest checkpoint that can be read; damaged ones are passed over with a warning.

    Args:
        run_dir: the run directory, not packed.
        lists: the lists of a learner's variables that must be readable; by default everything.

    Returns:
        The step; None if there are no files of any checkpoint.

    Raises:
        UserError: there are checkpoints and none of them can be read, or one must not be read.
    """
    files = CheckpointFiles(run_dir)
    damages: list[str] = []
    for step in reversed(files.steps()):
        damage = _damage(files, step, lists)
        if not damage:
            for earlier in damages:
                logging.warning("%s; the checkpoint of step %d is taken instead", earlier, step)
            return step
        damages.append(f"{files.path(step)} cannot be read: {damage}")
    if damages:
        raise UserError("; ".join(damages))
    return None


def load_generator(run: str | os.PathLike[str], step: int | None = None) -> tuple[Elegant, int]:
    """The generator that a run edits with, its exponential moving average if it keeps one, and its step.

    Args:
        run: a run directory, packed or not, or the name of a model that comes with the package.
        step: which checkpoint; None: the newest.

    Raises:
        UserError: there is no such run or checkpoint, or it is damaged or does not fit its configuration.
    """
    model = read_model(run)
    if is_packed(run):
        generator = make_generator(model, "float32")
        return generator, _load_packed(generator, run, step)
    step = _step_of(run, step)
    with opened(run, step) as path:
        dtypes = checkpoint_reader(path).get_variable_to_dtype_map()
    # Mixed precision is for training: its weights are float32, and so are edits with them.
    generator = make_generator(model, "float64" if tf.float64 in dtypes.values() else "float32")
    averaged = any(name.startswith(f"learner/{_AVERAGE}") for name in dtypes)
    _restore(run, step, _AVERAGE if averaged else _GENERATOR, generator)
    return generator, step


def load_discriminator(
    config: Config, run: str | os.PathLike[str], step: int | None, dtype: str
) -> MultiScaleDiscriminator:
    """The discriminators of a run's checkpoint. Raises UserError as `load_generator` does."""
    discriminator = make_discriminator(config, dtype)
    _restore(run, _step_of(run, step), _DISCRIMINATOR, discriminator)
    return discriminator


def pack(
    run: str | os.PathLike[str], out: str | os.PathLike[str], step: int | None = None, flip_tta: bool = False
) -> int:
    """Writes the generator that a run edits with to a new directory, a packed run, which every command takes as a run.

    Weights are rounded to float16, and everything that only training needs is left out.

    Args:
        run: as in `load_generator`.
        out: a directory that does not exist yet; it appears whole or not at all.
        step: which checkpoint; None: the newest.
        flip_tta: whether the packed run edits with flip test-time augmentation, even if the run does not.

    Returns:
        The step.

    Raises:
        UserError: the run cannot be loaded, `out` exists or cannot be written, or a weight is beyond float16's range.
    """
    generator, step = load_generator(run, step)
    weights = [np.asarray(value, np.float32) for value in generator.get_weights()]
    if any(np.abs(value).max() > np.finfo(np.float16).max for value in weights):
        raise UserError(f"{out}: a weight is too large for 16 bits; this run cannot be packed")
    groups = _without_paths(config_groups(run))
    groups["model"] = {**groups.get("model", {}), **({"flip_tta": True} if flip_tta else {})}
    with atomic_directory(out, last=PACKED_FILE) as aside:
        halves = [value.astype(np.float16) for value in weights]
        np.savez_compressed(aside / PACKED_FILE, **packed_arrays(step, halves))
        write_text(aside / CONFIG_FILE, json.dumps({"version": VERSION, **groups}, indent=2) + "\n")
    return step


def packed_arrays(step: int, weights: Sequence[np.ndarray], **others: Any) -> dict[str, Any]:
    """The arrays by name in the file of a packed run: its step, its weights, and others that are no weights."""
    return {_STEP: np.int64(step), **others, **{f"{place:03d}": value for place, value in enumerate(weights)}}


def _without_paths(groups: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The groups of a configuration without paths, which mean nothing on another machine."""
    blank = {"data": {"data_dir": ".", "labels_file": ""}, "run": {"start_from": "", "export_dir": ""}}
    return {
        name: {field: blank.get(name, {}).get(field, value) if value else value for field, value in group.items()}
        for name, group in groups.items()
    }


def _load_packed(generator: Elegant, run: str | os.PathLike[str], step: int | None) -> int:
    """Sets a generator's weights to those of a packed run, and returns their step."""
    path = find_run(run) / PACKED_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            there = int(arrays[_STEP])
            values = [arrays[name].astype(np.float32) for name in sorted(filter(str.isdigit, arrays.files))]
        if step in (None, there):
            generator.set_weights(values)
    except Exception as error:  # A damaged archive raises almost any error of zlib, zipfile or NumPy.
        raise UserError(f"{path}: is damaged or does not fit its config.json: {str(error).splitlines()[0]}") from error
    if step not in (None, there):
        raise UserError(f"{run}: no checkpoint of step {step}; it is a packed run of step {there}")
    return there


def checkpoint_reader(path: str) -> tf.train.CheckpointReader:
    """The reader of a checkpoint. Raises OpError if it is missing or damaged."""
    # tf.train.load_checkpoint looks for a directory first, and ram:// takes what a name begins with for one.
    return tf.compat.v1.train.NewCheckpointReader(path)


@contextmanager
def opened(run_dir: str | os.PathLike[str], step: int) -> Iterator[str]:
    """The path of a checkpoint as TensorFlow must be given it to read.

    Raises:
        UserError: for what TensorFlow raises in the block if the checkpoint is damaged or of another network.
    """
    path = CheckpointFiles(run_dir).path(step)
    with literal(path.parent) as folder:
        try:
            yield str(folder / path.name)
        except UNREADABLE as error:
            raise UserError(f"cannot restore {path}: {reason(error)}") from error


def _damage(files: CheckpointFiles, step: int, lists: Sequence[str]) -> str:
    """Why values of a checkpoint cannot be read; empty if all can."""
    if lacking := files.lacks(step):
        return f"{lacking} is missing"
    files.check_access(step)
    # Who only edits needs a part of the files, which TensorFlow's own checksums cover.
    if lists == ("",) and (altered := files.altered(step)):
        return f"{altered} is not as it was saved: its SHA-256 is another"
    with literal(files.folder) as folder:
        try:
            reader = checkpoint_reader(str(folder / files.path(step).name))
            for name in reader.get_variable_to_shape_map():
                if not name.startswith("learner/") or name.startswith(tuple(f"learner/{one}" for one in lists)):
                    reader.get_tensor(name)
        except UNREADABLE as error:
            return reason(error)
    return ""


def _step_of(run: str | os.PathLike[str], step: int | None) -> int:
    """The step of a run's checkpoint: the newest that a generator can be read from, or `step` if there is one of it."""
    newest = newest_checkpoint(run, (_GENERATOR, _AVERAGE)) if step is None else step
    if newest is None:
        raise UserError(f"{run}: no checkpoint yet; train it first (train.py --run_dir={run})")
    if newest not in (steps := checkpoint_steps(run)):
        raise UserError(f"{run}: no checkpoint of step {newest}; there are {', '.join(map(str, steps))}")
    return newest


def _restore(run_dir: str | os.PathLike[str], step: int, name: str, network: keras.Model) -> None:
    """Restores every weight of a network from one list of a learner's variables in a checkpoint."""
    part = tf.train.Checkpoint(**{name: [tf_variable(variable) for variable in network.weights]})
    with opened(run_dir, step) as path:
        status = tf.train.Checkpoint(learner=part).restore(path)
        status.assert_existing_objects_matched().expect_partial()
