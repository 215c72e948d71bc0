"""What it costs to train on more than one device: measured between processes here, and computed for many accelerators.

    python benchmarks/scaling.py --part volume
    python benchmarks/scaling.py --part links
    python benchmarks/scaling.py --part processes --preset modern --width 24
    python benchmarks/scaling.py --part overhead --preset official
    python benchmarks/scaling.py --part growth --preset official --image_size 256 --width 64 --pairs_per_second 400

`volume`: bytes that an update sends, by preset and size. `links`: the time of an all-reduce between processes on
127.0.0.1. `processes`: updates on two and four processes against one. `overhead`: MirroredStrategy with one replica
against no strategy. `growth`: the model for 8, 64 and 512 accelerators. All of them print Markdown tables.

Processes train as `elegant-tf train` does, keep to their processors, wait while another takes its turn, and are timed
only after they have compiled.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from workers import Worker, take_turns

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from commands import free_ports

from elegant_tf.config import Config
from elegant_tf.presets import preset

PARTS = ("volume", "links", "processes", "overhead", "growth")
PRESETS = ("official", "modern")
FLOAT32 = 4

# With the authors' schedule, too, a turn is a whole number of steps; R1 penalties fall due twice in it.
UPDATES = 16
ATTRIBUTES = ("Eyeglasses", "Bangs", "Mustache", "Smiling")

SIZES = tuple(4**power for power in range(1, 13))
"""Numbers of float32 values in an all-reduce."""

REPLICAS = (8, 64, 512)
FIXED_BATCH = 512
GOOD = 0.9
"""The share of its time in which an accelerator that pays computes."""


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        {"train": train, "reduce": reduce}[arguments.side](arguments)
        return 0
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    parts = {
        "volume": print_volume,
        "links": print_links,
        "processes": print_processes,
        "overhead": print_overhead,
        "growth": print_growth,
    }
    for part in arguments.part or PARTS:
        print()
        parts[part](arguments)
    return 0


def parse_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--part", choices=PARTS, action="append", help="may be repeated; all by default")
    parser.add_argument("--preset", choices=PRESETS, default="modern")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--batch_size", type=int, default=16, help="pairs of images an update, over all processes")
    parser.add_argument("--turns", type=int, default=9, help="turns of each side, 2 or more")
    parser.add_argument("--starts", type=int, default=1, help="how often `overhead` starts both sides anew")
    parser.add_argument("--pairs_per_second", type=float, default=400.0, help="of one accelerator, for `growth`")
    parser.add_argument("--side", choices=("train", "reduce"), help=argparse.SUPPRESS)
    parser.add_argument("--strategy", default="one_device", help=argparse.SUPPRESS)
    parser.add_argument("--run_dir", help=argparse.SUPPRESS)
    parser.add_argument("--index", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--addresses", help=argparse.SUPPRESS)
    parser.add_argument("--processors", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turns < 2:
        parser.error(f"--turns={arguments.turns}: must be 2 or more")
    if arguments.batch_size % 4 and not arguments.side:
        parser.error(f"--batch_size={arguments.batch_size}: must be a multiple of 4")
    return arguments


# The volume, from the architecture.


class Volume(NamedTuple):
    """What all-reduces carry in an update.

    `gradients`: bytes of both networks' gradients; `codes`: bytes for each pair of the whole batch; `calls`: how many
    collective operations that is, between machines.
    """

    gradients: int
    codes: int
    calls: int

    def bytes(self, pairs: int) -> int:
        """Of an update on so many pairs in all."""
        return self.gradients + self.codes * pairs


def volume(config: Config) -> Volume:
    """What an update of a configuration reduces.

    All gradients of an optimizer go in one call, and each loss in one. Each cycle term gathers the attributes and the
    codes of the whole batch by an all-reduce. The gradients of the codes come back for `Cycle` alone, as rows with
    their numbers: an all-gather, which moves half of what an all-reduce of the same size does.
    """
    loss, model = config.loss, config.model
    cycle, style = bool(loss.cycle_weight), bool(loss.style_cycle_weight)
    mask = model.mask and bool(loss.mask_weight)
    losses = 7 + cycle + style + mask + bool(loss.r1_weight) + bool(loss.residual_weight)
    places = model.image_size // 2**model.depth
    code = FLOAT32 * places**2 * channel_counts(model.width, model.depth)[-1]
    parameters = generator_parameters(model.width, model.depth, model.mask) + discriminator_parameters(config)
    calls = 2 + losses + 2 * (cycle + style) + 3 * cycle
    return Volume(FLOAT32 * parameters, code * (cycle + style) + code * cycle // 2, calls)


def channel_counts(width: int, depth: int) -> list[int]:
    return [width * min(2**level, 8) for level in range(depth)]


def convolutions(channels: Sequence[int]) -> int:
    """Parameters of 3x3 convolutions from each number of channels to the next."""
    return sum(9 * a * b + b for a, b in pairwise(channels))


def generator_parameters(width: int, depth: int, mask: bool) -> int:
    channels = channel_counts(width, depth)
    up = [2 * channels[-1], *reversed(channels[:-1]), 4 if mask else 3]
    return convolutions([3, *channels]) + convolutions(up) + 2 * depth + 2 * (depth - 1)


def discriminator_parameters(config: Config) -> int:
    """Of both discriminators."""
    labels, size = len(config.model.attributes), config.model.image_size
    planes = config.loss.conditioning == "planes"
    channels = channel_counts(config.model.width, 4)
    stack = convolutions([3 + labels * planes, *channels]) + 2 * len(channels)
    scores = 1 if planes else 1 + labels
    cells = [(-(-side // 16)) ** 2 for side in (size, size // 2)]
    return sum(stack + scores * (cell * channels[-1] + 1) for cell in cells)


def configuration(name: str, image_size: int, width: int, batch_size: int, **flags: Any) -> Config:
    depth = {"official": 5, "modern": 4}[name]
    given = {"image_size": image_size, "width": width, "depth": depth, "batch_size": batch_size}
    return preset(name, attributes=ATTRIBUTES, **{**given, **flags})


def print_volume(arguments: argparse.Namespace) -> None:
    print("| preset | pixels | width | generator | discriminators | gradients | codes a pair | all-reduces |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [("modern", 64, 24), ("modern", 64, 64), ("modern", 128, 24), ("modern", 256, 64)]
    rows += [("official", 64, 64), ("official", 128, 64), ("official", 256, 64), ("official", 512, 64)]
    for name, size, width in rows:
        config = configuration(name, size, width, 16)
        sent, generator = volume(config), generator_parameters(width, config.model.depth, config.model.mask)
        codes = f"{sent.codes / 1e3:.0f} kB" if sent.codes else "none"
        print(
            f"| `{name}` | {size} | {width} | {generator / 1e6:.2f} M | {discriminator_parameters(config) / 1e6:.2f} M "
            f"| {sent.gradients / 1e6:.1f} MB | {codes} | {sent.calls} |"
        )


# Processes under comparison.


class Side:
    """Processes that train one model together; all wait, but in their turn.

    Args:
        arguments: this program's.
        folder: for their run directories.
        strategy: `none`, or one of `--strategy`.
        batch_size: over all processes.
        processors: those of each process, such as `0,1`, the chief's first; a thread for each.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        folder: str,
        strategy: str,
        batch_size: int,
        processors: Sequence[str],
        side: str = "train",
    ) -> None:
        run_dir = tempfile.mkdtemp(dir=folder)
        options = [f"--{name}={getattr(arguments, name)}" for name in ("preset", "image_size", "width")]
        options += [
            f"--side={side}",
            f"--run_dir={run_dir}/run",
            f"--strategy={strategy}",
            f"--batch_size={batch_size}",
        ]
        options.append(f"--addresses={','.join(f'127.0.0.1:{port}' for port in free_ports(len(processors)))}")
        self._workers = [
            Worker(f"{strategy} {index}", [__file__, *options, f"--index={index}", f"--processors={mine}"])
            for index, mine in reversed(list(enumerate(processors)))  # The chief last: it alone answers.
        ]

    def ask(self) -> Any:
        """What the chief answers, see `Turns` and `reduce`."""
        return self._workers[-1].ask("turn")

    def close(self) -> None:
        for worker in reversed(self._workers):
            worker.close()


