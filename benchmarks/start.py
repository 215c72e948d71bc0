"""How long a training takes to start: processor seconds until TensorFlow is there, and until the first update is made.

    python benchmarks/start.py --preset modern --repeats 3 --options '{"image_size": 64}'

Each start is a process of its own. `first` are starts without anything kept from before; `again` are starts with a
folder of kernels that a first one has left, see docs/performance.md. Prints medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
CACHE = "--tf_xla_persistent_cache_directory="

START = """
import json, sys, time
from elegant_tf.cli.tensorflow import prepare_tensorflow
prepare_tensorflow()
times = [time.process_time()]
from elegant_tf.presets import preset
from elegant_tf.training.trainer import Trainer
options = json.loads(sys.argv[2])
trainer = Trainer(preset(sys.argv[1], faces_count=200, steps=1, sample_every=0, **options), sys.argv[3])
trainer.train()
print(json.dumps([*times, time.process_time()]))
"""


def main() -> None:
    arguments = parse_arguments()
    found: dict[str, list[Sequence[float]]] = {"first": [], "again": []}
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            for kind in found:
                flags = f"{CACHE}{folder}/kernels" if kind == "again" else ""
                if flags:
                    start(arguments, f"{folder}/fills", flags)
                found[kind].append(start(arguments, f"{folder}/{kind}", flags))
    for kind, times in found.items():
        loaded, updated = (median(column) for column in zip(*times, strict=True))
        print(f"{kind}: TensorFlow after {loaded:.1f} s, the first update and its checkpoint after {updated:.1f} s")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--options", type=json.loads, default={}, help="further options of training, as JSON")
    return parser.parse_args()


def start(arguments: argparse.Namespace, run_dir: str, xla_flags: str) -> list[float]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_XLA_FLAGS": xla_flags}
    command = [sys.executable, "-c", START, arguments.preset, json.dumps(arguments.options), run_dir]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
