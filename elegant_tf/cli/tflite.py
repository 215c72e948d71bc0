"""`elegant-tf tflite`, and the TFLite files that `elegant-tf export` writes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_other_data, add_path, add_run, add_step, files_of, names
from elegant_tf.cli.tensorflow import prepare_tensorflow, without_noise
from elegant_tf.errors import UserError
from elegant_tf.paths import check_new_directory
from elegant_tf.rundir import read_model

if TYPE_CHECKING:
    from elegant_tf.export.examples import Examples

ALL_KINDS = "float32,float16,dynamic_int8,int8"

HELP = """\
Writes a run as TFLite files for phones to a new folder: a file per kind, and a report of how far each is from the
Keras model, how fast it is in LiteRT, and how much memory it takes. A file that is too far off is an error, and nothing
is written. Needs LiteRT: pip install 'elegant-tf[tflite]'.

examples:
  elegant-tf tflite --run runs/demo --out phone
  elegant-tf tflite --run runs/demo --out phone --kinds float16,int8
  elegant-tf tflite --run portraits --out phone --data_dir dressed
"""


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what TFLite files are compared on, and whether they must pass."""
    add_other_data(parser, "to compare on and to calibrate int8 with")
    what = "images or folders of them to compare on and to calibrate int8 with, framed as in the run's training"
    parser.add_argument("--input", nargs="+", metavar="FILE", help=what)
    what = "only warn of a TFLite file that is too far from the Keras model"
    parser.add_argument("--nogate", dest="gate", action="store_false", help=what)


def write_tflite(options: argparse.Namespace, out: str | os.PathLike[str], kinds: Sequence[str]) -> str:
    """Writes the files to `out`, as the options say, and returns the report."""
    from elegant_tf.export.tflite import export_tflite, to_markdown

    if options.input and (options.data or options.data_dir or options.labels_file):
        raise UserError("--input and --data, --data_dir or --labels_file: give one or the other")
    with without_noise():  # LiteRT says how it computes.
        rows = export_tflite(
            options.run,
            out,
            kinds,
            image_size=options.image_size,
            step=options.step,
            load_examples=lambda: _load_examples(options, kinds),
            gate=options.gate,
        )
    return to_markdown(rows)


def _load_examples(options: argparse.Namespace, kinds: Sequence[str]) -> Examples:
    from elegant_tf.evaluation.examples import load_examples
    from elegant_tf.export.examples import examples_of_files

    size = options.image_size
    if options.input:
        model = read_model(options.run)
        return examples_of_files(files_of(options.input), len(model.attributes), size or model.image_size)
    places = {"data": options.data, "data_dir": options.data_dir, "labels_file": options.labels_file}
    return load_examples(options.run, size, calibrates="int8" in kinds, **places)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_path(parser, "--out", stored=True, required=True, metavar="DIR", help="new folder to write")
    what = f"any of {ALL_KINDS.replace(',', ', ')} (default: all)"
    parser.add_argument("--kinds", type=names, default=ALL_KINDS, metavar="A,B", help=what)
    add_number(parser, "--image_size", None, "side in pixels (default: the run's)", at_least=1, metavar="S")
    add_step(parser)
    add_comparison(parser)


def _run(options: argparse.Namespace) -> None:
    read_model(options.run)
    check_new_directory(options.out)
    prepare_tensorflow()
    print(write_tflite(options, options.out, options.kinds) + options.out)


COMMANDS = (Command("tflite", "write a run as TFLite files for phones", HELP, _add_options, _run),)