class Turns:
    """An evaluator that holds training until it is asked for another turn, and then says what an update took.

    Seconds of the clock, `wall`, and of this process's processors, `processor`, which other programs disturb less.
    """

    def __init__(self, answers: Callable[[Any], None], updates: int) -> None:
        self._answers, self._updates, self._began = answers, updates, self._now()

    @staticmethod
    def _now() -> dict[str, float]:
        return {"wall": time.perf_counter(), "processor": time.process_time()}

    def __call__(self, generator: Any) -> Mapping[str, float]:
        self._answers({clock: (now - self._began[clock]) / self._updates for clock, now in self._now().items()})
        if not sys.stdin.readline():
            signal.raise_signal(signal.SIGTERM)  # All processes save and leave.
        self._began = self._now()
        return {}


def train(arguments: argparse.Namespace) -> None:
    """Trains without end, a turn whenever standard input has a line; the chief answers."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    set_up(arguments)
    import tensorflow as tf

    from elegant_tf.training.strategy import make_strategy
    from elegant_tf.training.trainer import Trainer

    if arguments.index:
        say("ready")
    config = configuration(
        arguments.preset, arguments.image_size, arguments.width, arguments.batch_size, **endless(arguments)
    )
    no_strategy = arguments.strategy == "none"
    strategy = tf.distribute.get_strategy() if no_strategy else make_strategy(config.run, arguments.batch_size)
    turns = Turns(say, config.run.evaluate_every * config.updates_per_step)
    Trainer(config, arguments.run_dir, evaluator=turns, on_screen=False, strategy=strategy).train()


def endless(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of a training that is asked after every turn."""
    every = UPDATES // (len(ATTRIBUTES) if arguments.preset == "official" else 1)
    cadences = {"evaluate_every": every, "log_every": every, "sample_every": 0, "checkpoint_every": 10**6}
    strategy = "one_device" if arguments.strategy == "none" else arguments.strategy
    return {**cadences, "steps": 10**6, "faces_count": 128, "strategy": strategy}


