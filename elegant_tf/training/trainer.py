"""The outer loop: when to log, sample, save and stop. What an update does is `step.py`'s."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.config import CONFIG_FILE, Config
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.sources import open_source
from elegant_tf.data.truths import Truths, truth_dataset
from elegant_tf.errors import UserError
from elegant_tf.evaluation.monitor import Monitor
from elegant_tf.images import to_uint8
from elegant_tf.training.checkpoint import CHECKPOINT_DIR, Checkpoints, checkpoint_steps, load_start
from elegant_tf.training.packed import PACKED_FILE
from elegant_tf.training.step import Learner
from elegant_tf.training.strategy import make_strategy, shared_out
from elegant_tf.training.summary import Summary

# Updates in one call of the compiled loop, at most: a signal waits for the call under way.
UPDATES_PER_CALL = 20
SAMPLE_PAIRS = 8


class Trainer:
    """A run: its data, networks, checkpoints and directory. Going on where the directory's last checkpoint stands.

    Args:
        config: the run's options.
        run_dir: the run directory; made when missing.

    Raises:
        UserError: the directory holds a run of another configuration, or the data cannot be used.
    """

    def __init__(self, config: Config, run_dir: str | os.PathLike[str]) -> None:
        self.config = config
        self.run_dir = Path(run_dir)
        check_run_dir(config, self.run_dir)
        self._source = open_source(
            config.data,
            config.data_dir,
            config.attributes,
            config.image_size,
            config.seed,
            config.faces_count,
            labels_file=config.labels_file,
        )
        self._sampler = PairSampler(
            self._source.labels,
            config.batch_size,
            config.attribute_schedule,
            config.seed,
            config.flip,
            config.match_attributes,
        )
        self._strategy = make_strategy(config)
        self._truths = None
        if config.truth_weight:
            self._truths = Truths(
                self._source,
                config.truths_count,
                config.seed,
                config.exchange_share,
                config.truth_attributes,
                config.truth_restyle_share,
            )
        keras.utils.set_random_seed(config.seed)
        with self._strategy.scope():
            self.learner = Learner(config, self._strategy.num_replicas_in_sync)
            if config.start_from and not checkpoint_steps(self.run_dir):
                self.learner.start_with(load_start(config))
        self._checkpoints = Checkpoints(self.learner, self.run_dir, config.checkpoints_kept)
        self._monitor = Monitor(config) if config.evaluate_every else None
        self._stop_signal: int | None = None

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.learner.updates.numpy()) // self.config.updates_per_step

    def train(self) -> None:
        """Trains to the last step, or until a signal or the time limit; saves before it returns.

        Raises:
            UserError: a loss or a weight is no longer finite (the last checkpoint stands), or too many images
                cannot be read.
        """
        self._begin()
        start, deadline = self.step, self._deadline()
        summary = Summary(self.run_dir, self.config.steps, start)
        bad_images = BadImages(len(self._source.labels))
        dataset = self._batches(start * self.config.updates_per_step, bad_images)
        try:
            with self._watch_signals():
                batches = iter(shared_out(dataset, self._strategy))
                self._loop(batches, summary, deadline)
        except tf.errors.OpError as error:
            if bad_images.failure:
                raise UserError(bad_images.failure) from error
            raise
        finally:
            summary.close()
            if bad_images.count:
                logging.warning("%s", bad_images.report())

    def _batches(self, first: int, bad_images: BadImages) -> tf.data.Dataset:
        """Pairs, and exchanges with right answers if the run learns from them, from batch `first` on."""
        config, pairs = self.config, pair_dataset(self._source, self._sampler, first, bad_images)
        if self._truths is None:
            return pairs
        truths = truth_dataset(self._source, self._truths, config.truths_per_update, config.seed, config.flip, first)
        return tf.data.Dataset.zip((pairs, truths)).map(lambda pair, truth: {**pair, **truth})

    def _begin(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.config.save(self.run_dir)
        path = self._checkpoints.restore()
        if path is not None:
            logging.info("resuming at step %d from %s", self.step, path)

    def _deadline(self) -> float:
        return time.monotonic() + 60.0 * self.config.max_minutes if self.config.max_minutes else math.inf

    def _loop(self, batches: Iterator, summary: Summary, deadline: float) -> None:
        config, run_updates = self.config, self._compile()
        pending: list[tuple[int, dict[str, float]]] = []
        first = step = saved = self.step
        # However short the time, one call is made, so that a run in pieces gets on.
        while step < config.steps and self._stop_signal is None and (step == first or time.monotonic() < deadline):
            count = self._steps_until_due(step)
            updates = count * config.updates_per_step
            means = {name: float(value) for name, value in run_updates(batches, tf.constant(updates)).items()}
            step += count
            self._check_finite(means, step)
            pending.append((updates, means))
            if self._due(step, config.log_every) or step == config.steps:
                images = 2 * config.batch_size * sum(count for count, _ in pending)
                summary.progress(step, _weighted_mean(pending), images)
                pending.clear()
            if self._due(step, config.checkpoint_every):
                self._save(step)
                saved = step
            if self._due(step, config.sample_every):
                summary.samples(step, self.sample_grid())
            if self._due(step, config.evaluate_every):
                summary.evaluation(step, self._monitor.measure(self.learner.editing_generator))
        if step > saved:
            self._save(step)
        self._say_why_stopped(step)

    def _compile(self) -> Callable[[Iterator, tf.Tensor], dict[str, tf.Tensor]]:
        update = tf.function(self.learner.update, jit_compile=self.config.jit or None)
        strategy = self._strategy

        def one(batches: Iterator) -> dict[str, tf.Tensor]:
            terms = strategy.run(update, args=(next(batches),))
            return {name: strategy.reduce(tf.distribute.ReduceOp.SUM, term, axis=None) for name, term in terms.items()}

        @tf.function
        def run_updates(batches: Iterator, count: tf.Tensor) -> dict[str, tf.Tensor]:
            sums = one(batches)
            for _ in tf.range(count - 1):
                terms = one(batches)
                sums = {name: value + terms[name] for name, value in sums.items()}
            return {name: value / tf.cast(count, value.dtype) for name, value in sums.items()}

        return run_updates

    def _steps_until_due(self, step: int) -> int:
        config = self.config
        most = max(1, UPDATES_PER_CALL // config.updates_per_step)
        cadences = (config.log_every, config.checkpoint_every, config.sample_every, config.evaluate_every)
        return min(most, config.steps - step, *(every - step % every for every in cadences if every))

    @staticmethod
    def _due(step: int, every: int) -> bool:
        return bool(every) and step % every == 0

    def _check_finite(self, losses: dict[str, float], step: int) -> None:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"training diverged by step {step}: {', '.join(bad)} is not finite. The last checkpoint is untouched; "
                "go on from it with a lower --learning_rate in a new --run_dir, or with --precision=float32"
            )

    def _save(self, step: int) -> None:
        variables = [*self.learner.generator.weights, *self.learner.discriminator.weights]
        if not all(np.isfinite(variable.numpy()).all() for variable in variables):
            self._check_finite({"a weight": math.nan}, step)
        path = self._checkpoints.save(step)
        logging.info("saved %s", path)

    def sample_grid(self) -> np.ndarray:
        """Fixed training pairs as uint8 rows `[n, 8, S, S, 3]`: A, B, C, D, A1, B1 and the residuals of C and D."""
        batch = next(iter(pair_dataset(self._source, self._sampler).take(1)))
        batch = {name: value[:SAMPLE_PAIRS] for name, value in batch.items()}
        made = self.learner.generate(batch)
        images = [batch["a"], batch["b"], *tf.split(made.edited, 2), *tf.split(made.reconstructed, 2)]
        residuals = [residual / 2.0 for residual in tf.split(made.residuals, 2)]
        return np.stack([to_uint8(np.asarray(column)) for column in [*images, *residuals]], axis=1)

    @contextmanager
    def _watch_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {number: signal.signal(number, self._note_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _note_signal(self, number: int, frame: object) -> None:
        if self._stop_signal is not None:  # Asked twice: leave at once, as the user then expects.
            raise KeyboardInterrupt
        self._stop_signal = number
        logging.info("%s: saving, then leaving (once more to leave at once)", signal.Signals(number).name)

    def _say_why_stopped(self, step: int) -> None:
        if self._stop_signal is not None:
            why = f"{signal.Signals(self._stop_signal).name}: left at step {step}; the same command goes on from there"
        elif step < self.config.steps:
            why = f"{self.config.max_minutes:g} minutes are over at step {step}; the same command goes on from there"
        else:
            why = f"all {step} steps are done"
        logging.info("%s", why)

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended training."""
        return self._stop_signal is not None


