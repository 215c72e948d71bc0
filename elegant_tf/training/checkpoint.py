"""Checkpoints of a run: everything that training needs to go on, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf
from absl import logging

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.model.elegant import Elegant
from elegant_tf.rundir import CHECKPOINT_DIR, CHECKPOINT_PREFIX, check_start
from elegant_tf.runs import load_generator, readable
from elegant_tf.training.gradients import GradientStep
from elegant_tf.training.update import Learner

# Where checkpoints of configurations of version 0 have the optimizers, whose variables had other names then.
_OLD_OPTIMIZER = "learner/{side}_optimizer/{slot}/{place}/.ATTRIBUTES/VARIABLE_VALUE"
_OLD_SCALAR = "learner/{side}_optimizer/{name}/.ATTRIBUTES/VARIABLE_VALUE"


class Checkpoints:
    """The checkpoints in a run directory; the newest are kept.

    Args:
        learner: what to save and restore: networks, optimizers, counters, the average.
        run_dir: the run directory.
        kept: how many checkpoints to keep.
    """

    def __init__(self, learner: Learner, run_dir: str | os.PathLike[str], kept: int) -> None:
        self._learner = learner
        self._checkpoint = tf.train.Checkpoint(
            learner=tf.train.Checkpoint(**_networks(learner), **_optimizers(learner))
        )
        self._directory = str(Path(run_dir) / CHECKPOINT_DIR)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, self._directory, max_to_keep=kept, checkpoint_name=CHECKPOINT_PREFIX
        )

    def save(self, step: int) -> str:
        """Saves as this step's checkpoint and returns its path."""
        return self._manager.save(checkpoint_number=step)

    def restore(self) -> str | None:
        """Restores the newest checkpoint, every value of it, and returns its path; None if there is none.

        Raises:
            UserError: the checkpoint is damaged or does not fit.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return None
        cure = f"Remove its files, and its line in {self._directory}/checkpoint, to go on from an earlier one"
        with readable(path, cure):
            reader = tf.train.load_checkpoint(path)
            if _is_old(reader):
                part = tf.train.Checkpoint(learner=tf.train.Checkpoint(**_networks(self._learner)))
                part.restore(path).assert_existing_objects_matched().expect_partial()
                for side in ("generator", "discriminator"):
                    _restore_old(reader, side, getattr(self._learner, f"{side}_step"), self._learner.updates)
            else:
                self._checkpoint.restore(path).assert_consumed()
        return path


def load_start(config: Config) -> Elegant:
    """The generator of the run that `--start_from` names, to start a run of this configuration from.

    Raises:
        UserError: there is no such run, it cannot be read, or its generator has another architecture.
    """
    check_start(config)
    try:
        return load_generator(config.run.start_from)[0]
    except UserError as error:
        raise UserError(f"--start_from={config.run.start_from}: {error}") from error


def _networks(learner: Learner) -> dict:
    """What every version's checkpoints hold under the same names."""
    held = {
        "generator_variables": [variable.value for variable in learner.generator.weights],
        "discriminator_variables": [variable.value for variable in learner.discriminator.weights],
        "updates": learner.updates,
    }
    if learner.average is not None:
        held["averaged_variables"] = [variable.value for variable in learner.average.weights]
    return held


def _optimizers(learner: Learner) -> dict:
    return {
        "generator_optimizer_state": learner.generator_step.state,
        "discriminator_optimizer_state": learner.discriminator_step.state,
    }


def _is_old(reader: tf.train.CheckpointReader) -> bool:
    return reader.has_tensor(_OLD_SCALAR.format(side="generator", name="beta_powers/0"))


def _restore_old(reader: tf.train.CheckpointReader, side: str, step: GradientStep, updates: tf.Variable) -> None:
    """Takes over the moments of a version 0 optimizer, which listed them by the variables that have them."""
    optimizer = step.optimizer
    if not all(hasattr(optimizer, slot) for slot in ("means", "squares")):
        logging.warning("the %s's optimizer begins anew: the checkpoint holds another one's state", side)
        return
    for slot in ("means", "squares", "momenta"):
        used = [variable for variable in getattr(optimizer, slot, []) if variable is not None]
        for place, variable in enumerate(used):
            variable.assign(reader.get_tensor(_OLD_OPTIMIZER.format(side=side, slot=slot, place=place)))
    optimizer.iterations.assign(updates)
    if step.scale is not None:
        for name in ("scale", "good_updates"):
            getattr(step, name).assign(reader.get_tensor(_OLD_SCALAR.format(side=side, name=name)))
