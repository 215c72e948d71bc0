"""Checkpoints of a run: everything that training needs to go on, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.model import Elegant, MultiScaleDiscriminator
from elegant_tf.training.packed import is_packed, load_packed
from elegant_tf.training.step import Learner

CHECKPOINT_DIR = "checkpoints"
PREFIX = "step"

# What TensorFlow raises on damaged files (IndexError: data cut short) and on values that do not fit.
UNREADABLE = (AssertionError, IndexError, ValueError, tf.errors.OpError)


class Checkpoints:
    """The checkpoints in a run directory, newest kept.

    Args:
        learner: what to save and restore: networks, optimizers, counters, the averaged generator.
        run_dir: the run directory.
        kept: how many checkpoints to keep.
    """

    def __init__(self, learner: Learner, run_dir: str | os.PathLike[str], kept: int) -> None:
        self._checkpoint = tf.train.Checkpoint(learner=learner)
        self._directory = str(Path(run_dir) / CHECKPOINT_DIR)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, self._directory, max_to_keep=kept, checkpoint_name=PREFIX
        )

    def save(self, step: int) -> str:
        """Saves as this step's checkpoint and returns its path."""
        return self._manager.save(checkpoint_number=step)

    def restore(self) -> str | None:
        """Restores the newest checkpoint, every value of it, and returns its path; None where there is none.

        Raises:
            UserError: the checkpoint is damaged or does not fit.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return None
        try:
            self._checkpoint.restore(path).assert_consumed()
        except UNREADABLE as error:
            raise UserError(
                f"cannot restore {path}: {str(error).splitlines()[0]}. Remove its files, and its line in "
                f"{self._directory}/checkpoint, to go on from an earlier one"
            ) from error
        return path


def checkpoint_steps(run_dir: str | os.PathLike[str]) -> list[int]:
    """The steps of a run's checkpoints, oldest first; none where there are none."""
    state = tf.train.get_checkpoint_state(str(Path(run_dir) / CHECKPOINT_DIR))
    return [_step_of(path) for path in state.all_model_checkpoint_paths] if state else []


def load_generator(generator: Elegant, averaged: bool, run_dir: str | os.PathLike[str], step: int | None = None) -> int:
    """Restores a generator alone from a run's checkpoint; returns its step.

    Args:
        generator: a built model of the run's configuration.
        averaged: whether to take the averaged generator's values.
        run_dir: the run directory.
        step: which checkpoint; None: the newest.

    Raises:
        UserError: no such checkpoint there, or one that does not fit.
    """
    name = "averaged_variables" if averaged else "generator_variables"
    return _load(name, generator, run_dir, step)


def load_editing_generator(
    config: Config, run_dir: str | os.PathLike[str], step: int | None = None
) -> tuple[Elegant, int]:
    """The generator that a run edits with, averaged if it keeps averages, and its step; raises as `load_generator`.

    `run_dir`: also a packed run, or the name of a model that comes with the package.
    """
    # Mixed precision is for training: its weights are float32, and so is editing with them.
    dtype = "float64" if config.precision == "float64" else "float32"
    generator = Elegant(**config.generator_arguments, dtype=dtype)
    generator.build()
    if is_packed(run_dir):
        return generator, load_packed(generator, run_dir, step)
    return generator, load_generator(generator, bool(config.ema_half_life), run_dir, step)


def load_start(config: Config) -> Elegant:
    """The generator of the run that `config.start_from` names, to begin a run of this configuration with.

    Raises:
        UserError: there is no such run, it cannot be read, or its generator is another kind of network.
    """
    try:
        there = Config.load(config.start_from)
        for name in ("attributes", "width", "depth"):
            if getattr(there, name) != getattr(config, name):
                raise UserError(
                    f"its --{name} is {getattr(there, name)}, and must be this run's {getattr(config, name)}"
                )
        generator, _ = load_editing_generator(there, config.start_from)
    except UserError as error:
        raise UserError(f"--start_from={config.start_from}: {error}") from error
    return generator


def load_discriminator(
    discriminator: MultiScaleDiscriminator, run_dir: str | os.PathLike[str], step: int | None = None
) -> int:
    """Restores the discriminators alone, as `load_generator` does the generator; returns the step."""
    return _load("discriminator_variables", discriminator, run_dir, step)


def _load(name: str, model: keras.Model, run_dir: str | os.PathLike[str], step: int | None) -> int:
    steps = checkpoint_steps(run_dir)
    if not steps:
        raise UserError(f"{run_dir}: no checkpoint yet; train it first (train.py --run_dir={run_dir})")
    step = steps[-1] if step is None else step
    if step not in steps:
        raise UserError(f"{run_dir}: no checkpoint of step {step}; there are {', '.join(map(str, steps))}")
    path = str(Path(run_dir) / CHECKPOINT_DIR / f"{PREFIX}-{step}")
    part = tf.train.Checkpoint(**{name: [variable.value for variable in model.weights]})
    try:
        status = tf.train.Checkpoint(learner=part).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except UNREADABLE as error:
        raise UserError(f"cannot restore {path}: {str(error).splitlines()[0]}") from error
    return step


def _step_of(path: str) -> int:
    return int(path.rsplit("-", 1)[1])
