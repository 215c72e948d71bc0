"""Passes standard input on to standard error, without the lines that TensorFlow writes although nothing is wrong.

TensorFlow writes them before Python has a say. This file is run as a process: what TensorFlow writes right before it
crashes still comes through. It imports nothing of the package, so that it starts fast.
"""

import re
import sys
from typing import BinaryIO

HARMLESS = re.compile(
    rb"^(?:WARNING|INFO|[IWE]\d{4} [^]]*\]|\d{4}-\d\d-\d\d [^]]*: [IWE] [^]]*\])[:\s]+(?:"
    rb"All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    rb"|oneDNN custom operations are on\."
    rb"|Could not find cuda drivers on your machine"
    rb"|failed call to cuInit"
    rb"|Unable to register cu\w+ factory"
    rb"|computation placer already registered"
    rb"|This TensorFlow binary is optimized to use available CPU instructions"
    rb"|TF-TRT Warning: Could not find TensorRT"
    rb"|Created TensorFlow Lite XNNPACK delegate for CPU"
    rb")"
)
"""Lines that do not report a fault. Faults of a GPU are reported by `tensorflow.py`."""


def relay(source: BinaryIO, target: BinaryIO) -> None:
    """Copies lines as soon as they come, until the source ends."""
    for line in iter(source.readline, b""):
        if not HARMLESS.match(line):
            target.write(line)
            target.flush()


if __name__ == "__main__":
    relay(sys.stdin.buffer, sys.stderr.buffer)
