"""Drawing many faces, in this process or in several.

The others are fresh interpreters that import neither TensorFlow nor the caller's script: unlike a fork they
are safe beside TensorFlow's threads, and unlike `multiprocessing`'s spawn they need no `__main__` guard.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elegant_tf.data.faces.face import Face

FEW = 200
"""Up to so many faces for each process, starting it costs more than it saves."""


def draw_faces(faces: Sequence[Face], size: int, workers: int | None = 0) -> np.ndarray:
    """The pictures of all faces, uint8 `[N, size, size, 3]` RGB, the same whatever the number of workers.

    0 or 1 worker: this process draws. More: so many other processes do. None: one for each CPU if that pays.
    """
    if workers is None:
        workers = min(_cpus(), len(faces) // FEW)
    workers = min(workers, len(faces))
    if workers > 1 and sys.executable:
        return _draw_elsewhere(faces, size, workers)
    pictures = np.empty((len(faces), size, size, 3), np.uint8)
    for picture, face in zip(pictures, faces, strict=True):
        picture[...] = face.draw(size)
    return pictures


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _draw_elsewhere(faces: Sequence[Face], size: int, workers: int) -> np.ndarray:
    edges = np.linspace(0, len(faces), workers + 1).astype(int)
    pictures = np.empty((len(faces), size, size, 3), np.uint8)
    processes = []
    try:
        for start, stop in itertools.pairwise(edges):
            processes.append(_start())
            pickle.dump((list(faces[start:stop]), size), processes[-1].stdin)
            processes[-1].stdin.close()
        for process, (start, stop) in zip(processes, itertools.pairwise(edges), strict=True):
            part = pictures[start:stop]
            data = process.stdout.read(part.nbytes)
            if process.wait() or len(data) < part.nbytes:
                raise RuntimeError(f"a process drawing faces ended early, with status {process.returncode}")
            part[...] = np.frombuffer(data, np.uint8).reshape(part.shape)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
    return pictures


def _start() -> subprocess.Popen:
    """A process that reads faces from its input, draws them all, then writes the pictures to its output."""
    package_root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def serve() -> None:
    """The work of one process; an interrupt is for the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faces, size = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(draw_faces(faces, size).tobytes())
