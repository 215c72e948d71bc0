"""How commands set up TensorFlow."""

from __future__ import annotations

import contextlib
import gc
import glob
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from elegant_tf.cli import noise

_RELAY_SECONDS = 5.0


def prepare_tensorflow(deterministic: bool = False) -> None:
    """Imports TensorFlow as commands use it; nothing may import it before.

    Warnings become plain sentences on standard error. A GPU's memory is taken as it is needed. Variables that the user
    has set in the environment are respected; with `TF_CPP_MIN_LOG_LEVEL` 0 or 1, TensorFlow says all that it can say.

    Args:
        deterministic: whether results must be identical to the bit, at some cost in speed.
    """
    # oneDNN is 2.5 times faster here, and off by default on CPUs without AVX-512; its sums may differ.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if deterministic else "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    # What one read from gs:// fetches; TensorFlow's own 64 MiB would come with every image.
    os.environ.setdefault("GCS_READAHEAD_BUFFER_SIZE_BYTES", str(2**20))
    _show_warnings()
    if (backend := os.environ.get("KERAS_BACKEND", "tensorflow")) not in ("", "tensorflow"):
        logging.warning(f"KERAS_BACKEND={backend} is ignored: elegant-tf runs on TensorFlow")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the user's keras.json may name another
    with contextlib.ExitStack() as loading:
        if "tensorflow" not in sys.modules:
            loading.enter_context(without_noise())
            loading.enter_context(_without_collection())
        import elegant_tf.model  # noqa: F401, I001 - first, as it checks Keras's settings
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if not gpus and has_gpu():
        logging.warning(
            "TensorFlow cannot use this machine's GPU: its libraries are missing or do not fit the driver. Install "
            "them with pip install 'tensorflow[and-cuda]'; TF_CPP_MIN_LOG_LEVEL=0 in the environment shows the reason"
        )
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def without_noise() -> Iterator[None]:
    """Keeps lines in which TensorFlow only says that all is well off the process's standard error (`noise.py`)."""
    is_wanted = sys.stderr is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL") in ("0", "1")
    relay = None if is_wanted else _start_relay()
    if relay is None or relay.stdin is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(relay.stdin.fileno(), 2)
    relay.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that was started inside still writes to it
            relay.wait(_RELAY_SECONDS)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Suspends garbage collection while modules load, a sixth of that time; what they make is exempt from it later."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU that the user has not hidden with `CUDA_VISIBLE_DEVICES`."""
    return bool(glob.glob("/dev/nvidia[0-9]*")) and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")


def _start_relay() -> subprocess.Popen[bytes] | None:
    """None where no process can be started: then everything is shown."""
    command = [sys.executable, "-I", "-S", noise.__file__]
    try:
        # A session of its own: Ctrl-C in the terminal must not end it before its text is out.
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    except OSError:
        return None


def _show_warnings() -> None:
    if not any(isinstance(handler, _Plain) for handler in logging.root.handlers):
        logging.root.addHandler(_Plain(logging.WARNING))


class _Plain(logging.Handler):
    """Prints records as sentences: `warning: …`."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # Whoever reads the warnings may have gone.
            print(f"{record.levelname.lower()}: {self.format(record)}", file=sys.stderr, flush=True)
