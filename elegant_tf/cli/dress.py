"""`elegant-tf dress`."""

from __future__ import annotations

import argparse
import os
import sys

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_seed, files_of, names
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import MOST_FACES
from elegant_tf.data.listing import is_image_name
from elegant_tf.images import LARGEST, SMALLEST
from elegant_tf.names import find_attributes
from elegant_tf.paths import check_new_directory
from elegant_tf.synthetic.dressed_folder import write_dressed
from elegant_tf.synthetic.dressing import WEARABLE
from elegant_tf.synthetic.photo_list import list_photos

HELP = """\
Draws eyeglasses, hats and mustaches on photos of faces, in the pose and the light of each photo, and writes a data set
with CelebA's layout. Its folder counterfactuals/ holds held-out edits with their targets, on which
`elegant-tf evaluate --data_dir` evaluates a run. Photos that wear such things already must be left out with
--leave_out. Without --landmarks it needs mtcnn: pip install 'elegant-tf[align]'.

examples:
  elegant-tf dress --input photos --out dressed --count 5000 --image_size 128
  elegant-tf dress --input photos --out glasses --attributes Eyeglasses --leave_out labels.csv
  elegant-tf dress --input photos --out dressed --landmarks faces/align.json
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_path(parser, "--input", required=True, nargs="+", metavar="FILE", help="photos, or folders of photos")
    add_path(parser, "--out", required=True, metavar="DIR", help="new folder to write")
    add_number(parser, "--count", 1000, "number of images", at_least=1, at_most=MOST_FACES)
    add_number(parser, "--image_size", 128, "side in pixels", at_least=SMALLEST, at_most=LARGEST)
    add_seed(parser, 0, "seed of the images and of the splits")
    what = f"what to dress the photos in, separated by commas (default {','.join(WEARABLE)})"
    parser.add_argument("--attributes", type=names, default=list(WEARABLE), metavar="A,B", help=what)
    what = "five landmarks of each photo: align.json of `elegant-tf align`, a table, or a text file like CelebA's"
    add_path(parser, "--landmarks", metavar="FILE", help=what)
    what = (
        "photos to leave out: a text file of names, or a table of labels, of which the photos with one of --attributes "
        "are left out"
    )
    add_path(parser, "--leave_out", metavar="FILE", help=what)
    what = "put all photos into the test split: a model that was trained on none of them is to be evaluated"
    parser.add_argument("--held_out", action="store_true", help=what)
    what = "number of held-out edits with targets, for each attribute and each of add, remove and restyle"
    add_number(parser, "--counterfactuals", 32, what, at_least=0, at_most=MOST_FACES)


def _run(options: argparse.Namespace) -> None:
    find_attributes(options.attributes, WEARABLE)
    check_new_directory(options.out)
    photos = [
        path for path in files_of(options.input) if path in options.input or is_image_name(os.path.basename(path))
    ]
    if not options.landmarks:
        prepare_tensorflow()  # for the detector
    found = list_photos(photos, options.attributes, options.landmarks, options.leave_out)
    for line in found.left_out:
        print(f"left out: {line}", file=sys.stderr)
    write_dressed(
        options.out,
        found.paths,
        found.landmarks,
        count=options.count,
        image_size=options.image_size,
        seed=options.seed,
        attributes=options.attributes,
        counterfactuals=options.counterfactuals,
        held_out=options.held_out,
    )
    print(f"{options.out}: {options.count} images of {len(found.paths)} photos, {len(found.left_out)} left out")


COMMANDS = (Command("dress", "dress photos: a data set with known targets", HELP, _add_options, _run),)
