"""Times one training update of elegant_tf against the same update in plain eager PyTorch, in turn.

    python benchmarks/train_step.py --image_size 64 --width 64 --batch_size 16
    python benchmarks/train_step.py --quick
    python benchmarks/train_step.py --against ../before        # another checkout of elegant_tf instead of PyTorch

Each side runs in a process of its own and waits while the other works. Both start from the same weights
and must compute the same losses for the same batch, or nothing is timed. PyTorch's side is `plain_torch.py`;
it is needed here only: `pip install torch`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from workers import Worker, answer, take_turns

ROOT = Path(__file__).resolve().parent.parent
SIDES = {"torch": "plain PyTorch", "tensorflow": "elegant_tf", "other": "the other checkout"}
LOSSES = ("discriminator", "generator")
TOLERANCE = 1e-4
WARM_UP_UPDATES = 3
QUICK = {"image_size": 64, "width": 8, "batch_size": 2, "pairs": 3, "updates": 1}
NETWORK_OPTIONS = ("image_size", "width", "batch_size", "attributes")
ATTRIBUTE = 0
DEPTH = 5
Turns = dict[str, list[dict[str, float]]]


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        answer(lambda: make_answers(arguments))
        return 0
    if not arguments.against and importlib.util.find_spec("torch") is None:
        print("this compares with PyTorch, which is not installed: pip install torch", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        # This checkout's side first: it writes the weights that PyTorch's reads.
        sides = ("tensorflow", "other" if arguments.against else "torch")
        workers = {side: make_worker(side, arguments, weights) for side in sides}
        try:
            return compare(workers, arguments)
        finally:
            for worker in workers.values():
                worker.close()


def parse_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=16, help="pairs of images an update")
    parser.add_argument("--attributes", type=int, default=5, help="how many")
    parser.add_argument("--pairs", type=int, default=15, help="turns of each framework, 2 or more")
    parser.add_argument("--updates", type=int, default=2, help="updates a turn")
    parser.add_argument("--quick", action="store_true", help="a tiny network, to see that it runs")
    parser.add_argument("--against", type=Path, metavar="DIR", help="compare with this checkout's update")
    parser.add_argument("--side", choices=("tensorflow", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    if arguments.image_size < 2**DEPTH or arguments.image_size % 2**DEPTH:
        parser.error(f"--image_size={arguments.image_size}: must be a multiple of {2**DEPTH}")
    if arguments.pairs < 2:
        parser.error(f"--pairs={arguments.pairs}: must be 2 or more")
    return arguments


def compare(workers: dict[str, Worker], arguments: argparse.Namespace) -> int:
    """Checks that both sides agree, times them in turn and prints the comparison; the exit status."""
    losses = {side: worker.ask("losses") for side, worker in workers.items()}
    (_, other), labels = losses.values(), [SIDES[side] for side in losses]
    for name in LOSSES:
        ours, plain = losses["tensorflow"][name], other[name]
        print(f"{name} loss: {labels[0]} {ours:.7g}, {labels[1]} {plain:.7g}")
        if not abs(ours - plain) <= TOLERANCE * abs(plain):
            print(f"they differ by more than {TOLERANCE:g} of it: not the same update", file=sys.stderr)
            return 1
    for worker in workers.values():
        worker.ask("time", WARM_UP_UPDATES)
    asked = {side: partial(worker.ask, "time", arguments.updates) for side, worker in workers.items()}
    turns = take_turns(asked, arguments.pairs)
    report(turns, {side: worker.ask("memory") for side, worker in workers.items()}, arguments)
    return 0


def report(turns: Turns, megabytes: dict[str, float], arguments: argparse.Namespace) -> None:
    """Prints both sides' times, speed and memory, and the ratios."""
    size, width, batch, count = (getattr(arguments, name) for name in NETWORK_OPTIONS)
    work = update_gflop(size, width, batch, count)
    print(
        f"\none update: {size} px, width {width}, batch {batch} + {batch}, {count} attributes; "
        f"{work:.1f} GFLOP; {os.cpu_count()} cores\n"
        f"{'':20}{'median':>10}{'fastest':>11}{'processor':>13}{'GFLOP/s':>10}{'peak memory':>14}"
    )
    for side in turns:
        label = SIDES[side]
        wall, processor = ([turn[clock] for turn in turns[side]] for clock in ("wall", "processor"))
        print(
            f"{label:20}{1e3 * median(wall):7.0f} ms{1e3 * min(wall):8.0f} ms"
            f"{1e3 * median(processor):10.0f} ms{work / median(wall):10.0f}{megabytes[side]:11.0f} MB"
        )
    pairs = zip(*turns.values(), strict=True)
    ratios = [ours["wall"] / plain["wall"] for ours, plain in pairs]
    low, middle, high = quantiles(ratios, n=4)
    print(" / ".join(SIDES[side] for side in turns) + ", by pair: " + " ".join(f"{ratio:.2f}" for ratio in ratios))
    print(f"median {middle:.2f} (quartiles {low:.2f} and {high:.2f})")


