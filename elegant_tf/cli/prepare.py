"""`elegant-tf prepare`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, add_source
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.data.preparation import ALIGNMENTS, ENCODINGS, Settings
from elegant_tf.images import LARGEST
from elegant_tf.sources import DATA, open_collection

HELP = """\
Writes images and labels as records: aligned, resized and encoded once, in shards of TFRecords, which training reads
several times as fast as single files. Equal input yields equal files. Images that cannot be read or aligned are left
out and listed in manifest.json. An interrupted call resumes where it stopped; a finished one writes those shards again
in which an image was mended, or an image or its labels have changed.

examples:
  elegant-tf prepare --data celeba --data_dir CelebA --out records
  elegant-tf prepare --data folder --data_dir pets --alignment crop --image_size 128 --out records
  elegant-tf train --data=records --data_dir=records --run_dir=runs/mine
"""

SHOWN = 5  # omitted images to print, at most
MOST_WORKERS = 1024


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_source(parser, [kind for kind in DATA if kind != "records"])
    what = "new folder to write, or one that this command began"
    add_path(parser, "--out", stored=True, required=True, metavar="DIR", help=what)
    defaults = Settings()
    add_number(parser, "--image_size", defaults.image_size, "side in pixels", at_least=0, at_most=LARGEST)
    what = "similarity: move five landmarks to a mean face, as the authors do; crop: the centred square; none"
    parser.add_argument("--alignment", choices=ALIGNMENTS, default=defaults.alignment, help=what)
    what = "find the landmarks even if the data has them (needs 'elegant-tf[align]')"
    parser.add_argument("--detect", action="store_true", help=what)
    parser.add_argument("--encoding", choices=ENCODINGS, default=defaults.encoding, help="png is lossless")
    add_number(parser, "--quality", defaults.quality, "quality of JPEG, 1 to 100", at_least=1, at_most=100)
    add_number(parser, "--shard_images", defaults.shard_images, "images per shard", at_least=1)
    what = "number of threads (default: one per processor)"
    add_number(parser, "--workers", None, what, at_least=1, at_most=MOST_WORKERS)


def _run(options: argparse.Namespace) -> None:
    names = (field.name for field in dataclasses.fields(Settings))
    settings = Settings(**{name: getattr(options, name) for name in names})
    prepare_tensorflow()
    from elegant_tf.data.prepare import prepare

    collection = open_collection(options.data, options.data_dir, options.labels_file)
    for flaw in collection.table.flaws.values():
        if flaw.rare:
            print(f"not an attribute: {flaw.text}", file=sys.stderr)
    detect = None
    if options.detect:
        from elegant_tf.data.align import find_largest, make_detector

        detect = functools.partial(find_largest, detect=make_detector())
        collection = dataclasses.replace(collection, landmarks=None)
    manifest = prepare(collection, options.out, settings, detect=detect, workers=options.workers)
    dropped = manifest["dropped"]
    print(f"{options.out}: {manifest['images']} images, {len(dropped)} left out")
    for entry in dropped[:SHOWN]:
        print(f"  {entry['reason']}")
    if len(dropped) > SHOWN:
        print(f"  and {len(dropped) - SHOWN} more, in manifest.json")


COMMANDS = (Command("prepare", "write images and labels as records, for fast training", HELP, _add_options, _run),)
