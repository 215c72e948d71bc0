"""Peak memory and speed of training by image size, batch and options, as a table for docs/performance.md.

    python benchmarks/training_matrix.py
    python benchmarks/training_matrix.py --rows "image_size=512 batch_size=2 recompute=true" --updates 2
    python benchmarks/training_matrix.py --preset official --width 64 --updates 20      # on a GPU

Each row trains in a process of its own, on random images that are at hand, one after another: the numbers are those of
the update alone. On a GPU, memory is what the device's allocator gave out at most; on a CPU, what the process held at
most. The first update, which compiles, is not timed. Where other programs run, processor time is the steadier number.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# What each row changes in the first one.
ROWS = (
    "",
    "accumulate=4",
    "recompute=true",
    "accumulate=4 recompute=true",
    "precision=mixed_bfloat16",
    "image_size=256 batch_size=4",
    "image_size=256 batch_size=4 recompute=true",
    "image_size=256 batch_size=4 accumulate=4 recompute=true",
    "image_size=512 batch_size=2",
    "image_size=512 batch_size=2 accumulate=2 recompute=true",
    "jit=true",  # last: on a CPU, XLA compiles for minutes
)
COLUMNS = ("image_size", "batch_size", "precision", "jit", "accumulate", "recompute")


def main() -> int:
    arguments = parse_arguments()
    base = {
        "preset": arguments.preset,
        "width": arguments.width,
        "image_size": arguments.image_size,
        "batch_size": arguments.batch_size,
    }
    if arguments.row is not None:
        print(json.dumps(measure({**base, **parsed(arguments.row)}, arguments.updates)))
        return 0
    print(f"preset {arguments.preset}, width {arguments.width}; the fastest of {arguments.updates} updates\n")
    print(f"| {' | '.join(COLUMNS)} | device | peak memory | images/s | processor time an update |")
    print("|---" * (len(COLUMNS) + 4) + "|")
    for row in arguments.rows:
        print(line({**base, **parsed(row)}, in_a_process(row)), flush=True)
    return 0


def parse_arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=8, help="pairs of images an update")
    parser.add_argument("--updates", type=int, default=3, help="updates to time, 1 or more")
    parser.add_argument("--rows", nargs="+", default=ROWS, help="what each row changes: options of `elegant-tf train`")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.updates < 1:
        parser.error(f"--updates={arguments.updates}: must be 1 or more")
    return arguments


def parsed(row: str) -> dict[str, Any]:
    """The options in `name=value name=value`."""
    values = dict(word.split("=", 1) for word in row.split())
    read = {"true": True, "false": False}
    return {name: read.get(text, int(text) if text.isdigit() else text) for name, text in values.items()}


def in_a_process(row: str) -> dict[str, Any] | str:
    """What a process of its own measured; or how it failed."""
    own = [__file__, *sys.argv[1:], f"--row={row}"]
    done = subprocess.run([sys.executable, *own], capture_output=True, text=True)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if text.strip()]
        return said[-1] if said else f"ended with status {done.returncode}"
    return json.loads(done.stdout.splitlines()[-1])


def line(options: Mapping[str, Any], found: Mapping[str, Any] | str) -> str:
    defaults = {"precision": "float32", "jit": False, "accumulate": 1, "recompute": False}
    shown = [
        {True: "yes", False: ""}.get(value, value) if isinstance(value, bool) else value
        for value in ({**defaults, **options}[name] for name in COLUMNS)
    ]
    if isinstance(found, str):
        return f"| {' | '.join(map(str, shown))} | | {found} | | |"
    rate = 2 * options["batch_size"] / min(found["seconds"])
    measured = [found["device"], f"{found['megabytes']:.0f} MB", f"{rate:.2g}", f"{min(found['processor']):.2g} s"]
    return f"| {' | '.join(map(str, [*shown, *measured]))} |"


def measure(options: Mapping[str, Any], updates: int) -> dict[str, Any]:
    """Device, peak memory in megabytes, and seconds and processor's seconds of each update."""
    sys.path.insert(0, str(ROOT))
    from elegant_tf.cli.tensorflow import prepare_tensorflow

    prepare_tensorflow()
    import tensorflow as tf

    from elegant_tf.config import Config
    from elegant_tf.presets import preset
    from elegant_tf.training.build import make_learner

    config: Config = preset(options["preset"], **{name: value for name, value in options.items() if name != "preset"})
    learner = make_learner(config)
    batch = make_batch(config)
    update = tf.function(learner.update, jit_compile=config.run.jit or None)
    float(update(batch)["generator"])
    times: dict[str, list[float]] = {"seconds": [], "processor": []}
    for _ in range(updates):
        start, used = time.perf_counter(), time.process_time()
        float(update(batch)["generator"])
        times["seconds"].append(time.perf_counter() - start)
        times["processor"].append(time.process_time() - used)
    if gpus := tf.config.list_physical_devices("GPU"):
        device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return {"device": device, "megabytes": tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20, **times}
    return {"device": "CPU", "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, **times}


def make_batch(config: Any) -> dict[str, Any]:
    """Random images; each A has the attribute that its pair trains, and B lacks it."""
    import tensorflow as tf

    count, size, labels = config.data.batch_size, config.model.image_size, len(config.model.attributes)
    dtype = tf.float64 if config.optimizer.precision == "float64" else tf.float32
    attribute = tf.range(count) % labels
    own = tf.one_hot(attribute, labels, dtype=dtype)
    others = tf.cast(tf.random.stateless_uniform(own.shape, (0, 0)) < 0.5, dtype)
    batch = {"attribute": attribute, "y_a": tf.maximum(own, others), "y_b": (1 - own) * (1 - others)}
    for seed, image in enumerate(("a", "b")):
        batch[image] = tf.random.stateless_uniform((count, size, size, 3), (1, seed), -1, 1, dtype)
    return batch


if __name__ == "__main__":
    sys.exit(main())