def set_up(arguments: argparse.Namespace) -> None:
    """Keeps this process to its processors, tells it who the others are, and loads TensorFlow."""
    processors = {int(one) for one in arguments.processors.split(",")}
    os.sched_setaffinity(0, processors)
    described = {
        "cluster": {"worker": arguments.addresses.split(",")},
        "task": {"type": "worker", "index": arguments.index},
    }
    os.environ["TF_CONFIG"] = json.dumps(described)
    from elegant_tf.cli.tensorflow import prepare_tensorflow

    prepare_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(len(processors))
    tf.config.threading.set_inter_op_parallelism_threads(len(processors))


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles."""
    low, middle, high = quantiles(values, n=4)
    return f"**{middle:.{digits}f}** ({low:.{digits}f} to {high:.{digits}f})"


def print_processes(arguments: argparse.Namespace) -> None:
    """Two processes against one at the same batch, four with the same share each, and what the model predicts."""
    batch, share = arguments.batch_size, arguments.batch_size // 2
    link = {count: fit(measure_links(arguments, count)) for count in (2, 4)}
    sent = volume(configuration(arguments.preset, arguments.image_size, arguments.width, batch))
    with tempfile.TemporaryDirectory() as folder:
        one = partial(Side, arguments, folder)
        sides = {
            "whole": one("one_device", batch, ["0,1"]),
            "share": one("one_device", share, ["0"]),
            "two": one("multi_worker", batch, ["0", "1"]),
            "four": one("multi_worker", 2 * batch, ["0", "1", "0", "1"]),
        }
        turns = {
            name: [answer["wall"] for answer in answers] for name, answers in alternate(sides, arguments.turns).items()
        }
    ratios = [whole / two for whole, two in zip(turns["whole"], turns["two"], strict=True)]
    print(f"\n`{arguments.preset}`, {arguments.image_size} pixels, width {arguments.width}, batch {batch}:\n")
    print(f"2 processes of 1 thread / 1 process of 2 threads, images per second: {spread(ratios)}\n")
    print("| processes | threads of each | batch | update, measured | predicted | measured / predicted |")
    print("|---|---|---|---|---|---|")
    alone = median(turns["share"])
    print(f"| 1 | 2 | {batch} | {1e3 * median(turns['whole']):.1f} ms | | |")
    print(f"| 1 | 1 | {share} | {1e3 * alone:.1f} ms | | |")
    for name, count, pairs in (("two", 2, batch), ("four", 4, 2 * batch)):
        waits = link[count].seconds(sent.calls, sent.bytes(pairs))
        # Two processors compute the shares of four processes one after another.
        expected = [count // 2 * compute + waits for compute in turns["share"]]
        quotients = [seconds / guess for seconds, guess in zip(turns[name], expected, strict=True)]
        print(
            f"| {count} | 1 | {pairs} | {1e3 * median(turns[name]):.1f} ms | {1e3 * median(expected):.1f} ms "
            f"({1e3 * waits:.1f} for links) | {spread(quotients)} |"
        )


def alternate(sides: Mapping[str, Side], count: int) -> dict[str, list[Any]]:
    """The answers of all sides in `count` turns, after one that does not count; ends them."""
    try:
        asked = {name: side.ask for name, side in sides.items()}
        take_turns(asked, 1)
        return take_turns(asked, count)
    finally:
        for side in sides.values():
            side.close()


def print_overhead(arguments: argparse.Namespace) -> None:
    """MirroredStrategy and OneDeviceStrategy with one replica against no strategy."""
    names, clocks = ("mirrored", "one_device"), ("wall", "processor")
    ratios: dict[tuple[str, str], list[float]] = {(name, clock): [] for name in names for clock in clocks}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.starts):
            sides = {name: Side(arguments, folder, name, arguments.batch_size, ["0,1"]) for name in ("none", *names)}
            turns = alternate(sides, arguments.turns)
            for (name, clock), values in ratios.items():
                pairs = zip(turns[name], turns["none"], strict=True)
                values += [mine[clock] / none[clock] for mine, none in pairs]
    size, width, batch = arguments.image_size, arguments.width, arguments.batch_size
    count = arguments.starts * arguments.turns
    print(f"`{arguments.preset}`, {size} pixels, width {width}, batch {batch}, {count} turns:\n")
    print("| one replica / without a strategy | time | processor time |")
    print("|---|---|---|")
    for name in names:
        print(f"| `--strategy={name}` | {' | '.join(spread(ratios[name, clock], 3) for clock in clocks)} |")


# Links.


class Link(NamedTuple):
    """`latency`: seconds of an empty all-reduce; `inverse`: further seconds for each of its bytes."""

    latency: float
    inverse: float

    def seconds(self, calls: int, size: int) -> float:
        return calls * self.latency + size * self.inverse


def fit(times: Mapping[int, float]) -> Link:
    """The link whose times for so many bytes are closest, relative to the measured ones."""
    import numpy as np

    sizes, seconds = np.array(list(times), float), np.array(list(times.values()))
    columns = np.stack([np.ones_like(sizes), sizes], axis=1) / seconds[:, None]
    (latency, inverse), *_ = np.linalg.lstsq(columns, np.ones_like(seconds), rcond=None)
    return Link(max(float(latency), 0.0), max(float(inverse), 0.0))


def measure_links(arguments: argparse.Namespace, count: int) -> dict[int, float]:
    """Seconds of an all-reduce between so many processes, by its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        processors = [str(index % os.cpu_count()) for index in range(count)]
        side = Side(arguments, folder, "multi_worker", arguments.batch_size, processors, side="reduce")
        try:
            return {int(size): seconds for size, seconds in side.ask().items()}
        finally:
            side.close()


