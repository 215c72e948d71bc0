"""The outer loop: when to log, sample, evaluate, save and stop. What an update does is in `update.py`."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from elegant_tf.config import Config
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.sampler import PairSampler
from elegant_tf.errors import UserError
from elegant_tf.files import remove_parts
from elegant_tf.images import to_uint8
from elegant_tf.losses.term import Term, halves
from elegant_tf.model.elegant import Elegant
from elegant_tf.paths import local_path
from elegant_tf.rundir import (
    CHECKPOINT_DIR,
    CONFIG_FILE,
    EVALUATIONS_FILE,
    PACKED_FILE,
    SAMPLES_DIR,
    SUMMARIES_DIR,
    check_start,
    check_usable,
    read_config,
    removed_options,
    write_config,
)
from elegant_tf.runlock import check_unlocked, locked
from elegant_tf.runs import checkpoint_steps
from elegant_tf.sources import open_source
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints, load_start
from elegant_tf.training.reporter import LOG_FILE, Reporter
from elegant_tf.training.strategy import distribute, make_strategy
from elegant_tf.training.summary import METRICS_FILE, Summary
from elegant_tf.training.update import choose_exchanged, generate

# Updates in one call of the compiled loop, at most: a signal waits for the call under way.
UPDATES_PER_CALL = 20
SAMPLE_PAIRS = 8

Evaluator: TypeAlias = Callable[[Elegant], Mapping[str, float]]
"""From the generator to edit with to what was measured of it, numbers by name."""


class Trainer:
    """A run: its data, networks, checkpoints and directory. Training goes on from the directory's last checkpoint.

    Args:
        config: the run's configuration.
        run_dir: the run directory; made when missing.
        evaluator: called every `--evaluate_every` steps, which must be 0 without one.
        terms: further losses of the generator, see `losses.term.Term`.
        generator_optimizer, discriminator_optimizer: any Keras optimizers; None: what `--optimizer` names.
        on_screen: whether to show progress on `sys.stderr`; it goes to the run directory's `train.log` in any case.

    Raises:
        UserError: the directory holds a run of another configuration or cannot be written, another process trains in
            it, or the data cannot be used.
    """

    def __init__(
        self,
        config: Config,
        run_dir: str | os.PathLike[str],
        evaluator: Evaluator | None = None,
        terms: Sequence[Term] = (),
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        on_screen: bool = True,
    ) -> None:
        self.config = config
        self.run_dir = Path(local_path(run_dir, "run_dir"))
        check_run_dir(config, self.run_dir)
        check_unlocked(self.run_dir)
        if config.run.evaluate_every and evaluator is None:
            raise UserError(f"--evaluate_every={config.run.evaluate_every}: needs an evaluator; pass one, or 0")
        data, seed = config.data, config.run.seed
        self._source = open_source(data, config.model.attributes, config.model.image_size, seed=seed)
        self._sampler = PairSampler(
            self._source.labels,
            data.batch_size,
            data.attribute_schedule,
            seed,
            data.flip,
            data.match_attributes,
            data.jitter,
        )
        self._strategy = make_strategy(config.run.strategy, data.batch_size)
        keras.utils.set_random_seed(seed)
        with self._strategy.scope():
            self.learner = make_learner(
                config,
                self._strategy.num_replicas_in_sync,
                terms,
                _in_this_scope(generator_optimizer),
                _in_this_scope(discriminator_optimizer),
            )
        self._checkpoints = Checkpoints(self.learner, self.run_dir, config.run.checkpoints_kept)
        self._evaluator = evaluator
        self._reporter = Reporter(self.run_dir, on_screen)
        self._stop_signal: int | None = None

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.learner.updates.numpy()) // self.config.updates_per_step

    def train(self) -> None:
        """Trains to the last step, or until a signal or the time limit; saves before it returns.

        Raises:
            UserError: a loss or a weight is no longer finite, too many images cannot be read, something cannot be
                written or has no room, or another process trains in the run directory. The text names the newest
                checkpoint.
        """
        with locked(self.run_dir):
            check_run_dir(self.config, self.run_dir)  # Another process may have trained there since the first check.
            self.check_room()
            with self._reporter:
                self._begin()
                try:
                    self._train()
                except UserError as error:
                    newest = self._checkpoints.newest()
                    saved = f"The newest checkpoint is {newest}" if newest else "No checkpoint has been saved"
                    raise UserError(f"{error}. {saved}") from error

    def check_room(self) -> None:
        """Refuses a disk without room for the checkpoints to come.

        Raises:
            UserError: it has none, saying how much is needed.
        """
        options, steps = self.config.run, checkpoint_steps(self.run_dir)
        left = max(0, options.steps - (steps[-1] if steps else 0))
        self._checkpoints.check_room(math.ceil(left / (options.checkpoint_every or options.steps)))

    def _train(self) -> None:
        start, deadline = self.step, self._deadline()
        summary = Summary(self.run_dir, self.config.run.steps, start, self._reporter, deadline)
        bad_images = BadImages(len(self._source.labels))
        first = start * self.config.updates_per_step
        dataset = pair_dataset(self._source, self._sampler, first, bad_images)
        try:
            with self._watch_signals():
                batches = iter(distribute(dataset, self._strategy))
                self._loop(batches, summary, deadline)
        except tf.errors.OpError as error:
            if bad_images.failure:
                raise UserError(bad_images.failure) from error
            raise
        finally:
            summary.close()
            if bad_images.count:
                logging.warning("%s", bad_images.report())

    def _start_from(self, generator: Elegant) -> None:
        """Takes over the weights of another generator, for the average, too."""
        for mine in filter(None, (self.learner.generator, self.learner.average)):
            mine.set_weights(generator.get_weights())

    def _begin(self) -> None:
        for folder in (self.run_dir, self.run_dir / SAMPLES_DIR, self.run_dir / CHECKPOINT_DIR):
            remove_parts(folder)
        if (self.run_dir / CONFIG_FILE).exists():
            for option, advice in removed_options(self.run_dir).items():
                logging.warning("this run was trained with --%s, an option that is gone: %s", option, advice)
        path = self._checkpoints.restore()
        if path is None and self.config.run.start_from:
            self._start_from(load_start(self.config))
        write_config(self.config, self.run_dir)
        if path is not None:
            self._reporter.note(f"resuming at step {self.step} from {path}")

    def _deadline(self) -> float:
        return time.monotonic() + 60.0 * self.config.run.max_minutes if self.config.run.max_minutes else math.inf

    def _loop(self, batches: Iterator[Any], summary: Summary, deadline: float) -> None:
        options, run_updates = self.config.run, self._compile()
        pending: list[tuple[int, dict[str, float]]] = []
        first = step = saved = self.step
        # However short the time, one call is made, so that a run in pieces makes progress.
        while step < options.steps and self._stop_signal is None and (step == first or time.monotonic() < deadline):
            count = self._steps_until_due(step)
            updates = count * self.config.updates_per_step
            means = {name: float(value) for name, value in run_updates(batches, tf.constant(updates)).items()}
            step += count
            summary.advance(step)
            self._check_finite(means, step)
            pending.append((updates, means))
            if self._due(step, options.log_every) or step == options.steps:
                images = 2 * self.config.data.batch_size * sum(count for count, _ in pending)
                summary.progress(step, _weighted_mean(pending), images)
                pending.clear()
            if self._due(step, options.checkpoint_every):
                self._save(step)
                saved = step
            if self._due(step, options.sample_every):
                summary.samples(step, self.sample_grid())
            if self._evaluator and self._due(step, options.evaluate_every):
                summary.evaluation(step, self._evaluator(self.learner.editing_generator))
        if step > saved:
            self._save(step)
        self._say_why_stopped(step)

    def _compile(self) -> Callable[[Iterator[Any], tf.Tensor], dict[str, tf.Tensor]]:
        update = tf.function(self.learner.update, jit_compile=self.config.run.jit or None)
        strategy = self._strategy

        def one(batches: Iterator[Any]) -> dict[str, tf.Tensor]:
            terms = strategy.run(update, args=(next(batches),))
            return {name: strategy.reduce(tf.distribute.ReduceOp.SUM, term, axis=None) for name, term in terms.items()}

        @tf.function
        def run_updates(batches: Iterator[Any], count: tf.Tensor) -> dict[str, tf.Tensor]:
            sums = one(batches)
            for _ in tf.range(count - 1):
                terms = one(batches)
                sums = {name: value + terms[name] for name, value in sums.items()}
            return {name: value / tf.cast(count, value.dtype) for name, value in sums.items()}

        return run_updates

    def _steps_until_due(self, step: int) -> int:
        options = self.config.run
        most = max(1, UPDATES_PER_CALL // self.config.updates_per_step)
        cadences = (options.log_every, options.checkpoint_every, options.sample_every, options.evaluate_every)
        return min(most, options.steps - step, *(every - step % every for every in cadences if every))

    @staticmethod
    def _due(step: int, every: int) -> bool:
        return bool(every) and step % every == 0

    def _check_finite(self, losses: dict[str, float], step: int) -> None:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"training diverged by step {step}: {', '.join(bad)} is not finite. The last checkpoint is untouched; "
                "start a new run from it (--start_from) with a lower --learning_rate, or with --precision=float32"
            )

    def _save(self, step: int) -> None:
        variables = [*self.learner.generator.weights, *self.learner.discriminator.weights]
        if not all(np.isfinite(variable.numpy()).all() for variable in variables):
            self._check_finite({"a weight": math.nan}, step)
        path = self._checkpoints.save(step)
        self._reporter.note(f"saved {path}", routine=True)

    def sample_grid(self) -> np.ndarray:
        """Fixed training pairs as uint8 rows `[n, 8, S, S, 3]`: A, B, C, D, A1, B1 and the residuals of C and D."""
        batch = next(iter(pair_dataset(self._source, self._sampler).take(1)))
        batch = {name: value[:SAMPLE_PAIRS] for name, value in batch.items()}
        exchanged = choose_exchanged(batch, share=0.0, seed=None)
        made = generate(self.learner.generator, batch, exchanged)
        images = [*halves(made.images), *halves(made.edited), *halves(made.reconstructed)]
        residuals = [residual / 2.0 for residual in halves(made.residuals)]
        return np.stack([to_uint8(np.asarray(column)) for column in [*images, *residuals]], axis=1)

    @contextmanager
    def _watch_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {number: signal.signal(number, self._note_signal) for number in _stop_signals()}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _note_signal(self, number: int, frame: object) -> None:
        if self._stop_signal is not None:
            if number == signal.SIGHUP:  # A terminal that closes sends it, and then its shell does, too.
                return
            raise KeyboardInterrupt  # Asked twice: leave at once, as the user then expects.
        self._stop_signal = number
        self._reporter.note(f"{signal.Signals(number).name}: saving, then leaving (once more to leave at once)")

    def _say_why_stopped(self, step: int) -> None:
        go_on = "the same command continues from there"
        if self._stop_signal is not None:
            why = f"{signal.Signals(self._stop_signal).name}: left at step {step}; {go_on}"
        elif step < self.config.run.steps:
            why = f"{self.config.run.max_minutes:g} minutes are over at step {step}; {go_on}"
        else:
            why = f"all {step} steps are done"
        self._reporter.note(why)

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended training."""
        return self._stop_signal is not None


