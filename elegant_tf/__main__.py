"""ELEGANT: `python -m elegant_tf` is the command `elegant-tf`."""

import os
import sys

# `python -m` looks for modules in the working directory first: a random.py there would replace Python's.
if sys.path[0] == os.getcwd():
    sys.path.append(sys.path.pop(0))

from elegant_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
