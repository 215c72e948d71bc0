"""`elegant-tf faces`."""

from __future__ import annotations

import argparse
from pathlib import Path

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_seed
from elegant_tf.config import MOST_FACES
from elegant_tf.images import LARGEST, SMALLEST
from elegant_tf.paths import check_new_directory
from elegant_tf.synthetic import write_celeba

HELP = """\
Draws faces into a new folder with CelebA's layout. Its folder counterfactuals/ holds held-out edits with their
targets, on which `elegant-tf evaluate --data_dir` evaluates a run.

example:
  elegant-tf faces --out faces --count 1000 --image_size 128 --seed 0
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_path(parser, "--out", required=True, metavar="DIR", help="new folder to write")
    add_number(parser, "--count", 1000, "number of faces", at_least=1, at_most=MOST_FACES)
    add_number(parser, "--image_size", 64, "side in pixels", at_least=SMALLEST, at_most=LARGEST)
    add_seed(parser, 0, "seed of the faces")
    add_number(
        parser, "--counterfactuals", 100, "number of held-out edits with targets", at_least=0, at_most=MOST_FACES
    )


def _run(options: argparse.Namespace) -> None:
    check_new_directory(options.out)
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
