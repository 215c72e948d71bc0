"""Trains with several real processes on 127.0.0.1, as several machines would, and with several devices in one process.

Started as a script, it is `elegant-tf train` on so many CPU devices, eagerly, since tracing an update takes longer than
a few tiny ones: `python fleet.py DEVICES FLAG…`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import commands
import conftest
import numpy as np
import tensorflow as tf

from elegant_tf.runs import checkpoint_steps, opened


def start_workers(
    count: int, flags: Sequence[str], script: Sequence[str] = (__file__, "1"), own: Sequence[str] = (), missing: int = 0
) -> list[subprocess.Popen]:
    """Starts workers, the chief first, of a cluster of `count`; the last `missing` of them never come.

    `flags`: of all; `own`: one more flag of each.
    """
    addresses = [f"127.0.0.1:{port}" for port in commands.free_ports(count)]
    workers = []
    for index in range(count - missing):
        described = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = _environment() | {"TF_CONFIG": json.dumps(described)}
        command = [*script, "--strategy=multi_worker", *flags, *own[index : index + 1]]
        workers.append(commands.start(command, env=environment))
    return workers


def finish(workers: Sequence[subprocess.Popen], timeout: float = 300.0) -> list[tuple[int, str]]:
    """Exit status and standard error of each worker."""
    said = [worker.communicate(timeout=timeout)[1] for worker in workers]
    return [(worker.returncode, text) for worker, text in zip(workers, said, strict=True)]


def train_on_devices(count: int, flags: Sequence[str]) -> None:
    """Trains in one process with `count` CPU devices."""
    done = commands.run([__file__, str(count), *flags], env=_environment())
    assert done.returncode == 0, done.stderr[-3000:]


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(commands.ROOT), str(Path(__file__).parent)])
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"}


def values(run_dir: Path, step: int | None = None) -> dict[str, np.ndarray]:
    """Everything in a checkpoint, the newest by default, by name."""
    with opened(run_dir, checkpoint_steps(run_dir)[-1] if step is None else step) as path:
        reader = tf.train.load_checkpoint(path)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "learner" in name}


def differences(run_dir: Path, other: Path) -> dict[str, float]:
    """The largest difference of each value of two runs' newest checkpoints, relative to the value's largest entry."""
    mine, its = values(run_dir), values(other)
    assert mine.keys() == its.keys()
    return {
        name: float(np.abs(value - its[name]).max() / max(np.abs(value).max(), 1e-30))
        for name, value in mine.items()
        if np.issubdtype(value.dtype, np.floating)
    }


def main(devices: int, flags: Sequence[str]) -> int:
    """`elegant-tf train` on so many devices."""
    from elegant_tf.cli.main import main as run
    from elegant_tf.cli.tensorflow import prepare_tensorflow

    prepare_tensorflow(deterministic=True)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    with conftest.training_quickly():
        return run(["train", *flags])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
