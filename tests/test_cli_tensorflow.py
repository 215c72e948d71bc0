"""How commands set up TensorFlow: what it says on the screen, and what it must still say."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import commands
import pytest

from elegant_tf.cli import tensorflow as module
from elegant_tf.cli.noise import relay

HARMLESS = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795891369.765567    7931 port.cc:153] oneDNN custom operations are on. You may see slightly different
I0000 00:00:1795891369.765896    7931 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be
E0000 00:00:1795891372.752284    7931 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error
E0000 00:00:1795891372.752284    7931 cuda_dnn.cc:8310] Unable to register cuDNN factory: Attempting to register
W0000 00:00:1795891372.752284    7931 computation_placer.cc:177] computation placer already registered. Please check
2026-11-28 17:56:03.464713: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on. You may see slightly
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
"""

HARMFUL = b"""\
F0000 00:00:1795891369.765567    7931 cpu_feature_guard.cc:37] The TensorFlow library was compiled to use AVX
E0000 00:00:1795891369.765567    7931 gpu.cc:1] failed to allocate
RuntimeError: oneDNN custom operations are on.

half a line"""


def test_harmless_lines_alone_are_left_out():
    shown = io.BytesIO()
    relay(io.BytesIO(HARMLESS + HARMFUL), shown)
    assert shown.getvalue() == HARMFUL


QUIET = """
import os, sys
from elegant_tf.cli.tensorflow import without_noise
with without_noise():
    os.write(2, b"I0000 1 2 port.cc:153] oneDNN custom operations are on.\\n")
    print("in between", file=sys.stderr)
    os.system("echo from another process >&2")
    {end}
print("after", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("end", "status", "last"),
    [
        ("pass", 0, "after"),
        ("os.abort()", -signal.SIGABRT, "from another process"),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL, "from another process"),
        ("raise ValueError('mine')", 1, "ValueError: mine"),
    ],
)
def test_what_is_said_before_a_crash_comes_through(end, status, last):
    done = commands.run(["-c", QUIET.format(end=end)])
    lines = done.stderr.splitlines()
    assert done.returncode == status
    assert lines[:2] == ["in between", "from another process"]
    assert lines[-1] == last
    assert "oneDNN" not in done.stderr


@pytest.mark.parametrize("level", ["0", "1"])
def test_a_user_who_asks_for_all_lines_sees_them(level):
    done = commands.run(["-c", QUIET.format(end="pass")], env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": level})
    assert "oneDNN" in done.stderr


def test_standard_error_may_be_closed():
    program = "from elegant_tf.cli.tensorflow import without_noise\nwith without_noise(): print('inside')"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program]
    done = subprocess.run(command, cwd=commands.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "inside\n")


SET_UP = """
import os
from elegant_tf.cli.tensorflow import prepare_tensorflow
prepare_tensorflow()
prepare_tensorflow(deterministic=True)
import logging
import tensorflow as tf
from absl import logging as absl_logging
absl_logging.warning("one of %d", 2)
absl_logging.info("not shown")
tf.get_logger().warning("TensorFlow's own")
print(os.environ["TF_FORCE_GPU_ALLOW_GROWTH"], float(tf.constant(1.0) + 1))
"""


def test_commands_say_only_warnings_and_as_sentences():
    chosen = ("TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH")
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    done = commands.run(["-c", SET_UP], env={**environment, "PYTHONPATH": str(commands.ROOT)})
    assert done.stdout == "true 2.0\n"
    assert done.stderr == "warning: one of 2\nwarning: TensorFlow's own\n"


def test_what_a_user_has_set_is_respected(monkeypatch):
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    module.prepare_tensorflow()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"


@pytest.mark.parametrize(
    ("devices", "variable", "expected"),
    [(["/dev/nvidia0"], None, True), (["/dev/nvidia0"], "-1", False), (["/dev/nvidia0"], "", False), ([], None, False)],
)
def test_a_gpu_is_noticed_unless_it_is_hidden(monkeypatch, devices, variable, expected):
    monkeypatch.setattr(module.glob, "glob", lambda pattern: devices)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert module.has_gpu() == expected


def test_a_gpu_that_cannot_be_used_is_said_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(module, "has_gpu", lambda: True)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    module.prepare_tensorflow()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: TensorFlow cannot use this machine's GPU: ")
