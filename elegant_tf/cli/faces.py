"""`elegant-tf faces`."""

from __future__ import annotations

import argparse
from pathlib import Path

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number
from elegant_tf.synthetic import write_celeba

HELP = """\
Draws faces into a new folder with CelebA's layout. Its folder counterfactuals/ holds held-out edits with their
targets, on which `elegant-tf evaluate --data_dir` evaluates a run.

example:
  elegant-tf faces --out faces --count 1000 --image_size 128 --seed 0
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="new folder to write")
    add_number(parser, "--count", 1000, "number of faces")
    add_number(parser, "--image_size", 64, "side in pixels")
    add_number(parser, "--seed", 0, "seed of the faces")
    add_number(parser, "--counterfactuals", 100, "number of held-out edits with targets")


def _run(options: argparse.Namespace) -> None:
    write_celeba(
        Path(options.out),
        count=options.count,
        image_size=options.image_size,
        seed=options.seed,
        counterfactuals=options.counterfactuals,
        workers=None,
    )
    print(options.out)


COMMANDS = (Command("faces", "draw a data set of faces", HELP, _add_options, _run),)
