"""ELEGANT: `python -m elegant_tf` is the command `elegant-tf`."""

import sys

from elegant_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
