"""`elegant-tf export`, and `export_savedmodel.py`."""

from __future__ import annotations

import argparse

from elegant_tf.bounds import LARGEST_VERSION
from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_run, add_step, names
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.cli.tflite import ALL_KINDS, add_comparison, write_tflite
from elegant_tf.rundir import read_model

HELP = """\
Exports a run as a SavedModel for TF Serving, which takes and returns encoded images. It is written to --out/VERSION;
TF Serving serves the newest version in --out, its model_base_path.

examples:
  elegant-tf export --run runs/demo --out models/elegant --warmup
  elegant-tf export --run runs/demo --out models/elegant --status --warmup
  elegant-tf export --run runs/demo --out models/elegant --encoding jpeg --tflite float32,float16
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    what = "directory of the model's versions"
    add_path(parser, "--out", "--export_dir", stored=True, required=True, metavar="DIR", help=what)
    what = "number of the new version (default: the step)"
    add_number(parser, "--version", None, what, at_least=0, at_most=LARGEST_VERSION)
    add_step(parser)
    add_number(parser, "--image_size", None, "side of edited images (default: the run's)", at_least=1, metavar="S")
    what = "how images become square: crop, pad or stretch (default crop)"
    parser.add_argument("--resize", default="crop", metavar="HOW", help=what)
    what = "format of edited images: png or jpeg (default png)"
    parser.add_argument("--encoding", default="png", metavar="FORMAT", help=what)
    what = "number format: float32, or mixed_float16 or mixed_bfloat16 for GPUs (default float32)"
    parser.add_argument("--precision", default="float32", metavar="TYPE", help=what)
    what = f"also write TFLite files, to --out/tflite/VERSION: any of {ALL_KINDS.replace(',', ', ')}"
    parser.add_argument("--tflite", type=names, default=[], metavar="A,B", help=what)
    add_comparison(parser)
    what = "add requests that TF Serving runs before it answers (needs 'elegant-tf[serving]')"
    parser.add_argument("--warmup", action="store_true", help=what)
    what = "answer with a status for each image, so that a bad one does not fail the others of its request"
    parser.add_argument("--status", action="store_true", help=what)
    parser.add_argument("--nowarmup", dest="warmup", action="store_false", help=argparse.SUPPRESS)


def _run(options: argparse.Namespace) -> None:
    read_model(options.run)
    prepare_tensorflow()
    from elegant_tf.export.savedmodel import ExportOptions, export_savedmodel

    how = ExportOptions(
        version=options.version,
        image_size=options.image_size,
        resize=options.resize,
        encoding=options.encoding,
        precision=options.precision,
        warmup=options.warmup,
        status=options.status,
    )
    path = export_savedmodel(options.run, options.out, options=how, step=options.step)
    print(path)
    if options.tflite:
        out = path.parent / "tflite" / path.name  # TF Serving only looks at directories whose names are numbers.
        write_tflite(options, out, options.tflite)
        print(out)


COMMANDS = (Command("export", "export a run for TF Serving", HELP, _add_options, _run),)
