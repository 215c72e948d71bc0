"""Trains a generator on counterfactual targets: drawn people wearing what others wear, which only a drawing can give.

    python recipes/counterfactual_targets.py --run_dir=runs/targets --minutes=120
    elegant-tf pack --run runs/targets --out targets --flip_tta
    python train.py --preset=modern --width=56 --start_from=runs/targets --run_dir=runs/more

Run the first command again after an interruption: at most five minutes of training are lost.

The shipped model `faces` learned in this way. Two people exchange attributes; the generator is trained towards the
drawn results of the exchange, C and D. There is no adversary, and no counterpart for photographs, whose targets nobody
knows. Every command takes the run that this writes; its discriminators are untrained.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.files import write_text
from elegant_tf.images import to_float
from elegant_tf.model.elegant import Elegant
from elegant_tf.presets import preset
from elegant_tf.rundir import write_config
from elegant_tf.synthetic import draw_faces
from elegant_tf.synthetic.source import FacesSource
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints
from elegant_tf.training.optimizers import Muon
from elegant_tf.training.trainer import check_run_dir
from elegant_tf.training.update import Learner

# Restyled bangs are learned last: two thirds of the exchanges are about them. Both people have the attribute in three
# of four exchanges; each other attribute is exchanged along with probability 0.1.
SHARES = {"Eyeglasses": 1, "Bangs": 8, "Mustache": 1, "Smiling": 1, "Wearing_Hat": 1}
RESTYLE_SHARE, EXCHANGE_SHARE = 0.75, 0.1
# Errors where a target keeps the input count less: else the generator does best to leave unsure pixels alone.
KEPT_WEIGHT, FLOOR = 0.05, 0.01
CALL_UPDATES = 20
SAVE_MINUTES = 5.0
# In the run directory: how many minutes its checkpoint has trained.
MINUTES_FILE = "minutes.txt"


class Exchanges:
    """Drawn exchanges: images A and B, targets C and D, uint8 `[M, 4, S, S, 3]`, and what is exchanged, `[M, n]`."""

    def __init__(self, people: FacesSource, count: int, seed: int) -> None:
        random = np.random.default_rng([seed, 1])
        shares = np.array([SHARES[name] for name in people.attributes], float)
        attribute = random.choice(len(shares), count, p=shares / shares.sum())
        both = random.random(count) < RESTYLE_SHARE
        a, b = (np.empty(count, int) for _ in range(2))
        for row, (index, restyles) in enumerate(zip(attribute, both, strict=True)):
            has = people.labels[:, index]
            a[row] = random.choice(np.flatnonzero(has == 1))
            b[row] = random.choice(np.flatnonzero(has == int(restyles)))
        own = np.eye(len(shares), dtype=bool)[attribute]
        self.exchanged = (own | (random.random(own.shape) < EXCHANGE_SHARE)).astype(np.float32)
        names = [[name for name, one in zip(people.attributes, row, strict=True) if one] for row in self.exchanged]
        wearers = [people.faces[i].wearing(people.faces[j], given) for i, j, given in zip(a, b, names, strict=True)]
        wearers += [people.faces[j].wearing(people.faces[i], given) for i, j, given in zip(a, b, names, strict=True)]
        c, d = np.split(draw_faces(wearers, people.image_size, workers=None), 2)
        self.images = np.stack([people.images[a], people.images[b], c, d], axis=1)

    def batch(self, k: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch k: images `[4, N, S, S, 3]` and what is exchanged. Half are mirrored, half exchanged back (C and D)."""
        random = np.random.default_rng([k, 2])
        rows = random.integers(0, len(self.images), size)
        images = self.images[rows]
        mirrored, back = random.random((2, size)) < 0.5
        images[mirrored] = images[mirrored][:, :, :, ::-1]
        images[back] = images[back][:, [2, 3, 0, 1]]
        return np.moveaxis(images, 1, 0), self.exchanged[rows]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", type=Path, required=True, help="run directory to write")
    parser.add_argument("--minutes", type=float, default=120.0, help="of training, after drawing")
    parser.add_argument("--count", type=int, default=40_000, help="exchanges to draw")
    parser.add_argument("--people", type=int, default=16_000, help="faces to draw")
    parser.add_argument("--width", type=int, default=56)
    parser.add_argument("--batch_size", type=int, default=16, help="exchanges per update")
    parser.add_argument("--learning_rate", type=float, default=4e-3)
    parser.add_argument("--precision", default="mixed_bfloat16", help="float32 on CPUs without avx512_bf16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = preset("modern", width=options.width, faces_count=options.people, ema_half_life=300.0, seed=options.seed)
    config = config.replace(precision=options.precision)
    check_run_dir(config, options.run_dir)
    keras.utils.set_random_seed(options.seed)
    optimizer = Muon(options.learning_rate)
    learner = make_learner(config, generator_optimizer=optimizer)
    write_config(config, options.run_dir)
    checkpoints, minutes_file = Checkpoints(learner, options.run_dir, kept=1), options.run_dir / MINUTES_FILE
    trained = float(minutes_file.read_text()) if checkpoints.restore() else 0.0
    model = config.model
    people = FacesSource(model.attributes, model.image_size, options.seed, options.people, workers=None)
    exchanges = Exchanges(people, options.count, options.seed)
    for minutes in train(learner, optimizer, exchanges, options, trained):
        print(checkpoints.save(int(learner.updates)))
        write_text(minutes_file, f"{minutes}\n")


def train(
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


if __name__ == "__main__":
    main()