def reduce(arguments: argparse.Namespace) -> None:
    """Reduces tensors of all sizes; the chief answers with the time that each takes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    set_up(arguments)
    import tensorflow as tf

    from elegant_tf.config import RunConfig
    from elegant_tf.training.strategy import make_strategy

    print(json.dumps("ready"), file=answers, flush=True)
    strategy = make_strategy(RunConfig(strategy="multi_worker"), len(arguments.addresses.split(",")))

    def on_replica(values: tf.Tensor) -> tf.Tensor:
        values = tf.identity(values)  # on the replica's device, where all-reduces look for it
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)

    @tf.function
    def repeated(values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(count):
            values = strategy.run(on_replica, args=(values,))
        return tf.reduce_sum(values)

    times = {}
    for size in SIZES:
        values, count = tf.ones([size]), tf.constant(max(2, min(50, 2**22 // size)))
        repeated(values, count)
        rounds = []
        for _ in range(arguments.turns):
            began = time.perf_counter()
            float(repeated(values, count))
            rounds.append((time.perf_counter() - began) / int(count))
        times[FLOAT32 * size] = median(rounds)
    if not arguments.index:
        sys.stdin.readline()
        print(json.dumps(times), file=answers, flush=True)


def print_links(arguments: argparse.Namespace) -> None:
    measured = {count: measure_links(arguments, count) for count in (2, 4)}
    print("| bytes | 2 processes | 4 processes |")
    print("|---|---|---|")
    for size in measured[2]:
        print(f"| {size:,} | " + " | ".join(f"{1e3 * times[size]:.2f} ms" for times in measured.values()) + " |")
    for count, times in measured.items():
        link = fit(times)
        moved = 2 * (count - 1) / count / link.inverse / 1e9
        print(f"\n{count} processes: {1e3 * link.latency:.2f} ms a call, {moved:.2f} GB/s by each process")


# Growth, by the model alone.


class Network(NamedTuple):
    """Accelerators in machines.

    `machine`: how many there are in one; `inside`: bytes per second that each sends within it; `outside`: that a
    machine sends to others; `hop`: seconds from one machine to the next, software included.
    """

    name: str
    machine: int
    inside: float
    outside: float
    hop: float


HOP_INSIDE = 5e-6
NETWORKS = (
    Network("NVLink, InfiniBand 8 x 400 Gb/s", 8, 450e9, 400e9, 10e-6),
    Network("NVLink, Ethernet 100 Gb/s", 8, 450e9, 12.5e9, 30e-6),
    Network("PCIe, Ethernet 25 Gb/s", 8, 25e9, 3.1e9, 50e-6),
    Network("NVLink, gRPC 1 GB/s", 8, 450e9, 1e9, 300e-6),
    Network("TPU interconnect", 512, 100e9, 100e9, 5e-6),
)
ATTAINED = 0.8
"""The share of a link's bandwidth that an all-reduce attains."""


