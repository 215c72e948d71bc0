"""Drawing many faces, in this process or in several.

The others are fresh interpreters that import neither TensorFlow nor the caller's script: unlike forks they are safe
beside TensorFlow's threads, and unlike processes that `multiprocessing` spawns they need no `__main__` guard.
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

import elegant_tf
from elegant_tf.data.parallel import cpus
from elegant_tf.synthetic.face import Face

FEW = 200
"""The number of faces up to which starting a process costs more time than it saves."""


def draw_faces(faces: Sequence[Face], size: int, workers: int | None = 0) -> np.ndarray:
    """Draws all faces: uint8 `[N, size, size, 3]` RGB, the same for any number of workers.

    `workers`: the number of other processes that draw; 0 or 1: this process draws; None: one per processor if that is
    faster.
    """
    if workers is None:
        workers = min(cpus(), len(faces) // FEW)
    workers = min(workers, len(faces))
    if workers > 1 and sys.executable:
        return _draw_elsewhere(faces, size, workers)
    images = np.empty((len(faces), size, size, 3), np.uint8)
    for image, face in zip(images, faces, strict=True):
        image[...] = face.draw(size)
    return images


def _draw_elsewhere(faces: Sequence[Face], size: int, workers: int) -> np.ndarray:
    edges = np.linspace(0, len(faces), workers + 1).astype(int)
    images = np.empty((len(faces), size, size, 3), np.uint8)
    processes = []
    try:
        for start, stop in itertools.pairwise(edges):
            processes.append(_start())
            pickle.dump((list(faces[start:stop]), size), processes[-1].stdin)
            processes[-1].stdin.close()
        for process, (start, stop) in zip(processes, itertools.pairwise(edges), strict=True):
            part = images[start:stop]
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
    return images


def _start() -> subprocess.Popen:
    """Starts a process that reads faces from its input, draws them all, then writes the images to its output."""
    package_root = str(Path(elegant_tf.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def serve() -> None:
    """Does the work of one process. An interrupt is for the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faces, size = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(draw_faces(faces, size).tobytes())
