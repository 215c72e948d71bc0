"""Exports a run: `python export_savedmodel.py --run_dir=DIR --export_dir=DIR` is `elegant-tf export`."""

import sys

from elegant_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
