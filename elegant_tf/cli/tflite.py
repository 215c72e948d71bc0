"""`elegant-tf tflite`."""

from __future__ import annotations

import argparse

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_run, add_step, files_of, names
from elegant_tf.cli.tensorflow import prepare_tensorflow, without_noise
from elegant_tf.paths import check_new_directory
from elegant_tf.rundir import read_model

HELP = """\
Writes a run as TFLite files for phones to a new folder: a file per kind, and a report of how far each is from the
Keras model and how fast it is in LiteRT. Needs LiteRT: pip install 'elegant-tf[tflite]'.

examples:
  elegant-tf tflite --run runs/demo --out phone
  elegant-tf tflite --run runs/demo --out phone --kinds float16
  elegant-tf tflite --run portraits --out phone --input aligned
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_path(parser, "--out", required=True, metavar="DIR", help="new folder to write")
    kinds = "float32,float16,dynamic_int8"
    what = f"any of {kinds.replace(',', ', ')} (default: all)"
    parser.add_argument("--kinds", type=names, default=kinds, metavar="A,B", help=what)
    add_number(parser, "--image_size", None, "side in pixels (default: the run's)", at_least=1, metavar="S")
    add_step(parser)
    what = "images or folders of them to compare on, framed as in the run's training (default: drawn faces)"
    parser.add_argument("--input", nargs="+", metavar="FILE", help=what)


def _run(options: argparse.Namespace) -> None:
    read_model(options.run)
    check_new_directory(options.out)
    prepare_tensorflow()
    from elegant_tf.export.tflite import export_tflite, to_markdown

    with without_noise():  # LiteRT says how it computes.
        rows = export_tflite(
            options.run,
            options.out,
            kinds=options.kinds,
            image_size=options.image_size,
            step=options.step,
            images=files_of(options.input) if options.input else None,
        )
    print(to_markdown(rows) + options.out)


COMMANDS = (Command("tflite", "write a run as TFLite files for phones", HELP, _add_options, _run),)
