"""Times one training update in two number formats, in turn.

    python benchmarks/precision.py --width 56
    python benchmarks/precision.py --preset official --batch_size 16 --precision mixed_float16

Each format runs in a process of its own and waits while the other works.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from workers import Worker, answer, take_turns

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = "float32"
WARM_UP_UPDATES = 2


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        answer(lambda: {"time": timer(arguments)})
        return 0
    formats = (REFERENCE, arguments.precision)
    workers = {name: Worker(name, [__file__, *sys.argv[1:], f"--side={name}"]) for name in formats}
    try:
        for worker in workers.values():
            worker.ask("time", WARM_UP_UPDATES)
        asked = {name: partial(worker.ask, "time", arguments.updates) for name, worker in workers.items()}
        report(take_turns(asked, arguments.pairs), arguments)
    finally:
        for worker in workers.values():
            worker.close()
    return 0


def parse_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--preset", choices=("official", "modern"), default="modern")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--width", type=int, default=56)
    parser.add_argument("--batch_size", type=int, default=16, help="pairs of images an update")
    parser.add_argument("--precision", choices=("mixed_float16", "mixed_bfloat16", "float64"), default="mixed_bfloat16")
    parser.add_argument("--pairs", type=int, default=10, help="turns of each format, 2 or more")
    parser.add_argument("--updates", type=int, default=2, help="updates a turn")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pairs < 2:
        parser.error(f"--pairs={arguments.pairs}: must be 2 or more")
    return arguments


def report(turns: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    for name, seconds in turns.items():
        print(f"{name:16}{1e3 * median(seconds):8.0f} ms an update")
    ratios = [ours / plain for ours, plain in zip(turns[arguments.precision], turns[REFERENCE], strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    print(f"{arguments.precision} / {REFERENCE}, by pair: " + " ".join(f"{ratio:.2f}" for ratio in ratios))
    print(f"median {middle:.2f} (quartiles {low:.2f} and {high:.2f})")


def timer(arguments: argparse.Namespace) -> Callable[[int], float]:
    """What takes seconds of one of `count` updates on random images."""
    sys.path.insert(0, str(ROOT))
    from elegant_tf.cli.tensorflow import prepare_tensorflow

    prepare_tensorflow()
    import tensorflow as tf

    from elegant_tf.presets import preset
    from elegant_tf.training.build import make_learner

    names = ("preset", "image_size", "width", "batch_size")
    name, size, width, batch_size = (getattr(arguments, name) for name in names)
    config = preset(name, image_size=size, width=width, batch_size=batch_size, precision=arguments.side)
    dtype = tf.float64 if arguments.side == "float64" else tf.float32
    attribute = tf.range(batch_size) % len(config.model.attributes)
    # Of A and B one has each attribute: its own A has, the others by chance.
    own = tf.one_hot(attribute, len(config.model.attributes), dtype=dtype)
    others = tf.cast(tf.random.stateless_uniform(own.shape, (0, 0)) < 0.5, dtype)
    batch = {"attribute": attribute, "y_a": tf.maximum(own, others), "y_b": (1 - own) * (1 - others)}
    for seed, image in enumerate(("a", "b")):
        batch[image] = tf.random.stateless_uniform((batch_size, size, size, 3), (1, seed), -1, 1, dtype)
    learner = make_learner(config)
    update = tf.function(learner.update)

    def seconds(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            float(update(batch)["generator"])
        return (time.perf_counter() - start) / count

    return seconds


if __name__ == "__main__":
    sys.exit(main())
