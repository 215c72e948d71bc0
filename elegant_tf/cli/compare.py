"""`elegant-tf compare`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from elegant_tf.cli.command import Command
from elegant_tf.cli.evaluate import MOST
from elegant_tf.cli.options import add_number, add_other_data, add_path, add_seed, names
from elegant_tf.cli.tensorflow import prepare_tensorflow, without_noise
from elegant_tf.errors import UserError
from elegant_tf.files import check_writable, write_json, write_text

HELP = """\
Puts the same held-out edits through two models and prints their scorecards side by side, with confidence intervals of
the differences. The exit status is 0 if the new model is within all limits, 1 if it is beyond one, which is named, and
2 if the models cannot be compared, so that a release can depend on it. A limit is the largest change, from the old
model to the new one, for the worse. Each edits images of its own size; results are measured at the smaller one.

examples:
  elegant-tf compare --old models/elegant/12000 --new models/elegant/24000
  elegant-tf compare --old models/elegant/12000 --new phone/elegant_int8.tflite --realised -0.05 --leak 1
  elegant-tf compare --old runs/last --new runs/next/best --data_dir dressed --strict --markdown comparison.md
"""

BEYOND_STATUS = 1

# The default of each limit and what it is; those of `evaluation.compare.LIMITS`, which needs TensorFlow.
_LIMITS = {
    "realised": "least change of the realised share (default -0.02)",
    "leak": "largest change of leak, of 255 (default 0.5)",
    "moved": "largest change, up or down, of how far images move, of 255, for data without targets (default 1)",
    "reconstruction_psnr": "least change of the PSNR of reconstructed images, in dB; by default only without targets "
    "(default -0.5)",
}


def _add_options(parser: argparse.ArgumentParser) -> None:
    what = "folder that `elegant-tf export` wrote, or one of its versions; a TFLite file; or a run"
    add_path(parser, "--old", required=True, metavar="PATH", help=f"the model in use: {what}")
    add_path(parser, "--new", required=True, metavar="PATH", help="the model to take its place, likewise")
    add_other_data(parser, "to compare on")
    what = "attributes to compare; the new model may then lack others (default: all, and it must not)"
    parser.add_argument("--attributes", type=names, default=[], metavar="A,B", help=what)
    add_number(parser, "--count", 64, "edits per attribute and direction", at_least=1, at_most=MOST)
    add_seed(parser, 0, "seed of the evaluation set")
    for name, what in _LIMITS.items():
        least = 0 if name == "moved" else None
        add_number(parser, f"--{name}", None, what, kind=float, metavar="X", at_least=least)
    what = "a limit must hold for all of the confidence interval of a change, not only for the change"
    parser.add_argument("--strict", action="store_true", help=what)
    add_path(parser, "--markdown", metavar="FILE", help="also write the comparison to this file, as Markdown")
    add_path(parser, "--json", metavar="FILE", help="also write it to this file, as JSON")


def _run(options: argparse.Namespace) -> int:
    for flag in ("markdown", "json"):
        if path := getattr(options, flag):
            if os.path.isdir(path):
                raise UserError(f"--{flag}={path}: is a directory; name a file")
            check_writable(Path(path).parent, flag)
    prepare_tensorflow()
    from elegant_tf.evaluation.compare import compare

    with without_noise():  # LiteRT says how it computes.
        found = compare(
            options.old,
            options.new,
            data=options.data,
            data_dir=options.data_dir,
            labels_file=options.labels_file,
            attributes=options.attributes,
            count=options.count,
            seed=options.seed,
            limits={name: value for name in _LIMITS if (value := getattr(options, name)) is not None},
            strict=options.strict,
        )
    print(found)
    if options.markdown:
        write_text(options.markdown, found.as_markdown())
    if options.json:
        write_json(options.json, found.as_json())
    return BEYOND_STATUS if found.beyond else 0


COMMANDS = (Command("compare", "compare two models before one replaces the other", HELP, _add_options, _run),)