def update_gflop(size: int, width: int, batch: int, attributes: int) -> float:
    """Billions of operations in an update's convolutions, those alone that an optimizer needs."""
    channels = [width * min(2**level, 8) for level in range(DEPTH)]

    def stack(size: int, ins: list[int], outs: list[int]) -> list[float]:
        """Of one image in convolutions that each halve `size`; nine taps, a product and a sum each."""
        pairs = enumerate(zip(ins, outs, strict=True), start=1)
        return [18.0 * i * o * (size >> level) ** 2 / 1e9 for level, (i, o) in pairs]

    encoder = stack(size, [3, *channels[:-1]], channels)
    decoder = stack(size, [3, *channels[:-1]], [*channels[:-1], 2 * channels[-1]])
    scales = [stack(size >> scale, [3 + attributes, *channels[:3]], channels[:4]) for scale in (0, 1)]
    first, every = sum(scale[0] for scale in scales), sum(map(sum, scales))
    # A gradient of a layer, by its kernel or by its input, costs as much as its forward pass.
    generator = 2 * batch * (3 * sum(encoder) - encoder[0]) + 4 * batch * 3 * sum(decoder)
    discriminator = 4 * batch * (3 * every - first)
    judged = 2 * batch * 2 * every
    return generator + discriminator + judged


def make_worker(side: str, arguments: argparse.Namespace, weights: Path) -> Worker:
    options = [f"--{name}={getattr(arguments, name)}" for name in NETWORK_OPTIONS]
    if side == "other":
        script = arguments.against.resolve() / "benchmarks" / "train_step.py"
        weights = weights.with_name("other.npz")
        return Worker(SIDES[side], [str(script), "--side=tensorflow", f"--weights={weights}", *options])
    return Worker(SIDES[side], [__file__, f"--side={side}", f"--weights={weights}", *options])


def make_answers(arguments: argparse.Namespace) -> dict[str, Callable[[int], Any]]:
    """What a side is asked: "losses", "time" (of an update, over `count`) and "memory", megabytes at most."""
    update = {"tensorflow": tensorflow_update, "torch": torch_update}[arguments.side](arguments)

    def timed(count: int) -> dict[str, float]:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(count):
            update()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        return {"wall": wall / count, "processor": processor / count}

    return {
        "losses": lambda count: update(),
        "time": timed,
        "memory": lambda count: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def make_batch(arguments: argparse.Namespace) -> dict[str, Any]:
    """`a`, `b` `[N, S, S, 3]` in [-1, 1] and `y_a`, `y_b` `[N, n]` in {0, 1}, float32, the same in both."""
    import numpy as np

    random = np.random.default_rng(0)
    images = (arguments.batch_size, arguments.image_size, arguments.image_size, 3)
    labels = (arguments.batch_size, arguments.attributes)
    batch = {name: random.uniform(-1, 1, images).astype(np.float32) for name in ("a", "b")}
    batch.update({name: random.integers(0, 2, labels).astype(np.float32) for name in ("y_a", "y_b")})
    batch["y_a"][:, ATTRIBUTE], batch["y_b"][:, ATTRIBUTE] = 1, 0
    return batch


def tensorflow_update(arguments: argparse.Namespace) -> Callable[[], dict[str, float]]:
    """The package's update, preset `official`, which returns its losses; writes its first weights."""
    sys.path.insert(0, str(ROOT))
    from elegant_tf.cli.tensorflow import prepare_tensorflow

    prepare_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from elegant_tf.export.torch_layout import torch_parameters
    from elegant_tf.presets import preset
    from elegant_tf.training.build import make_learner

    keras.utils.set_random_seed(0)
    config = preset(
        "official",
        attributes=tuple(f"attribute{index}" for index in range(arguments.attributes)),
        image_size=arguments.image_size,
        width=arguments.width,
        depth=DEPTH,
        batch_size=arguments.batch_size,
    )
    learner = make_learner(config)
    parameters = torch_parameters(learner.generator, learner.discriminator)
    np.savez(arguments.weights, **{f"{p.network}.{p.name}": p.to_torch() for p in parameters})
    batch = {name: tf.constant(value) for name, value in make_batch(arguments).items()}
    batch["attribute"] = tf.fill([arguments.batch_size], ATTRIBUTE)
    compiled = tf.function(learner.update)

    def update() -> dict[str, float]:
        losses = compiled(batch)
        return {name: float(losses[name]) for name in LOSSES}

    return update


def torch_update(arguments: argparse.Namespace) -> Callable[[], dict[str, float]]:
    """Plain PyTorch's update, from the weights that the other side wrote, which returns its losses."""
    import numpy as np
    import torch
    from plain_torch import PlainElegant

    plain = PlainElegant(arguments.attributes, arguments.image_size, arguments.width, DEPTH)
    with np.load(arguments.weights) as weights:
        for network in ("Enc", "Dec", "D1", "D2"):
            names = [name for name in weights.files if name.startswith(f"{network}.")]
            state = {name.removeprefix(f"{network}."): torch.from_numpy(weights[name]) for name in names}
            getattr(plain, network).load_state_dict(state)
    batch = {name: torch.from_numpy(value) for name, value in make_batch(arguments).items()}
    a, b = (batch[name].permute(0, 3, 1, 2).contiguous() for name in ("a", "b"))

    def update() -> dict[str, float]:
        losses = plain.update(a, b, batch["y_a"], batch["y_b"], ATTRIBUTE)
        return dict(zip(LOSSES, losses.values(), strict=True))

    return update


if __name__ == "__main__":
    sys.exit(main())
