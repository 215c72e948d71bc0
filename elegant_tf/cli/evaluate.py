"""`elegant-tf evaluate`."""

from __future__ import annotations

import argparse

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_other_data, add_path, add_run, add_seed, add_step, names
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.rundir import read_config

HELP = """\
Edits held-out images and measures the results. Prints tables, and writes scorecard.json, .md, .html and .png to the
run directory. Where the data has counterfactual targets, as drawn faces do, edits are compared with them: "realised"
is the share of the intended change that was made, 1 at best; "leak" is how far the rest of the image moved, of 255;
"rank 1" is how often an edit is nearest to the target in its own exemplar's style. A classifier measures whether the
wanted attribute is there, which others changed, and whether identity was preserved. Its features, or Inception's, yield
distances between edited and real images. Edits of disturbed inputs show how robust the run is.

examples:
  elegant-tf evaluate --run faces
  elegant-tf evaluate --run runs/mine --data_dir faces
  elegant-tf evaluate --run runs/celeba --by Male,Young
  elegant-tf evaluate --run runs/packed --data celeba --data_dir CelebA
  elegant-tf evaluate --run runs/celeba --classifier classifier --inception keras
  elegant-tf evaluate --model phone/elegant_int8.tflite
"""

MOST = 100_000  # edits to ask for


def _add_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    add_run(which, required=False)
    what = "instead of --run: a TFLite file, or a folder that `elegant-tf export` wrote, to evaluate as it stands"
    add_path(which, "--model", stored=True, metavar="PATH", help=what)
    add_other_data(parser, "to evaluate on")
    add_number(parser, "--count", 64, "edits per attribute and direction", at_least=1, at_most=MOST)
    add_seed(parser, 0, "seed of the evaluation set; independent of the run's seed, so that runs compare")
    what = "columns of the data, such as Male,Young, attributes or others: also score the people of each group"
    parser.add_argument("--by", type=names, metavar="A,B", help=what)
    what = "folder for the report (default: the run directory, or scorecard-NAME for an included or an exported model)"
    add_path(parser, "--out", stored=True, metavar="DIR", help=what)
    what = "directory that `elegant-tf train-classifier` wrote (default: classifier in the run directory, if it exists)"
    add_path(parser, "--classifier", stored=True, metavar="DIR", help=what)
    what = "also compute the distances of the paper's table, with InceptionV3: keras (downloads weights), or a file"
    add_path(parser, "--inception", default="", metavar="WEIGHTS", help=what)
    what = "maximum number of edits per attribute and direction for distances (default 500; 5000 with --inception)"
    add_number(parser, "--distance_count", None, what, at_least=1)
    what = "folder of dlib's two models, to compare identities with them as well (needs 'elegant-tf[identity]')"
    add_path(parser, "--face_models", metavar="DIR", help=what)
    add_step(parser)


def _run(options: argparse.Namespace) -> None:
    if options.run:
        read_config(options.run)
    prepare_tensorflow()
    from elegant_tf.evaluation.evaluate import evaluate

    report = evaluate(
        options.run,
        model=options.model,
        data=options.data,
        data_dir=options.data_dir,
        labels_file=options.labels_file,
        count=options.count,
        out=options.out,
        classifier=options.classifier,
        inception=options.inception,
        step=options.step,
        face_models=options.face_models,
        distance_count=options.distance_count,
        seed=options.seed,
        by=options.by,
    )
    print(report)


COMMANDS = (Command("evaluate", "measure a run or an exported model on held-out images", HELP, _add_options, _run),)