def check_run_dir(config: Config, run_dir: str | os.PathLike[str]) -> None:
    """Refuses a directory in which this configuration must not or cannot train. Writes nothing.

    Raises:
        UserError: it holds a run whose configuration differs, naming the fields; or a packed run; or checkpoints
            without a configuration; or it is no directory, or something in it cannot be written.
    """
    run_dir = Path(run_dir)
    if os.path.lexists(run_dir) and not os.path.isdir(run_dir):
        raise UserError(f"--run_dir={run_dir}: is a file; must be a directory to make or to go on in")
    try:
        os.fspath(run_dir).encode()
    except UnicodeEncodeError:
        raise UserError(f"--run_dir={os.fspath(run_dir)!a}: is not UTF-8, as TensorFlow needs it; rename it") from None
    check_usable(run_dir, [CHECKPOINT_DIR, SUMMARIES_DIR, SAMPLES_DIR], [METRICS_FILE, EVALUATIONS_FILE, LOG_FILE])
    if config.run.start_from and not (run_dir / CONFIG_FILE).exists():
        check_start(config)
    if (run_dir / PACKED_FILE).exists():
        raise UserError(f"--run_dir={run_dir}: is a packed run, which cannot be trained on; choose another --run_dir")
    if (run_dir / CONFIG_FILE).exists():
        differences = read_config(run_dir).differences(config)
        if differences:
            listed = ", ".join(f"{name} (there {old}, now {new})" for name, (old, new) in differences.items())
            raise UserError(
                f"--run_dir={run_dir}: holds a run of another configuration: {listed}. "
                "Choose another --run_dir, or the same options to go on with that run"
            )
    elif (run_dir / CHECKPOINT_DIR).exists():
        raise UserError(
            f"--run_dir={run_dir}: has checkpoints but no {CONFIG_FILE}; put it back, or choose another --run_dir"
        )


def _stop_signals() -> list[signal.Signals]:
    """Signals upon which a training saves and leaves. `nohup` has SIGHUP ignored, which stays so."""
    stays = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if stays else [signal.SIGHUP])]


def _in_this_scope(optimizer: keras.optimizers.Optimizer | None) -> keras.optimizers.Optimizer | None:
    """A new optimizer like this one. One made outside a strategy's scope would let replicas diverge silently."""
    return None if optimizer is None else type(optimizer).from_config(optimizer.get_config())


def _weighted_mean(rows: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    total = sum(count for count, _ in rows)
    return {name: sum(count * losses[name] for count, losses in rows) / total for name in rows[0][1]}
