"""Size and time of untrained runs as TFLite files, by width: what a phone's model may be.

    python benchmarks/mobile.py --image_size 128 --widths 64 40 24 16

Prints the megabytes of each file and the time of a swap on two threads, relative to the float32 file of the first
width; all take turns, several times, in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np

from elegant_tf.export.examples import drawn_examples
from elegant_tf.export.litert import load_signature
from elegant_tf.export.tflite import export_tflite
from elegant_tf.presets import preset
from elegant_tf.rundir import write_config
from elegant_tf.training.build import make_learner
from elegant_tf.training.checkpoint import Checkpoints

KINDS = ("float32", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--attributes", default="Eyeglasses,Wearing_Hat,Mustache")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 40, 24, 16])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    attributes = tuple(arguments.attributes.split(","))
    with tempfile.TemporaryDirectory() as folder:
        files = {
            (width, kind): path
            for width in arguments.widths
            for kind, path in write(Path(folder) / str(width), width, arguments.image_size, attributes).items()
        }
        times = measure(files.values(), arguments.image_size, len(attributes), arguments.rounds)
        first = times[files[arguments.widths[0], "float32"]]
        print("| width | kind | MB | time |\n|---|---|---|---|")
        for (width, kind), path in files.items():
            print(f"| {width} | {kind} | {path.stat().st_size / 1e6:.2f} | {times[path] / first:.3f} |")


def write(folder: Path, width: int, size: int, attributes: Sequence[str]) -> dict[str, Path]:
    """Files of an untrained run of this width, by kind."""
    config = preset("modern", width=width, image_size=size, attributes=tuple(attributes))
    learner = make_learner(config)
    write_config(config, folder / "run")
    Checkpoints(learner, folder / "run", 1).save(0)
    few = drawn_examples(len(attributes), size, 2)
    export_tflite(folder / "run", folder / "phone", KINDS, load_examples=lambda: few, gate=False)
    return {kind: folder / "phone" / f"elegant_{kind}.tflite" for kind in KINDS}


def measure(paths: Sequence[Path], size: int, attributes: int, rounds: int) -> dict[Path, float]:
    """The median time of a swap of each file, in seconds; they take turns."""
    swaps = {path: load_signature(path, "swap", threads=2) for path in paths}
    images = np.random.default_rng(0).uniform(-1, 1, (2, 1, size, size, 3)).astype(np.float32)
    inputs = {"image": images[0], "exemplar": images[1], "weights": np.ones((1, attributes), np.float32)}
    times: dict[Path, list[float]] = {path: [] for path in swaps}
    for _ in range(rounds + 1):
        for path, swap in swaps.items():
            began = time.perf_counter()
            swap(**inputs)
            times[path].append(time.perf_counter() - began)
    return {path: float(np.median(taken[1:])) for path, taken in times.items()}


if __name__ == "__main__":
    main()
