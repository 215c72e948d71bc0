"""Trains ELEGANT: `python train.py --run_dir=DIR` is `elegant-tf train --run_dir=DIR`."""

import sys

from elegant_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
