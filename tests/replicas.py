"""Trains on two CPU devices with the layers of a GPU, in a process of its own: TensorFlow starts with the devices set.

`run("tiny")`, with the options `TINY`, and `run("golden2")` start this file as a script and read back what it saves.
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
# Not the cycles: their partners and random numbers are those of a replica's part of the batch.
TINY = {
    "precision": "float64",
    "ema_half_life": 5.0,
    "mismatch_weight": 1.0,
    "r1_weight": 1.0,
    "residual_weight": 1.0,
    "width": 12,
    "optimizer": "muon",
}


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
    results = train_tiny(strategy) | overflow(strategy) if job == "tiny" else train_golden(strategy, int(job[-1]))
    np.savez(path, **results)


def train_tiny(strategy) -> dict[str, np.ndarray]:
    """Three updates of the tiny run: the last losses, and every weight on both replicas."""
    import keras
    import tiny

    from elegant_tf.model.cpu_kernels import training_policy
    from elegant_tf.training.build import make_learner

    config = tiny.config(**TINY)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        learner = make_learner(config, REPLICAS, policy=training_policy("float64", gpu=True))
    update = _distributed(strategy, learner)
    for seed in range(3):
        terms = update(_split(strategy, tiny.batch(config, seed)))
    trained = [*learner.generator.weights, *learner.discriminator.weights, *learner.average.weights]
    results = {f"loss/{name}": value.numpy() for name, value in terms.items()}
    for index, variable in enumerate(trained):
        results |= {f"weight/{index}/{k}": value for k, value in enumerate(_on_each(strategy, variable))}
    return results


def overflow(strategy) -> dict[str, np.ndarray]:
    """One float16 update in which the second replica's images alone are not finite."""
    import tiny

    from elegant_tf.model.cpu_kernels import training_policy
    from elegant_tf.training.build import make_learner

    config = tiny.config(precision="mixed_float16")
    with strategy.scope():
        learner = make_learner(config, REPLICAS, policy=training_policy("mixed_float16", gpu=True))
    batch = tiny.batch(config)
    broken = batch["a"].numpy()
    broken[-1] = np.inf
    trained = [*learner.generator.weights, *learner.discriminator.weights]
    before = [_on_each(strategy, variable) for variable in trained]
    _distributed(strategy, learner)(_split(strategy, {**batch, "a": broken}))
    after = [_on_each(strategy, variable) for variable in trained]
    scales = _on_each(strategy, learner.generator_step.scale)
    results = {}
    for k in range(REPLICAS):
        moved = [not np.array_equal(old[k], new[k]) for old, new in zip(before, after, strict=True)]
        results |= {f"overflow/moved/{k}": np.sum(moved), f"overflow/scale/{k}": scales[k]}
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

    @tf.function
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
    import keras

    variable = variable.value if isinstance(variable, keras.Variable) else variable
    return [part.numpy() for part in strategy.experimental_local_results(variable)]


if __name__ == "__main__":
    main(*sys.argv[1:])
