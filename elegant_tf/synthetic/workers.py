"""Drawing many faces, in this process or in several.

The others are fresh interpreters that import neither TensorFlow nor the caller's script: unlike forks they are safe
beside TensorFlow's threads, and unlike processes that `multiprocessing` spawns they need no `__main__` guard. They
ignore the user's directory, PYTHONPATH and start-up hooks, and send images through a pipe of their own, so nothing that
is printed can mix with them.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import IO, NamedTuple

import numpy as np
import PIL

import elegant_tf
from elegant_tf.data.parallel import cpus
from elegant_tf.errors import UserError
from elegant_tf.synthetic.face import Face

FEW = 200
"""The number of faces up to which starting a process costs more time than it saves."""

# What comes before the pixels in the pipe: a mark, and the number of bytes that follow.
_HEADER = struct.Struct("<8sQ")
_MARK = b"elegant\n"

# -I and -S leave only the standard library to import from. This package comes next, alone: another version of it may be
# installed beside NumPy.
_PROGRAM = """\
import sys
descriptor, package, *others = sys.argv[1:]
sys.path.append(package)
import elegant_tf
sys.path[-1:] = others
from elegant_tf.synthetic.workers import serve
serve(int(descriptor))
"""


def draw_faces(faces: Sequence[Face], size: int, workers: int | None = 0) -> np.ndarray:
    """Draws all faces: uint8 `[N, size, size, 3]` RGB, the same for any number of workers.

    `workers`: the number of other processes that draw; 0 or 1: this process draws; None: one per processor if that is
    faster. Raises UserError if one of them cannot be started, fails or is killed.
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


def serve(descriptor: int) -> None:
    """Does the work of one process: reads faces from stdin, draws them all, then writes the images to a pipe.

    An interrupt is for the process that started it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faces, size = pickle.load(sys.stdin.buffer)
    images = draw_faces(faces, size)
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(_HEADER.pack(_MARK, images.nbytes))
        pipe.write(images.data)


def _draw_elsewhere(faces: Sequence[Face], size: int, workers: int) -> np.ndarray:
    images = np.empty((len(faces), size, size, 3), np.uint8)
    edges = np.linspace(0, len(faces), workers + 1).astype(int)
    with ExitStack() as stack:
        parts = [(_start(stack), slice(*part)) for part in itertools.pairwise(edges)]
        for worker, part in parts:
            worker.send(faces[part], size)
        for worker, part in parts:
            worker.receive(images[part])
    return images


class _Worker(NamedTuple):
    """A process that draws. `pipe` brings its images; `printed` is a file with everything that it printed."""

    process: subprocess.Popen[bytes]
    pipe: IO[bytes]
    printed: IO[bytes]

    def send(self, faces: Sequence[Face], size: int) -> None:
        """Asks for the images. A process that has ended is reported by `receive`."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as stdin:
            pickle.dump((list(faces), size), stdin)

    def receive(self, images: np.ndarray) -> None:
        """Waits for the images and puts them in place."""
        header = self.pipe.read(_HEADER.size)
        data = self.pipe.read(images.nbytes) if header == _HEADER.pack(_MARK, images.nbytes) else b""
        if len(data) != images.nbytes:
            raise UserError(f"a process that draws faces {self._end()}")
        images[...] = np.frombuffer(data, np.uint8).reshape(images.shape)

    def _end(self) -> str:
        """How a process ended that should not have."""
        self.pipe.close()  # so that it cannot wait for a reader
        status = self.process.wait()
        if status == -signal.SIGKILL:
            return "was killed: the machine may have run out of memory"
        self.printed.seek(0)
        lines = self.printed.read().decode(errors="replace").strip().splitlines()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
        return f"{how}: {lines[-1]}" if lines else how


def _start(stack: ExitStack) -> _Worker:
    """Starts a process, which ends with the stack."""
    packages = [os.path.dirname(os.path.abspath(package.__path__[0])) for package in (elegant_tf, np, PIL)]
    try:
        # A file takes any amount of text; a pipe that nobody reads would stop the process.
        printed = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        reading, writing = os.pipe()
        pipe = stack.enter_context(os.fdopen(reading, "rb"))
        with os.fdopen(writing, "wb"):
            command = [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, str(writing), *packages]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=printed, stderr=printed, pass_fds=[writing]
            )
    except OSError as error:
        raise UserError(f"a process that draws faces could not be started: {error}") from error
    stack.enter_context(process)
    stack.callback(process.kill)
    return _Worker(process, pipe, printed)
