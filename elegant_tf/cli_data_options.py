"""The options of the commands of `elegant-tf` that are about data, and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from elegant_tf.config import Config
from elegant_tf.data.preparation import ALIGNMENTS, ENCODINGS, Settings
from elegant_tf.data.sources import DATA

PREPARE = """\
Writes pictures and labels as records: aligned, resized and encoded once, in shards of TFRecords. Training reads them
several times as fast as files. An interrupted run goes on where it was; equal input gives equal files. Pictures that
cannot be read or aligned are left out and named in manifest.json.

examples:
  elegant-tf prepare --data celeba --data_dir CelebA --out records
  elegant-tf prepare --data folder --data_dir pets --alignment crop --image_size 128 --out records
  elegant-tf train --data=records --data_dir=records --run_dir=runs/mine
"""

ALIGN = """\
Finds the faces in photos and aligns them as training images are: turned, scaled and moved so that eyes, nose and mouth
are where they always are. Writes a PNG file for each into a folder, and align.json, which tells where in its photo each
was. Needs mtcnn: pip install 'elegant-tf[align]'.

examples:
  elegant-tf align --input photos --out faces
  elegant-tf align --input party.jpg --faces all --image_size 512 --out faces
"""

DOCTOR = """\
Looks at labelled pictures before hours are spent on them: counts and sizes, unreadable, duplicate and mostly black
pictures, the wrong variant of CelebA, attributes with too few examples, the same picture with different labels,
attributes that go together and so leak into each other, and how many images a second the disk and the pipeline give.
The exit status is 1 if something would stop or spoil a training, else 0.

examples:
  elegant-tf doctor --data celeba --data_dir CelebA --attributes Bangs,Smiling
  elegant-tf doctor --data folder --data_dir pets --heat_map correlation.png --json
  elegant-tf doctor --data records --data_dir records --needed 400
"""

Add = Callable[[str, str, str], argparse.ArgumentParser]


def add_data_commands(add: Add) -> None:
    """Adds the parsers; `add` makes one of a command's name, its summary and its help."""
    _add_prepare(add("prepare", "write pictures and labels as records, for fast training", PREPARE))
    _add_doctor(add("doctor", "look for what is wrong with pictures and labels", DOCTOR))
    _add_align(add("align", "find the faces in photos and align them", ALIGN))


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    _add_source(parser, [name for name in DATA if name != "records"])
    parser.add_argument("--out", required=True, metavar="DIR", help="a new folder to write, or an unfinished one")
    defaults = Settings()
    parser.add_argument("--image_size", type=int, default=defaults.image_size, metavar="S", help="side in pixels")
    parser.add_argument(
        "--alignment",
        choices=ALIGNMENTS,
        default=defaults.alignment,
        help="five points to a mean face, as the authors do; the centred square; or pictures as they are",
    )
    parser.add_argument("--detect", action="store_true", help="find the five points even if the data has them")
    parser.add_argument("--encoding", choices=ENCODINGS, default=defaults.encoding, help="png loses nothing")
    parser.add_argument("--quality", type=int, default=defaults.quality, metavar="Q", help="of JPEG, 1 to 100")
    parser.add_argument(
        "--shard_images", type=int, default=defaults.shard_images, metavar="N", help="pictures in a file"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one for each processor)")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_source(parser, list(DATA))
    parser.add_argument(
        "--attributes",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAMES",
        help="those to be trained, commas between (default: all)",
    )
    size, batch = Settings().image_size, Config.batch_size
    parser.add_argument("--image_size", type=int, default=size, metavar="S", help="of the training, in pixels")
    parser.add_argument("--batch_size", type=int, default=batch, metavar="N", help="of the training")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="read at most so many pictures (0: all)")
    parser.add_argument(
        "--needed",
        type=float,
        default=0.0,
        metavar="RATE",
        help="images a second that training takes, as its log says; fewer are an error",
    )
    parser.add_argument("--heat_map", default="", metavar="FILE", help="a PNG to write: how attributes go together")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _add_align(parser: argparse.ArgumentParser) -> None:
    what = "photos, or folders of them"
    parser.add_argument("--input", required=True, nargs="+", metavar="FILE", help=what)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write faces to")
    parser.add_argument("--image_size", type=int, default=Settings().image_size, metavar="S", help="side in pixels")
    parser.add_argument(
        "--faces", default="largest", metavar="WHICH", help="largest, all, or a number: 0 is the largest, 1 the next"
    )


def _add_source(parser: argparse.ArgumentParser, kinds: list[str]) -> None:
    parser.add_argument("--data", required=True, choices=kinds, help="what is in --data_dir")
    parser.add_argument("--data_dir", default="", metavar="DIR", help="; ".join(f"{k}: {DATA[k]}" for k in kinds))
    parser.add_argument("--labels_file", default="", metavar="FILE", help="the table of --data folder")
