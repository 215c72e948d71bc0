"""The options of the commands of `elegant-tf` that measure what was learned, and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from elegant_tf.config import Config
from elegant_tf.data.sources import DATA

TRAIN_CLASSIFIER = """\
Trains a small classifier of attributes, which judges what edits changed besides what they should. It learns from the
train split of labelled pictures, and prints how many answers are right on the test split: plainly, and balanced, which
is 0.5 for guessing. Writes its weights and a description into a new directory.

examples:
  elegant-tf train-classifier --data faces --image_size 64 --out classifier
  elegant-tf train-classifier --data celeba --data_dir CelebA --attributes Bangs,Smiling --steps 5000 --out classifier
  elegant-tf train-classifier --run runs/mine --out runs/mine/classifier
"""

Add = Callable[[str, str, str], argparse.ArgumentParser]


def add_evaluation_commands(add: Add) -> None:
    """Adds the parsers; `add` makes one of a command's name, its summary and its help."""
    _add_train_classifier(add("train-classifier", "train a judge of what edits changed", TRAIN_CLASSIFIER))


def _add_train_classifier(parser: argparse.ArgumentParser) -> None:
    begin = parser.add_mutually_exclusive_group(required=True)
    begin.add_argument("--data", choices=["faces", *DATA], help="drawn faces, or what is in --data_dir")
    begin.add_argument("--run", metavar="DIR", help="a run whose data, attributes, image size and seed to take")
    parser.add_argument("--data_dir", metavar="DIR", help="; ".join(f"{kind}: {what}" for kind, what in DATA.items()))
    parser.add_argument("--labels_file", metavar="FILE", help="the table of --data folder")
    names = ",".join(Config.attributes)
    parser.add_argument(
        "--attributes",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        metavar="A,B",
        help=f"names, with commas between (default {names}, or the run's)",
    )
    parser.add_argument("--image_size", type=int, metavar="S", help="side in pixels (default 64, or the run's)")
    parser.add_argument("--seed", type=int, metavar="N", help="of weights and batches (default 0, or the run's)")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="updates (default 1500)")
    parser.add_argument("--batch_size", type=int, default=32, metavar="N", help="pairs an update (default 32)")
    parser.add_argument("--out", required=True, metavar="DIR", help="a new directory to write")