class Wait(NamedTuple):
    """Seconds that an update waits for links: `always`, and `each` for every pair of an accelerator's share."""

    always: float
    each: float


def wait(network: Network, replicas: int, sent: Volume) -> Wait:
    """Rings within machines, rings between them, and the hops of a tree for each call."""
    within = min(replicas, network.machine)
    machines = replicas // within
    moved = 2 * (within - 1) / within / network.inside + 2 * (machines - 1) / machines / network.outside
    hops = 2 * math.log2(within) * HOP_INSIDE + 2 * math.log2(machines) * network.hop
    return Wait(sent.calls * hops + sent.gradients * moved / ATTAINED, replicas * sent.codes * moved / ATTAINED)


def print_growth(arguments: argparse.Namespace) -> None:
    """Efficiency with a fixed share of each accelerator, and with a fixed batch divided among all."""
    name, size, width, share = (getattr(arguments, name) for name in ("preset", "image_size", "width", "batch_size"))
    sent, rate = volume(configuration(name, size, width, share)), arguments.pairs_per_second
    print(f"`{name}`, {size} pixels, width {width}, {rate:g} pairs per second of one accelerator:\n")
    heads = [f"{share} each: wait", "efficiency", f"{FIXED_BATCH} in all: efficiency", f"pairs each for {GOOD:.0%}"]
    print(f"| network | accelerators | {' | '.join(heads)} |")
    print("|---" * 6 + "|")
    for network in NETWORKS:
        for replicas in REPLICAS:
            waits = wait(network, replicas, sent)
            efficiency = [
                (pairs / rate) / (pairs / rate + waits.always + pairs * waits.each)
                for pairs in (share, FIXED_BATCH / replicas)
            ]
            slack = 1 / rate - GOOD / (1 - GOOD) * waits.each
            needed = f"{math.ceil(GOOD / (1 - GOOD) * waits.always / slack)}" if slack > 0 else "never"
            print(
                f"| {network.name} | {replicas} | {1e3 * (waits.always + share * waits.each):.1f} ms "
                f"| {efficiency[0]:.0%} | {efficiency[1]:.0%} | {needed} |"
            )


if __name__ == "__main__":
    sys.exit(main())
