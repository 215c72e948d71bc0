"""Starts the project's scripts as a user would, in real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

# The command `elegant-tf`, with an evaluation that takes a tenth of the time: `run(["-c", QUICK, "train", …])`.
QUICK = """
from elegant_tf.cli import main, tensorflow
tensorflow.prepare_tensorflow()
from elegant_tf.evaluation import evaluate
from elegant_tf.evaluation.metrics.scores import Scores
evaluate.LEAST_HELD_OUT, evaluate.HELD_OUT_PER_EDIT, evaluate.METRICS = 16, 0, [Scores]
raise SystemExit(main.main())
"""

# The same, which trains as `conftest.training_quickly` does, eagerly and with plain layers.
EAGER = f"""
import sys
sys.path.append({str(ROOT / "tests")!r})
from elegant_tf.cli import tensorflow
tensorflow.prepare_tensorflow()
import conftest
with conftest.training_quickly():{QUICK.replace(chr(10), chr(10) + "    ")}
"""


def start(arguments: Sequence[str], **options) -> subprocess.Popen:
    """`python ARGUMENTS…` in the project's folder, both of its outputs as text pipes; `options`: Popen's."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    with _hangups_heeded():
        return subprocess.Popen([sys.executable, *arguments], **{"cwd": ROOT, "env": environment, **pipes, **options})


def run(arguments: Sequence[str], **options) -> subprocess.CompletedProcess:
    """The same, waited for."""
    process = start(arguments, **options)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def _hangups_heeded() -> Iterator[None]:
    """As from a terminal: a process started under `nohup`, as the tests may be, ignores SIGHUP from its start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