def check_run_dir(config: Config, run_dir: str | os.PathLike[str]) -> None:
    """Refuses a directory in which this configuration must not train.

    Raises:
        UserError: it holds a run whose configuration differs, naming the fields; or a packed run; or checkpoints
            without a configuration; or it is no directory.
    """
    run_dir = Path(run_dir)
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"--run_dir={run_dir}: is a file; must be a directory to make or to go on in")
    if (run_dir / PACKED_FILE).exists():
        raise UserError(f"--run_dir={run_dir}: is a packed run, which cannot be trained on; choose another --run_dir")
    if (run_dir / CONFIG_FILE).exists():
        differences = Config.load(run_dir).differences(config)
        if differences:
            listed = ", ".join(f"{name} (there {old}, now {new})" for name, (old, new) in differences.items())
            raise UserError(
                f"--run_dir={run_dir}: holds a run of another configuration: {listed}. "
                "Choose another --run_dir, or the same options to go on with that run"
            )
    elif (run_dir / CHECKPOINT_DIR).exists():
        raise UserError(f"--run_dir={run_dir}: has checkpoints but no {CONFIG_FILE}; choose another --run_dir")


def _weighted_mean(rows: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    total = sum(count for count, _ in rows)
    return {name: sum(count * losses[name] for count, losses in rows) / total for name in rows[0][1]}
