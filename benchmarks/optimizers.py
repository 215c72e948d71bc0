"""Times the package's optimizers against plain ones, in turn, on the generator's variables.

    python benchmarks/optimizers.py --width 64

`Adam` is one fused kernel per variable; Keras' own makes several passes. `Muon` orthogonalizes wide kernels in pieces;
`Muon, whole` does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from unittest import mock

from workers import take_turns

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()
import keras
import tensorflow as tf

from elegant_tf.model.keras_versions import as_keras_3
from elegant_tf.presets import preset
from elegant_tf.runs import make_generator
from elegant_tf.training import optimizers

COMPARED = (("Adam", "Keras' Adam"), ("Muon", "Muon, whole"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=15, help="turns of each, 2 or more")
    arguments = parser.parse_args()
    model = preset("official", width=arguments.width, depth=arguments.depth).model
    betas = {"beta_1": 0.5, "beta_2": 0.999}
    steps = {
        "Adam": step(optimizers.Adam(2e-4, **betas), make_generator(model, "float32")),
        "Keras' Adam": step(keras.optimizers.Adam(2e-4, epsilon=1e-8, **betas), make_generator(model, "float32")),
        "Muon": step(optimizers.Muon(2e-3, **betas), make_generator(model, "float32")),
    }
    with mock.patch.object(optimizers, "PIECE_COLUMNS", ()):
        steps["Muon, whole"] = step(optimizers.Muon(2e-3, **betas), make_generator(model, "float32"))
    for ours, plain in COMPARED:
        turns = take_turns({name: steps[name] for name in (ours, plain)}, arguments.pairs)
        ratios = [first / second for first, second in zip(turns[ours], turns[plain], strict=True)]
        low, middle, high = quantiles(ratios, n=4)
        times = ", ".join(f"{name} {1e3 * median(seconds):.0f} ms" for name, seconds in turns.items())
        print(f"{times}; ratio by pair: median {middle:.2f} (quartiles {low:.2f} and {high:.2f})")


def step(optimizer: keras.optimizers.Optimizer, generator: keras.Model) -> Callable[[], float]:
    """What takes the seconds of one step; it is compiled now."""
    variables = generator.trainable_variables
    gradients = [tf.random.stateless_normal(variable.shape, (0, 0)) for variable in variables]
    optimizer = as_keras_3(optimizer)
    optimizer.build(variables)
    apply = tf.function(lambda: optimizer.apply(gradients, variables))
    apply()

    def timed() -> float:
        start = time.perf_counter()
        apply()
        variables[-1].numpy()
        return time.perf_counter() - start

    return timed


if __name__ == "__main__":
    main()
