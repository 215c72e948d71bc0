"""`elegant-tf doctor`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

import numpy as np

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_source, names
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import MOST_PAIRS, DataConfig, ModelConfig
from elegant_tf.data.parallel import cpus
from elegant_tf.errors import UserError
from elegant_tf.images import LARGEST, check_output, write_image
from elegant_tf.sources import DATA, open_collection, open_source

HELP = """\
Checks labelled images before training: counts and sizes; unreadable, duplicate and mostly black images; the wrong
variant of CelebA; attributes with too few examples; equal images with different labels; correlated attributes, which
leak into each other; and the speed of the disk and of the input pipeline. The exit status is 1 if something would stop
or spoil training, otherwise 0.

examples:
  elegant-tf doctor --data celeba --data_dir CelebA --attributes Bangs,Smiling
  elegant-tf doctor --data folder --data_dir pets --heat_map correlation.png --json
  elegant-tf doctor --data records --data_dir records --needed 400
"""

UNHEALTHY_STATUS = 1
TIMED_BATCHES = 20


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_source(parser, list(DATA))
    what = "attributes to train, separated by commas (default: all)"
    parser.add_argument("--attributes", type=names, default=[], metavar="A,B", help=what)
    add_number(
        parser,
        "--image_size",
        ModelConfig.image_size,
        "side in pixels of the training images",
        at_least=1,
        at_most=LARGEST,
    )
    add_number(
        parser,
        "--batch_size",
        DataConfig.batch_size,
        "pairs of images per update of the training",
        at_least=1,
        at_most=MOST_PAIRS,
    )
    add_number(parser, "--most", 0, "maximum number of images to read (default all)", at_least=0)
    what = "images per second that training consumes, from its log; a slower pipeline is an error (default any)"
    add_number(parser, "--needed", 0.0, what, at_least=0, kind=float, metavar="RATE")
    what = "PNG file to write: the correlation of attributes"
    add_path(parser, "--heat_map", default="", metavar="FILE", help=what)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(options: argparse.Namespace) -> int:
    _check(options)
    prepare_tensorflow()
    from elegant_tf.data.correlation import draw_heat_map
    from elegant_tf.data.doctor import examine, with_pipeline_speed, with_refusal

    diagnosis = examine(
        open_collection(options.data, options.data_dir, options.labels_file),
        attributes=options.attributes,
        image_size=options.image_size,
        batch_size=options.batch_size,
        most=options.most,
        workers=cpus(),
    )
    try:
        rate = _pipeline_speed(options, diagnosis.trained)
        diagnosis = with_pipeline_speed(diagnosis, rate, options.needed)
    except UserError as error:
        print(f"the pipeline was not timed: {str(error).splitlines()[0]}", file=sys.stderr)
        diagnosis = with_refusal(diagnosis, str(error))
    if options.heat_map:
        matrix = np.array(diagnosis.correlation, float)
        write_image(options.heat_map, draw_heat_map(matrix, list(diagnosis.attributes)), overwrite=True)
    print(json.dumps(diagnosis.as_dict(), indent=2) if options.json else diagnosis)
    return 0 if diagnosis.healthy else UNHEALTHY_STATUS


def _check(options: argparse.Namespace) -> None:
    for name in ("image_size", "batch_size"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name}={getattr(options, name)}: expected 1 or more")
    if options.most < 0 or options.needed < 0:
        raise UserError(f"--most={options.most}, --needed={options.needed:g}: expected 0 or more")
    if options.heat_map:
        check_output(options.heat_map, overwrite=True)


def _pipeline_speed(options: argparse.Namespace, attributes: Sequence[str]) -> float:
    """Images per second that reach training. Raises UserError if the data cannot be trained on."""
    import tensorflow as tf

    from elegant_tf.data.pairs import BadImages, pair_dataset
    from elegant_tf.data.sampler import PairSampler

    data = DataConfig(kind=options.data, data_dir=options.data_dir, labels_file=options.labels_file)
    source = open_source(data, attributes, options.image_size)
    bad_images = BadImages(len(source.labels))
    sampler = PairSampler(source.labels, options.batch_size, "mixed", seed=0)
    batches = iter(pair_dataset(source, sampler, bad_images=bad_images))
    try:
        next(batches)
        begin = time.perf_counter()
        for _ in range(TIMED_BATCHES):
            next(batches)
    except tf.errors.OpError as error:
        raise UserError(bad_images.failure or str(error)) from error
    return TIMED_BATCHES * 2 * options.batch_size / (time.perf_counter() - begin)


COMMANDS = (Command("doctor", "check images and labels before training", HELP, _add_options, _run),)
