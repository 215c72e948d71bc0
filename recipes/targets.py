"""Learning towards known targets, for the recipes beside: a generator alone, without an adversary.

Two images A and B exchange attributes; the generator is trained towards C and D, the exact results of the exchange.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.files import write_text
from elegant_tf.images import to_float
from elegant_tf.model.elegant import Elegant
from elegant_tf.rundir import write_config
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints
from elegant_tf.training.optimizers import Muon
from elegant_tf.training.trainer import check_run_dir
from elegant_tf.training.update import Learner

# Both people have the attribute in three of four exchanges; every other attribute is exchanged along with probability
# 0.1.
RESTYLE_SHARE, EXCHANGE_SHARE = 0.75, 0.1
# Errors where a target keeps the input count less: else the generator does best to leave unsure pixels alone.
KEPT_WEIGHT, FLOOR = 0.05, 0.01
CALL_UPDATES = 20
SAVE_MINUTES = 5.0
# In the run directory: how many minutes its checkpoint has trained.
MINUTES_FILE = "minutes.txt"


class Exchanges:
    """Exchanges to learn from.

    Args:
        images: A, B and their targets C and D, uint8 `[M, 4, S, S, 3]`.
        exchanged: which attributes are exchanged, float32 `[M, n]` in {0, 1}.
    """

    def __init__(self, images: np.ndarray, exchanged: np.ndarray) -> None:
        self.images, self.exchanged = images, exchanged

    def batch(self, k: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch k: images `[4, N, S, S, 3]` and what is exchanged. Half are mirrored, half exchanged back (C and D)."""
        random = np.random.default_rng([k, 2])
        rows = random.integers(0, len(self.images), size)
        images = self.images[rows]
        mirrored, back = random.random((2, size)) < 0.5
        images[mirrored] = images[mirrored][:, :, :, ::-1]
        images[back] = images[back][:, [2, 3, 0, 1]]
        return np.moveaxis(images, 1, 0), self.exchanged[rows]


def choose_exchanges(
    shares: np.ndarray, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `count` exchanges are about.

    Returns:
        The index of each one's own attribute, `[M]`, chosen in these shares; whether both people have it, `[M]`, else
        A alone has it; and which attributes are exchanged, float32 `[M, n]`.
    """
    attribute = random.choice(len(shares), count, p=shares / shares.sum())
    both = random.random(count) < RESTYLE_SHARE
    own = np.eye(len(shares), dtype=bool)[attribute]
    return attribute, both, (own | (random.random(own.shape) < EXCHANGE_SHARE)).astype(np.float32)


def add_options(
    parser: argparse.ArgumentParser, minutes: float, count: int, width: int, batch_size: int, learning_rate: float
) -> None:
    """The options that the recipes share, with these defaults."""
    parser.add_argument("--run_dir", type=Path, required=True, help="run directory to write")
    parser.add_argument("--minutes", type=float, default=minutes, help="of training, after drawing")
    parser.add_argument("--count", type=int, default=count, help="exchanges to draw")
    parser.add_argument("--width", type=int, default=width)
    parser.add_argument("--batch_size", type=int, default=batch_size, help="exchanges per update")
    parser.add_argument("--learning_rate", type=float, default=learning_rate)
    words = "of the convolutions; float32 is faster on some CPUs, see docs/performance.md"
    parser.add_argument("--precision", default="mixed_bfloat16", help=words)
    parser.add_argument("--seed", type=int, default=0)


def train_on(draw: Callable[[], Exchanges], config: Config, options: argparse.Namespace) -> None:
    """Draws exchanges and trains a generator on them, or goes on with a run that was interrupted."""
    check_run_dir(config, options.run_dir)
    keras.utils.set_random_seed(options.seed)
    optimizer = Muon(options.learning_rate)
    learner = make_learner(config, generator_optimizer=optimizer)
    write_config(config, options.run_dir)
    checkpoints, minutes_file = Checkpoints(learner, options.run_dir, kept=1), options.run_dir / MINUTES_FILE
    trained = float(minutes_file.read_text()) if checkpoints.restore() else 0.0
    for minutes in _train(learner, optimizer, draw(), options, trained):
        print(checkpoints.save(int(learner.updates)), flush=True)
        write_text(minutes_file, f"{minutes}\n")


def _train(
    learner: Learner, optimizer: Muon, exchanges: Exchanges, options: argparse.Namespace, minutes: float
) -> Iterator[float]:
    """Trains from these minutes to the given ones, and yields the minutes when it is time to save.

    Errors are squared at first and absolute for the second half, in which the learning rate falls to 0.
    """
    batches = tf.data.Dataset.counter(learner.updates.numpy()).map(
        lambda k: tf.numpy_function(exchanges.batch, [k, options.batch_size], (tf.uint8, tf.float32)),
        num_parallel_calls=2,
    )
    batches = iter(batches.prefetch(4))
    shape = [4, options.batch_size, *exchanges.images.shape[2:]]

    @tf.function
    def updates(absolute: tf.Tensor) -> tf.Tensor:
        error = tf.constant(0.0)
        for _ in tf.range(CALL_UPDATES):
            images, exchanged = next(batches)
            exchanged = tf.ensure_shape(exchanged, [options.batch_size, exchanges.exchanged.shape[1]])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(learner.generator_step.variables)
                error = target_error(learner.generator, tf.ensure_shape(images, shape), exchanged, absolute)
            learner.generator_step(tape, error)
            learner.follow()
            learner.updates.assign_add(1)
        return error

    saved = minutes
    while minutes < options.minutes:
        began, progress = time.monotonic(), minutes / options.minutes
        optimizer.learning_rate = options.learning_rate * min(1.0, (1.0 - progress) / 0.5)
        error = float(updates(tf.constant(progress >= 0.5)))
        minutes += (time.monotonic() - began) / 60
        if minutes - saved > SAVE_MINUTES or minutes >= options.minutes:
            saved = minutes
            print(f"{minutes:.0f} minutes  {int(learner.updates)} updates  error {error:.4f}", flush=True)
            yield minutes


def target_error(generator: Elegant, images: tf.Tensor, exchanged: tf.Tensor, absolute: tf.Tensor) -> tf.Tensor:
    """Error of both edits relative to what their inputs lack; squared, or absolute: images uint8 `[4, N, S, S, 3]`."""
    a, b, c, d = tf.unstack(to_float(tf.cast(images, tf.float32)))
    inputs, targets = tf.concat([a, b], 0), tf.concat([c, d], 0)
    codes, skips = generator.encode(inputs, training=True)
    exemplars = tf.roll(codes, len(a), axis=0)[:, None]
    coefficients = tf.tile(exchanged, [2, 1])[:, None]
    edited, _ = generator.edit_encoded(inputs, codes, skips, exemplars, coefficients, training=True)
    error, lacking = tf.abs(edited - targets), tf.abs(inputs - targets)
    changed = tf.reduce_any(lacking > 0, axis=-1, keepdims=True)
    error, lacking = (tf.where(absolute, size, tf.square(size)) for size in (error, lacking))
    error = tf.where(absolute & ~changed, KEPT_WEIGHT * error, error)
    error, lacking = (tf.reduce_mean(values, axis=[1, 2, 3]) for values in (error, lacking))
    return tf.reduce_mean(error / (lacking + FLOOR))
