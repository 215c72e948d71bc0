"""Trains on two CPU devices with the layers of a GPU, in a process of its own: TensorFlow starts with the devices set.

`run("overflow")` and `run("golden2")` start this file as a script and read back what it saves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
REPLICAS = 2


def run(job: str) -> dict[str, np.ndarray]:
    """Runs a job in a fresh process; its results by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        command = [sys.executable, __file__, job, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(path) as file:
            return dict(file)


def main(job: str, path: str) -> None:
    """The script: trains and saves."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(REPLICAS)])
    results = overflow(strategy) if job == "overflow" else train_golden(strategy, int(job[-1]))
    np.savez(path, **results)


def overflow(strategy) -> dict[str, np.ndarray]:
    """A scaled step in which the second replica alone has infinite gradients, and a good one: weights and scales."""
    import keras
    import tensorflow as tf
    import tiny

    from elegant_tf.training.gradients import GradientStep

    with strategy.scope():
        weight = tiny.variable(np.ones(3))
        step = GradientStep([weight], keras.optimizers.SGD(0.25), loss_scaling=True, replicas=REPLICAS)

    def on_one(factor):
        with tf.GradientTape() as tape:
            loss = factor * tf.reduce_sum(tf.square(step.variables[0]))
        step(tape, loss)

    update = tf.function(lambda factors: strategy.run(on_one, args=(factors,)))
    results = {}
    for name, factors in (("bad", [1.0, np.inf]), ("good", [1.0, 1.0])):
        share = lambda context, factors=factors: tf.constant(factors[context.replica_id_in_sync_group])  # noqa: E731
        update(strategy.experimental_distribute_values_from_function(share))
        results |= {f"{name}/weights": _on_each(strategy, weight), f"{name}/scales": _on_each(strategy, step.scale)}
    return results


def train_golden(strategy, count: int) -> dict[str, np.ndarray]:
    """The authors' three updates in float64: losses of each, weights after."""
    import authors
    import ours

    with strategy.scope():
        learner = ours.make_learner(count, "float64", REPLICAS, gpu=True)
    ours.assign_initial_weights(learner)
    update = _distributed(strategy, learner)
    results = {}
    for index in range(authors.UPDATES):
        terms = update(_split(strategy, ours.batch(count, index, "float64")))
        results |= {f"u{index}/{golden}": terms[name].numpy() for golden, name in ours.LOSSES.items()}
    return results | {f"weight/{name}": value for name, value in ours.weights(learner).items()}


def _distributed(strategy, learner):
    import tensorflow as tf

    @tf.function(autograph=False)
    def update(batch):
        terms = strategy.run(learner.update, args=(batch,))
        return {name: strategy.reduce(tf.distribute.ReduceOp.SUM, term, axis=None) for name, term in terms.items()}

    return update


def _split(strategy, batch):
    """Gives each replica its share of a batch."""
    import tensorflow as tf

    def share(context):
        k = context.replica_id_in_sync_group
        parts = {name: np.split(np.asarray(value), REPLICAS)[k] for name, value in batch.items()}
        return {name: tf.constant(part) for name, part in parts.items()}

    return strategy.experimental_distribute_values_from_function(share)


def _on_each(strategy, variable) -> list[np.ndarray]:
    import tensorflow as tf

    variable = variable if isinstance(variable, tf.Variable) else variable.value
    return [part.numpy() for part in strategy.experimental_local_results(variable)]


if __name__ == "__main__":
    main(*sys.argv[1:])
