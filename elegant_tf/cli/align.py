"""`elegant-tf align`."""

from __future__ import annotations

import argparse

from elegant_tf.cli.command import Command
from elegant_tf.cli.options import add_number, add_path, files_of
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.config import ModelConfig
from elegant_tf.images import LARGEST, SMALLEST

HELP = """\
Finds faces in photos and aligns them as training images are aligned: rotates, scales and shifts each so that eyes,
nose and mouth are in standard positions. Writes a PNG file per face to a folder, and align.json with the place of
each face in its photo. An interrupted call resumes where it stopped, and looks again at photos that failed or have
changed. Needs mtcnn: pip install 'elegant-tf[align]'.

examples:
  elegant-tf align --input photos --out faces
  elegant-tf align --input party.jpg --faces all --image_size 512 --out faces
"""


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_path(parser, "--input", required=True, nargs="+", metavar="FILE", help="photos, or folders of photos")
    add_path(parser, "--out", required=True, metavar="DIR", help="folder to write the faces to")
    add_number(parser, "--image_size", ModelConfig.image_size, "side in pixels", at_least=SMALLEST, at_most=LARGEST)
    what = "largest, all, or a number: 0 is the largest face, 1 the next (default largest)"
    parser.add_argument("--faces", default="largest", metavar="WHICH", help=what)


def _run(options: argparse.Namespace) -> None:
    photos = files_of(options.input)
    prepare_tensorflow()
    from elegant_tf.data.align import align_photos

    faces = align_photos(photos, options.out, size=options.image_size, which=options.faces)
    print(f"{options.out}: {len(faces)} faces from {len(photos)} photos")


COMMANDS = (Command("align", "find the faces in photos and align them", HELP, _add_options, _run),)
