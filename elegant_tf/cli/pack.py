"""`elegant-tf pack`."""

from __future__ import annotations

import argparse

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_path, add_run, add_step
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.paths import check_new_directory
from elegant_tf.rundir import read_model

HELP = """\
Writes the generator that a run edits with to a new directory, in 16 bits and without everything that only training
needs, to share it. Every command that edits, evaluates or exports accepts the directory as a run.

example:
  elegant-tf pack --run runs/mine --out mine
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_path(parser, "--out", stored=True, required=True, metavar="DIR", help="new directory to write")
    add_step(parser)
    what = "edit with flip test-time augmentation: more accurate, at twice the cost"
    parser.add_argument("--flip_tta", action="store_true", help=what)


def _run(options: argparse.Namespace) -> None:
    read_model(options.run)
    check_new_directory(options.out)
    prepare_tensorflow()
    from elegant_tf.runs import pack

    step = pack(options.run, options.out, step=options.step, flip_tta=options.flip_tta)
    print(f"{options.out}: step {step}")


COMMANDS = (Command("pack", "write a small copy of a run, for sharing", HELP, _add_options, _run),)
