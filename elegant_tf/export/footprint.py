"""What an exported model costs: its size, its time by number of threads, and its memory.

    python -m elegant_tf.export.footprint MODEL THREADS

prints the time and the memory of a process that only edits with this model, as JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.export.litert import load_litert
from elegant_tf.export.written import open_model

THREADS = (1, 2, 4)
_RUNS = 10


@dataclass(frozen=True)
class Footprint:
    """The cost of a model on this machine.

    Attributes:
        megabytes: its size on disk, in 1e6 bytes.
        milliseconds: median time of an edit by number of threads, of those of `THREADS` that the machine has.
        peak_megabytes: memory that a process takes, at most, for the model and its edits, in 1e6 bytes, on one thread;
            None where the system does not say.
    """

    megabytes: float
    milliseconds: Mapping[int, float]
    peak_megabytes: float | None


def footprint(path: str | os.PathLike[str]) -> Footprint:
    """Measures a TFLite file or a SavedModel's version, each number of threads in a new process.

    Raises:
        UserError: the model cannot be run.
    """
    threads = [count for count in THREADS if count <= (os.cpu_count() or 1)]
    measured = {count: _in_process(Path(path), count) for count in threads}
    return Footprint(
        megabytes=open_model(path).megabytes,
        milliseconds={count: values["milliseconds"] for count, values in measured.items()},
        peak_megabytes=measured[threads[0]]["peak_megabytes"],
    )


def _in_process(path: Path, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "elegant_tf.export.footprint", str(path), str(threads)]
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False)
    if done.returncode:
        raise UserError(f"{path}: cannot be run: {''.join(done.stderr.strip().splitlines()[-1:])}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    _load_runtime(Path(path), threads)
    before = _resident("VmRSS")
    model = open_model(path, threads)
    images = np.random.default_rng(0).integers(0, 256, (2, model.image_size, model.image_size, 3), dtype=np.uint8)
    coefficients = np.ones((1, 1, len(model.attributes)))
    times = []
    for _ in range(_RUNS + 1):
        began = time.perf_counter()
        model.edit(images[:1], images[None, 1:], coefficients)
        times.append(time.perf_counter() - began)
    peak = _resident("VmHWM")
    memory = None if before is None or peak is None else peak - before
    print(json.dumps({"milliseconds": 1000 * float(np.median(times[1:])), "peak_megabytes": memory}))


def _load_runtime(path: Path, threads: int) -> None:
    """Imports what runs the model, so that its memory is not counted."""
    if path.is_dir():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    else:
        load_litert()


def _resident(field: str) -> float | None:
    """A field of Linux's `/proc/self/status` in 1e6 bytes. `getrusage` would count the parent process as well."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


if __name__ == "__main__":
    main()
