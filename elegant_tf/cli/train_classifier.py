"""`elegant-tf train-classifier`."""

from __future__ import annotations

import argparse
import dataclasses

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import RUN_FLAGS, add_number, add_path, add_place, add_seed, names
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import MOST_PAIRS, Config, ModelConfig
from elegant_tf.data.source import Source
from elegant_tf.files import check_writable
from elegant_tf.rundir import read_config
from elegant_tf.sources import DATA, open_source

HELP = """\
Trains a small classifier of attributes, with which `elegant-tf evaluate` measures unintended changes. It learns from
the train split of labelled images. Prints the accuracy on the test split, and the balanced accuracy, which is 0.5 for
random guesses. Writes the weights and a description to a new directory.

examples:
  elegant-tf train-classifier --data faces --image_size 64 --out classifier
  elegant-tf train-classifier --data celeba --data_dir CelebA --attributes Bangs,Smiling --steps 5000 --out classifier
  elegant-tf train-classifier --run runs/mine --out runs/mine/classifier
"""

# Options that take the place of a run's options of the same name.
_REPLACED = ("data", "data_dir", "labels_file", "attributes", "image_size", "seed")

# Drawn faces to test on, per face to learn from, and the smallest --faces_count.
_TEST_SHARE, _FEWEST_FACES = 0.25, 16


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--data", choices=["faces", *DATA], help="kind of data in --data_dir, or drawn faces")
    what = "run directory whose data, attributes, image size and seed are the defaults"
    add_path(group, *RUN_FLAGS, metavar="DIR", help=what)
    add_place(parser, list(DATA), default=None)
    what = f"attributes to classify, separated by commas (default {','.join(ModelConfig.attributes)}, or the run's)"
    parser.add_argument("--attributes", type=names, metavar="A,B", help=what)
    add_number(parser, "--image_size", None, "side in pixels (default 64, or the run's)", at_least=1, metavar="S")
    add_seed(parser, None, "seed of weights and batches (default 0, or the run's)")
    add_number(parser, "--steps", 1500, "number of updates", at_least=1)
    add_number(parser, "--batch_size", 32, "pairs of images per update", at_least=1, at_most=MOST_PAIRS)
    add_path(parser, "--out", required=True, metavar="DIR", help="new directory to write")


def _run(options: argparse.Namespace) -> None:
    config = _config(options)
    prepare_tensorflow()
    from elegant_tf.evaluation.classifier import check_new
    from elegant_tf.evaluation.classifier_training import Training, accuracy_table, train_classifier

    check_new(options.out)
    check_writable(options.out)
    training = Training(steps=options.steps, batch_size=options.batch_size, seed=config.run.seed)
    source = _open(config, config.data.faces_count, "train")
    test_faces = max(_FEWEST_FACES, round(config.data.faces_count * _TEST_SHARE))
    classifier = train_classifier(source, _open(config, test_faces, "test"), training)
    classifier.settings = {**classifier.settings, "data": config.data.kind, "images": len(source.labels)}
    classifier.save(options.out)
    print(accuracy_table(classifier.accuracies), options.out, sep="\n")


def _open(config: Config, faces_count: int, split: str) -> Source:
    data = dataclasses.replace(config.data, faces_count=faces_count)
    return open_source(data, config.model.attributes, config.model.image_size, split, config.run.seed)


def _config(options: argparse.Namespace) -> Config:
    """The run's configuration, or the defaults, with the given options in place and checked."""
    # The smallest depth, so that the image size need be a multiple of 4 only.
    base = read_config(options.run) if options.run else Config.of(image_size=64, depth=2)
    given = {name: getattr(options, name) for name in _REPLACED if getattr(options, name) is not None}
    return base.replace(**given)


COMMANDS = (
    Command("train-classifier", "train the classifier that measures unintended changes", HELP, _add_options, _run),
)
