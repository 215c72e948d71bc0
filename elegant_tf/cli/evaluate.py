"""`elegant-tf evaluate`."""

from __future__ import annotations

import argparse

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_run, add_step
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.rundir import read_config

HELP = """\
Edits held-out images and measures the results. Prints tables, and writes scorecard.json, .md, .html and .png to the
run directory. Where the data has counterfactual targets, as drawn faces do, edits are compared with them: "realised"
is the share of the intended change that was made, 1 at best; "leak" is how far the rest of the image moved, of 255;
"rank 1" is how often an edit is nearest to the target in its own exemplar's style. A classifier measures which other
attributes changed and whether identity was preserved. Its features, or Inception's, yield distances between edited
and real images.

examples:
  elegant-tf evaluate --run faces
  elegant-tf evaluate --run runs/mine --data_dir faces
  elegant-tf evaluate --run runs/celeba --classifier classifier --inception keras
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    what = "evaluate on this folder, which `elegant-tf faces` wrote (default: the run's own data)"
    parser.add_argument("--data_dir", metavar="DIR", help=what)
    add_number(parser, "--count", 64, "edits per attribute and direction")
    add_number(parser, "--seed", 0, "seed of the evaluation set; independent of the run's seed, so that runs compare")
    what = "folder for the report (default: the run directory, or scorecard-NAME for an included model)"
    parser.add_argument("--out", metavar="DIR", help=what)
    what = "directory that `elegant-tf train-classifier` wrote (default: classifier in the run directory, if it exists)"
    parser.add_argument("--classifier", metavar="DIR", help=what)
    what = "also compute the distances of the paper's table, with InceptionV3: keras (downloads weights), or a file"
    parser.add_argument("--inception", default="", metavar="WEIGHTS", help=what)
    what = "maximum number of edits per attribute and direction for distances (default 500; 5000 with --inception)"
    parser.add_argument("--distance_count", type=int, metavar="N", help=what)
    what = "folder of dlib's two models, to compare identities with them as well (needs 'elegant-tf[identity]')"
    parser.add_argument("--face_models", metavar="DIR", help=what)
    add_step(parser)


def _run(options: argparse.Namespace) -> None:
    read_config(options.run)
    prepare_tensorflow()
    from elegant_tf.evaluation.evaluate import evaluate

    report = evaluate(
        options.run,
        data_dir=options.data_dir,
        count=options.count,
        out=options.out,
        classifier=options.classifier,
        inception=options.inception,
        step=options.step,
        face_models=options.face_models,
        distance_count=options.distance_count,
        seed=options.seed,
    )
    print(report)


COMMANDS = (Command("evaluate", "measure a run on held-out images", HELP, _add_options, _run),)
