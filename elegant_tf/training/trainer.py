"""The outer loop: when to log, sample, evaluate, save and stop. What an update does is in `update.py`."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from elegant_tf.model.keras_versions import check_layer, check_optimizer
from elegant_tf.paths import any_path
from elegant_tf.remote import as_path, is_remote
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
from elegant_tf.training.best import Best, check_best
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints, load_start
from elegant_tf.training.reporter import LOG_FILE, Reporter
from elegant_tf.training.strategy import Workers, distribute, make_strategy
from elegant_tf.training.summary import METRICS_FILE, Summary
from elegant_tf.training.trace import Trace
from elegant_tf.training.update import choose_exchanged, generate

SAMPLE_PAIRS = 8

# Options in which workers may differ: where each finds the data and the run to start from.
OF_A_WORKER = ("data_dir", "labels_file", "start_from")

# What a worker asks of the others between calls.
_GO_ON, _LATE, _SIGNALLED = 0, 1, 2

Evaluator: TypeAlias = Callable[[Elegant], Mapping[str, float]]
"""From the generator to edit with to what was measured of it, numbers by name."""


class Trainer:
    """A run: its data, networks, checkpoints and directory. Training goes on from the directory's last checkpoint.

    Args:
        config: the run's configuration.
        run_dir: the run directory; made when missing.
        evaluator: called every `--evaluate_every` steps, which must be 0 without one.
        terms: further losses of the generator, see `losses.term.Term`.
        generator_optimizer, discriminator_optimizer: any Keras optimizers, with Keras 2 tensorflow-addons', too; None:
            what `--optimizer` names.
        discriminator_normalization: any layer that keeps shapes, of Keras or with Keras 2 of tensorflow-addons, such as
            `keras.layers.GroupNormalization(groups=-1)`; copies of it follow the discriminators' convolutions. None:
            what `--discriminator_norm` names. A run that was trained with one is resumed with one like it.
        on_screen: whether to show progress on `sys.stderr`; it goes to the run directory's `train.log` in any case.
        strategy: the devices that train; None: what `--strategy` names. With several machines, every worker makes a
            trainer, and worker 0, the chief, alone writes to the run directory, which all must see.

    Raises:
        UserError: the directory holds a run of another configuration or cannot be written, another process trains in
            it, the data cannot be used, an optimizer or layer is of another Keras than the one that is installed, or
            the other workers cannot be reached.
    """

    def __init__(
        self,
        config: Config,
        run_dir: str | os.PathLike[str],
        evaluator: Evaluator | None = None,
        terms: Sequence[Term] = (),
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_normalization: keras.layers.Layer | None = None,
        on_screen: bool = True,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        self.config = config
        self.run_dir = as_path(any_path(run_dir, "run_dir"))
        check_run_dir(config, self.run_dir)
        self._strategy = strategy or make_strategy(config.run, config.data.batch_size)
        self._workers = Workers(self._strategy)
        if self.is_chief:
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
        keras.utils.set_random_seed(seed)
        with self._workers.together(), self._strategy.scope():  # the chief sends the others its first weights
            self.learner = make_learner(
                config,
                self._strategy.num_replicas_in_sync,
                terms,
                _in_this_scope(generator_optimizer, "generator_optimizer"),
                _in_this_scope(discriminator_optimizer, "discriminator_optimizer"),
                _checked(discriminator_normalization, "discriminator_normalization"),
            )
        self._checkpoints = Checkpoints(self.learner, self.run_dir, config.run.checkpoints_kept)
        self._evaluator = evaluator
        self._best: Best | None = None
        self._reporter = Reporter(self.run_dir if self.is_chief else None, on_screen and self.is_chief)
        self._check_alone: Callable[[], None] = lambda: None
        self._stop_signal: int | None = None
        self._interrupted = False

    @property
    def is_chief(self) -> bool:
        """Whether this process alone, of all workers, writes to the run directory."""
        return self._workers.is_chief

    @property
    def step(self) -> int:
        """Steps trained so far."""
        return int(self.learner.updates.numpy()) // self.config.updates_per_step

    def train(self) -> None:
        """Trains to the last step, or until a signal or the time limit; saves before it returns.

        Raises:
            UserError: a loss or a weight is no longer finite, too many images cannot be read, something cannot be
                written or has no room, another process trains in the run directory, or another worker is gone or was
                given other options or data. The text names the newest checkpoint.
        """
        with self._alone(), self._reporter:
            self._begin()
            try:
                self._train()
            except UserError as error:
                newest = self._checkpoints.newest()
                saved = f"The newest checkpoint is {newest}" if newest else "No checkpoint has been saved"
                raise UserError(f"{error}. {saved}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The chief holds the run directory's lock."""
        if not self.is_chief:
            yield
            return
        with locked(self.run_dir) as self._check_alone:
            check_run_dir(self.config, self.run_dir)  # Another process may have trained there since the first check.
            self.check_room()
            yield

    def check_room(self) -> None:
        """Refuses a disk without room for the checkpoints to come.

        Raises:
            UserError: it has none, saying how much is needed.
        """
        options, steps = self.config.run, checkpoint_steps(self.run_dir)
        left = max(0, options.steps - (steps[-1] if steps else 0))
        self._checkpoints.check_room(math.ceil(left / (options.checkpoint_every or options.steps)))

    def _train(self) -> None:
        start, deadline, reporter = self.step, self._deadline(), self._reporter
        steps = self.config.run.steps
        summary = Summary(self.run_dir, steps, start, reporter, deadline) if self.is_chief else None
        trace = Trace(self.config.run.profiled if self.is_chief else None, self.run_dir / SUMMARIES_DIR)
        bad_images = BadImages(len(self._source.labels))

        def read(worker: int, workers: int) -> tf.data.Dataset:
            first = start * self.config.updates_per_step
            return pair_dataset(self._source, self._sampler, first, bad_images, worker=worker, workers=workers)

        try:
            with self._watch_signals(), self._workers.together():
                self._loop(iter(distribute(read, self._strategy)), summary, trace, deadline)
        except (tf.errors.OpError, UserError) as error:
            if bad_images.failure:
                raise UserError(bad_images.failure) from error
            raise
        finally:
            trace.close()
            if summary:
                summary.close()
            if bad_images.count:
                logging.warning("%s", bad_images.report())

    def _start_from(self, generator: Elegant) -> None:
        """Takes over the weights of another generator, for the average, too."""
        for mine in filter(None, (self.learner.generator, self.learner.average)):
            mine.set_weights(generator.get_weights())

    def _begin(self) -> None:
        self._check_workers()
        if self.is_chief:
            for folder in (self.run_dir, self.run_dir / SAMPLES_DIR, self.run_dir / CHECKPOINT_DIR):
                remove_parts(folder)
            if (self.run_dir / CONFIG_FILE).exists():
                for option, advice in removed_options(self.run_dir).items():
                    logging.warning("this run was trained with --%s, an option that is gone: %s", option, advice)
        # All workers begin where the chief does, whatever checkpoints they see.
        found = self._checkpoints.find() if self.is_chief else None
        step = self._workers.gather(-1 if found is None else found)[0]
        if step >= 0:
            path = self._checkpoints.restore(step)
            self._reporter.note(f"resuming at step {self.step} from {path}")
        elif self.config.run.start_from:
            self._start_from(load_start(self.config))
        if self.is_chief:
            write_config(self.config, self.run_dir)
            self._best = Best(self.config, self.run_dir) if self.config.run.keep_best != "none" else None

    def _check_workers(self) -> None:
        """Raises UserError unless all workers train the same run on the same data."""
        mine = {name: value for name, value in self.config.flags().items() if name not in OF_A_WORKER}
        self._workers.check_alike("the options", json.dumps(mine, sort_keys=True).encode())
        self._workers.check_alike("the images' labels", np.ascontiguousarray(self._source.labels).tobytes())

    def _deadline(self) -> float:
        return time.monotonic() + 60.0 * self.config.run.max_minutes if self.config.run.max_minutes else math.inf

    def _loop(self, batches: Iterator[Any], summary: Summary | None, trace: Trace, deadline: float) -> None:
        run_updates = self._compile()
        pending: list[tuple[int, dict[str, float]]] = []
        first = step = saved = self.step
        if summary and first and self._due(first, self.config.run.evaluate_every):
            self._evaluate(first, summary)  # in case a kill came before that was done
        # However short the time, one call is made, so that a run in pieces makes progress.
        while step < self.config.run.steps and (step == first or not self._must_stop(deadline)):
            trace.at(step)
            count = self._steps_until_due(step)
            updates = count * self.config.updates_per_step
            means = {name: float(value) for name, value in run_updates(batches, tf.constant(updates)).items()}
            step += count
            self._check_finite(means, step)
            if summary:
                pending.append((updates, means))
                self._report(step, pending, summary)
            if self._due(step, self.config.run.checkpoint_every):
                self._save(step, summary)
                saved = step
            if summary:
                self._show(step, summary)
        if step > saved:
            self._save(step, summary)
        self._say_why_stopped(step)

    def _must_stop(self, deadline: float) -> bool:
        """Whether a signal or the time ends training, here or in another worker: all leave at the same step."""
        mine = _SIGNALLED if self._stop_signal is not None else _LATE if time.monotonic() >= deadline else _GO_ON
        asked = max(self._workers.gather(mine))
        self._interrupted |= asked == _SIGNALLED
        return asked != _GO_ON

    def _report(self, step: int, pending: list[tuple[int, dict[str, float]]], summary: Summary) -> None:
        """Reports what is due at a step; `pending`: updates and their mean losses since the last line of progress."""
        options = self.config.run
        summary.advance(step)
        if self._due(step, options.log_every) or step == options.steps:
            images = 2 * self.config.data.batch_size * sum(count for count, _ in pending)
            summary.progress(step, _weighted_mean(pending), images)
            pending.clear()

    def _show(self, step: int, summary: Summary) -> None:
        """Writes the samples and makes the evaluation that are due at a step."""
        if self._due(step, self.config.run.sample_every):
            summary.samples(step, self.sample_grid())
        if self._due(step, self.config.run.evaluate_every):
            self._evaluate(step, summary)

    def _evaluate(self, step: int, summary: Summary) -> None:
        """Evaluates the generator of a step, unless that was done before, and keeps it if it is the best so far."""
        generator, numbers = self.learner.editing_generator, summary.evaluated(step)
        if numbers is None and self._evaluator:
            numbers = dict(self._evaluator(generator))
            summary.evaluation(step, numbers)
        if self._best and numbers is not None and self._best.offer(step, numbers, generator):
            self._reporter.note(f"best so far: {self._best}", routine=True)

    def _compile(self) -> Callable[[Iterator[Any], tf.Tensor], dict[str, tf.Tensor]]:
        # Nothing in an update needs AutoGraph, which would take as long as the tracing itself.
        update = tf.function(self.learner.update, jit_compile=self.config.run.jit or None, autograph=False)
        strategy, names, dtype = self._strategy, self.learner.loss_names, self.learner.generator.variable_dtype

        def one(batches: Iterator[Any]) -> dict[str, tf.Tensor]:
            terms = strategy.run(update, args=(next(batches),))
            return {name: strategy.reduce(tf.distribute.ReduceOp.SUM, term, axis=None) for name, term in terms.items()}

        @tf.function
        def run_updates(batches: Iterator[Any], count: tf.Tensor) -> dict[str, tf.Tensor]:
            # The only place with an update: TensorFlow optimizes the graph of each.
            sums = {name: tf.zeros([], dtype) for name in names}
            for _ in tf.range(count):
                terms = one(batches)
                sums = {name: value + terms[name] for name, value in sums.items()}
            return {name: value / tf.cast(count, value.dtype) for name, value in sums.items()}

        return run_updates

    def _steps_until_due(self, step: int) -> int:
        options = self.config.run
        most = max(1, options.updates_per_call // self.config.updates_per_step)
        cadences = (options.log_every, options.checkpoint_every, options.sample_every, options.evaluate_every)
        first, last = options.profiled or (1, 0)
        edges = [edge - step for edge in (first - 1, last) if edge > step]
        return min(most, options.steps - step, *edges, *(every - step % every for every in cadences if every))

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

    def _save(self, step: int, summary: Summary | None) -> None:
        """Saves, if this is the chief; all workers see whether the weights are finite."""
        variables = [*self.learner.generator.weights, *self.learner.discriminator.weights]
        if not all(np.isfinite(variable.numpy()).all() for variable in variables):
            self._check_finite({"a weight": math.nan}, step)
        if self.is_chief:
            self._check_alone()
            if summary:
                summary.flush()
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
        self._stop_signal, self._interrupted = number, True
        self._reporter.note(f"{signal.Signals(number).name}: saving, then leaving (once more to leave at once)")

    def _say_why_stopped(self, step: int) -> None:
        go_on = "the same command continues from there"
        if self._interrupted:
            mine = self._stop_signal
            by = "a signal to another worker" if mine is None else signal.Signals(mine).name
            why = f"{by}: left at step {step}; {go_on}"
        elif step < self.config.run.steps:
            why = f"{self.config.run.max_minutes:g} minutes are over at step {step}; {go_on}"
        else:
            why = f"all {step} steps are done"
        self._reporter.note(why)

    @property
    def interrupted(self) -> bool:
        """Whether a signal to this process or to another worker ended training."""
        return self._interrupted


def check_run_dir(config: Config, run_dir: str | os.PathLike[str]) -> None:
    """Refuses a directory in which this configuration must not or cannot train. Writes nothing.

    Raises:
        UserError: it holds a run whose configuration differs, naming the fields; or a packed run; or checkpoints
            without a configuration; or it is no directory, or something in it cannot be written.
    """
    run_dir = as_path(run_dir)
    if run_dir.is_file() if is_remote(run_dir) else os.path.lexists(run_dir) and not os.path.isdir(run_dir):
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
    if config.run.keep_best != "none":
        check_best(config, run_dir)


def _stop_signals() -> list[signal.Signals]:
    """Signals upon which a training saves and leaves. `nohup` has SIGHUP ignored, which stays so."""
    stays = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if stays else [signal.SIGHUP])]


def _in_this_scope(optimizer: keras.optimizers.Optimizer | None, name: str) -> keras.optimizers.Optimizer | None:
    """A new optimizer like this one. One made outside a strategy's scope would let replicas diverge silently.

    Raises UserError, naming the argument that it was passed as, if it is of another Keras.
    """
    if optimizer is None:
        return None
    check_optimizer(optimizer, name)
    return type(optimizer).from_config(optimizer.get_config())


def _checked(layer: keras.layers.Layer | None, name: str) -> keras.layers.Layer | None:
    if layer is not None:
        check_layer(layer, name)
    return layer


def _weighted_mean(rows: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    total = sum(count for count, _ in rows)
    return {name: sum(count * losses[name] for count, losses in rows) / total for name in rows[0][1]}
