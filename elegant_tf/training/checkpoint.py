"""Checkpoints of a run: everything that training needs to go on, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from absl import logging

from elegant_tf.checkpoint_files import CheckpointFiles
from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.files import free_bytes, literal
from elegant_tf.model.elegant import Elegant
from elegant_tf.model.keras_versions import state_name, tf_variable
from elegant_tf.rundir import check_start
from elegant_tf.runs import checkpoint_reader, checkpoint_steps, load_generator, newest_checkpoint, opened
from elegant_tf.training.gradients import GradientStep
from elegant_tf.training.update import Learner

# The first of an optimizer's variables.
_FIRST = "learner/{name}/0/.ATTRIBUTES/VARIABLE_VALUE"

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
        _ = self._checkpoint.save_counter  # TensorFlow makes it when it is first read; it is in every checkpoint.
        self._run_dir = run_dir
        self._files = CheckpointFiles(run_dir)
        self._kept = kept
        self._damaged: set[int] = set()

    def save(self, step: int) -> str:
        """Saves as this step's checkpoint, then removes those beyond the newest that are kept; returns its path.

        Raises:
            UserError: it cannot be written. Then nothing is left of it, and the others stay.
        """
        with self._files.written(step) as path, literal(path.parent) as folder:
            self._checkpoint.write(str(folder / path.name))
        self._damaged.discard(step)
        self._remove_old(step)
        return str(self._files.path(step))

    def find(self) -> int | None:
        """The step of the newest checkpoint that can be read; what a kill left unfinished is put right or removed.

        Damaged ones are passed over with a warning. They are replaced when training saves that step again.

        Returns:
            The step; None if there are no files of any checkpoint.

        Raises:
            UserError: there are checkpoints and none of them can be read.
        """
        self._files.finish()
        try:
            step = newest_checkpoint(self._run_dir)
        except UserError as error:
            raise UserError(f"{error}. Put back a copy of the files, or choose another --run_dir") from error
        self._damaged = {later for later in self._files.steps() if step is not None and later > step}
        return step

    def restore(self, step: int | None = None) -> str | None:
        """Restores a checkpoint, every value of it, and returns its path.

        Args:
            step: its step; None: the one that `find` finds.

        Returns:
            The path; None if there are no files of any checkpoint.

        Raises:
            UserError: it cannot be read or does not fit.
        """
        step = self.find() if step is None else step
        if step is None:
            return None
        if lacking := self._files.lacks(step):
            raise UserError(f"{self._files.folder}: has no {lacking}; all workers must see the same run directory")
        with opened(self._run_dir, step) as path:
            reader = checkpoint_reader(path)
            if _is_old(reader):
                part = tf.train.Checkpoint(learner=tf.train.Checkpoint(**_networks(self._learner)))
                part.restore(path).assert_existing_objects_matched().expect_partial()
                for side in ("generator", "discriminator"):
                    _restore_old(reader, side, getattr(self._learner, f"{side}_step"), self._learner.updates)
            else:
                self._restore(path, reader)
        return str(self._files.path(step))

    def _restore(self, path: str, reader: tf.train.CheckpointReader) -> None:
        optimizers = _optimizers(self._learner)
        found = {name: held for name, held in optimizers.items() if reader.has_tensor(_FIRST.format(name=name))}
        if len(found) == len(optimizers):
            self._checkpoint.restore(path).assert_consumed()
            return
        for name in optimizers.keys() - found.keys():
            side = name.partition("_")[0]
            logging.warning("the %s's optimizer begins anew: the checkpoint is of another version of Keras", side)
        part = tf.train.Checkpoint(learner=tf.train.Checkpoint(**_networks(self._learner), **found))
        part.restore(path).assert_existing_objects_matched().expect_partial()

    def newest(self) -> str | None:
        """The path of the newest checkpoint that is not known to be damaged; None if there is none."""
        steps = self._sound()
        return str(self._files.path(steps[-1])) if steps else None

    def check_room(self, saves: int) -> None:
        """Refuses a disk that is too full for this many checkpoints to come, of which only the newest are kept.

        Raises:
            UserError: it is, saying how much is needed.
        """
        size = sum(variable.shape.num_elements() * variable.dtype.size for variable in self._variables())
        count = min(saves, max(1, self._kept + 1 - len(self._sound())))
        free = free_bytes(self._files.folder)
        if count * size > free:
            raise UserError(
                f"{self._files.folder}: the disk has {free / 1e6:,.1f} MB free, and {count} checkpoints of "
                f"{size / 1e6:,.1f} MB are to be written. Make room, choose another --run_dir, "
                "or lower --checkpoints_kept"
            )

    def _variables(self) -> Iterator[tf.Variable]:
        for held in [*_networks(self._learner).values(), *_optimizers(self._learner).values()]:
            yield from held if isinstance(held, (list, tuple)) else [held]

    def _sound(self) -> list[int]:
        """The steps of the checkpoints that have all their files and are not known to be damaged."""
        return [step for step in checkpoint_steps(self._run_dir) if step not in self._damaged]

    def _remove_old(self, newest: int) -> None:
        kept = [step for step in self._sound() if step <= newest][-self._kept :]
        for step in self._files.steps():
            if step < kept[0]:
                self._files.remove(step)
        self._files.write_list(kept)


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


def _networks(learner: Learner) -> dict[str, Any]:
    """What every version's checkpoints hold under the same names."""
    held = {
        "generator_variables": [tf_variable(variable) for variable in learner.generator.weights],
        "discriminator_variables": [tf_variable(variable) for variable in learner.discriminator.weights],
        "updates": learner.updates,
    }
    if learner.average is not None:
        held["averaged_variables"] = [tf_variable(variable) for variable in learner.average.weights]
    return held


def _optimizers(learner: Learner) -> dict[str, Any]:
    steps = {"generator": learner.generator_step, "discriminator": learner.discriminator_step}
    return {f"{side}_{state_name(step.optimizer)}": step.state for side, step in steps.items()}


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
