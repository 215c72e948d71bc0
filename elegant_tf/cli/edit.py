"""`elegant-tf swap`, `linear`, `matrix` and `grid`: edited images."""

from __future__ import annotations

import argparse
import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from elegant_tf.catalogue import Exemplar
from elegant_tf.cli.command import Command
from elegant_tf.cli.exemplars import (
    Found,
    Nearest,
    add_exemplar_options,
    count_exemplars,
    find_exemplars,
    load_exemplars,
    shown,
)
from elegant_tf.cli.options import add_alignment, add_images, add_number, add_run, add_strength, files_of
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.data.align import check_detector, check_which
from elegant_tf.data.landmark_files import read_landmark_file
from elegant_tf.errors import UserError
from elegant_tf.images import check_image_size, check_output, check_sheet, grid, read_image, resize, write_image
from elegant_tf.marks import ExemplarData, Receipt, make_receipt, packet_in, xmp_packet
from elegant_tf.names import find_attributes
from elegant_tf.photo_files import Photo, check_format, check_photo_output, read_photo
from elegant_tf.photos import BLENDS, FaceFinder, PhotoEditor, photo_targets
from elegant_tf.rundir import read_model

if TYPE_CHECKING:
    from elegant_tf.editor import Editor

_Images: TypeAlias = Sequence[np.ndarray]
_Exemplars: TypeAlias = Sequence[np.ndarray | Exemplar]

SWAP = """\
Transfers attributes from an exemplar to an image. The result wears eyeglasses if the exemplar does, and otherwise none.

examples:
  elegant-tf swap --run runs/demo --input a.png --exemplar b.png \\
      --attributes Bangs,Smiling --strength 0.5 --out out.png
  elegant-tf swap --run runs/demo --input a.png --exemplar b.png c.png \\
      --attributes Bangs,Smiling --out out.png

The second takes the bangs from b.png and the smile from c.png.

With --align, the input is a photograph of any size. The face is found and edited, and the change is added to the
photograph at its own resolution. Its size, format, EXIF and colour profile stay. Several photos, or a folder, get the
same edit and are written to the folder --out; photos that are there already stay. Finding faces needs mtcnn:
pip install 'elegant-tf[align]'.

  elegant-tf swap --run runs/demo --align --input me.jpg --exemplar b.jpg --attributes Eyeglasses --out out.jpg
  elegant-tf swap --run runs/demo --align --faces all --input photos --exemplar b.jpg \\
      --attributes Eyeglasses --out edited
"""

LINEAR = """\
Interpolates from an image to its edit in equal steps. Writes a strip: the image, then N edited images, the last of
which is the full edit. One exemplar provides all attributes; or give one exemplar for each attribute.

example:
  elegant-tf linear --run runs/demo --input a.png --exemplar b.png \\
      --attributes Smiling --steps 6 --out strip.png
"""

MATRIX = """\
Interpolates in two directions from the reconstruction of the image, which is in the top left corner. With one attribute
and three exemplars, the edits by the exemplars are in the top right, bottom left and bottom right corners. With two
attributes and two exemplars, the strength of the first attribute grows downwards and that of the second to the
right.

examples:
  elegant-tf matrix --run runs/demo --input a.png --exemplar b.png c.png d.png \\
      --attributes Bangs --out matrix.png
  elegant-tf matrix --run runs/demo --input a.png --exemplar b.png c.png \\
      --attributes Bangs,Smiling --rows 3 --cols 7 --out matrix.png
"""

GRID = """\
Transfers attributes from each of several exemplars to each of several images. Writes a table with the images in its
first column and the exemplars in its first row. A folder stands for all images in it.

examples:
  elegant-tf grid --run runs/demo --input a.png b.png --exemplar c.png d.png e.png \\
      --attributes Wearing_Hat --out grid.png
  elegant-tf grid --run runs/demo --input people --exemplar hats \\
      --attributes Wearing_Hat --out grid.png
"""


_ALIGN = "inputs and exemplars are photos: find and align the face in each"


def _add_options(
    parser: argparse.ArgumentParser, folders: bool = False, photos: bool = False, align: str = _ALIGN
) -> None:
    add_run(parser)
    add_images(parser, folders, photos)
    add_exemplar_options(parser)
    add_alignment(parser, align)
    add_number(parser, "--image_size", None, "side in pixels (default: the run's)", at_least=1, metavar="S")
    parser.add_argument("--nomark", action="store_true", help="do not mark the image as edited")


def _add_swap(parser: argparse.ArgumentParser) -> None:
    _add_options(parser, photos=True, align=f"{_ALIGN}; the edit is added to the photo at its own resolution")
    add_strength(parser)
    what = "how --align adds an edit to the photo (default detail)"
    parser.add_argument("--blend", choices=BLENDS, help=what)


def _add_linear(parser: argparse.ArgumentParser) -> None:
    _add_options(parser)
    add_number(parser, "--steps", 5, "number of edited images in the strip", at_least=1)


def _add_matrix(parser: argparse.ArgumentParser) -> None:
    _add_options(parser)
    add_number(parser, "--rows", 5, "number of rows", at_least=1)
    add_number(parser, "--cols", 5, "number of columns", at_least=1)


def _add_grid(parser: argparse.ArgumentParser) -> None:
    _add_options(parser, folders=True)
    add_strength(parser)


def _swap(editor: Editor, inputs: _Images, exemplars: _Exemplars, options: argparse.Namespace) -> np.ndarray:
    return editor.swap(inputs[0], exemplars, options.attributes, options.strength)


def _linear(editor: Editor, inputs: _Images, exemplars: _Exemplars, options: argparse.Namespace) -> np.ndarray:
    strip = editor.linear(inputs[0], exemplars, options.attributes, options.steps)
    return grid(np.stack([inputs[0], *strip]), columns=len(strip) + 1)


def _matrix(editor: Editor, inputs: _Images, exemplars: _Exemplars, options: argparse.Namespace) -> np.ndarray:
    return grid(editor.matrix(inputs[0], exemplars, options.attributes, options.rows, options.cols))


def _grid(editor: Editor, inputs: _Images, exemplars: _Exemplars, options: argparse.Namespace) -> np.ndarray:
    edited = editor.grid(inputs, exemplars, options.attributes, options.strength)
    head = [np.full_like(inputs[0], 255), *(shown(one, editor.image_size) for one in exemplars)]
    return grid(np.stack([head, *([image, *row] for image, row in zip(inputs, edited, strict=True))]))


def _swap_layout(options: argparse.Namespace, inputs: int, exemplars: int) -> tuple[int, int]:
    return 1, 1


def _linear_layout(options: argparse.Namespace, inputs: int, exemplars: int) -> tuple[int, int]:
    return 1, options.steps + 1


def _matrix_layout(options: argparse.Namespace, inputs: int, exemplars: int) -> tuple[int, int]:
    return options.rows, options.cols


def _grid_layout(options: argparse.Namespace, inputs: int, exemplars: int) -> tuple[int, int]:
    return inputs + 1, exemplars + 1


def _run_swap(options: argparse.Namespace) -> None:
    if options.align:
        _edit_photos(options)
        return
    if options.blend:
        raise UserError(f"--blend={options.blend}: needs --align")
    if len(options.input) > 1:
        raise UserError(f"--input: {len(options.input)} images; expected one, or photos and --align")
    _run(options, _swap, _swap_layout)


def _run(
    options: argparse.Namespace,
    edit: Callable[..., np.ndarray],
    layout: Callable[[argparse.Namespace, int, int], tuple[int, int]],
    folders: bool = False,
) -> None:
    """Checks everything that can be checked before TensorFlow is loaded, then edits.

    Args:
        options: of the command.
        edit: makes the image to write.
        layout: from the numbers of inputs and exemplars to the rows and columns of images in it.
        folders: whether a folder stands for the images in it, and there may be several faces in one.
    """
    check_output(options.out, options.overwrite)
    size = _check_run(options)
    faces = _check_alignment(options)
    if faces == "all" and not folders:
        raise UserError("--faces=all: this command edits one face: choose largest or a number")
    files = files_of(options.input) if folders else options.input
    found = find_exemplars(options, size, folders)
    check_sheet(options.out, *layout(options, len(files), count_exemplars(found)), size)
    landmarks = _read_landmarks(options, files, found)
    finder = FaceFinder(size)

    def read(file: str) -> np.ndarray:
        # Each image is resized as soon as it is read: a folder of photos may not fit into memory.
        return resize(read_image(file), size)

    def align(file: str, faces: str = "largest") -> list[np.ndarray]:
        return finder.align(file, landmarks.get(file), faces)

    if options.align:
        prepare_tensorflow()
        inputs = [face for file in files for face in align(file, faces)]
        exemplars = [align(one)[0] if isinstance(one, str) else one for one in found]
        check_sheet(options.out, *layout(options, len(inputs), count_exemplars(found)), size)
    else:
        inputs, exemplars = (
            [read(file) for file in files],
            [read(one) if isinstance(one, str) else one for one in found],
        )
        prepare_tensorflow()
    from elegant_tf.editor import Editor

    editor = Editor.load(options.run, size)
    given = load_exemplars(exemplars, editor, (lambda file: align(file)[0]) if options.align else read)
    edited = edit(editor, inputs, given, options)
    mark = None
    if not options.nomark:
        # What the only input says of itself already goes on being said.
        mark = xmp_packet(
            _receipt(options, editor.step, found, given), packet_in(files[0]) if len(files) == 1 else None
        )
    write_image(options.out, edited, options.overwrite, mark)
    print(options.out)


def _edit_photos(options: argparse.Namespace) -> None:
    """Edits photographs, each at its own resolution."""
    several = len(options.input) > 1 or os.path.isdir(options.input[0])
    size = _check_run(options)
    faces = _check_alignment(options)
    photos = files_of(options.input)
    if several:
        photo_targets(photos, options.out)
    else:
        check_format(options.out, read_photo(photos[0]), check_photo_output(options.out, options.overwrite))
    found = find_exemplars(options, size)
    for file in _images_of(found):
        read_image(file)  # says what is wrong with it before TensorFlow is loaded
    landmarks = _read_landmarks(options, photos, found)
    prepare_tensorflow()
    from elegant_tf.editor import Editor

    editor, finder = Editor.load(options.run, size), FaceFinder(size)
    exemplars = load_exemplars(found, editor, lambda file: finder.align(file, landmarks.get(file))[0])
    photo_editor = PhotoEditor(
        editor,
        exemplars,
        options.attributes,
        options.strength,
        faces=faces,
        blend=options.blend or BLENDS[0],
        detect=finder.detect,
        aligned=True,
    )
    receipt = _receipt(options, editor.step, found, exemplars)

    def packet(photo: Photo, image_format: str) -> bytes:
        return xmp_packet(receipt, photo.xmp, image_format)

    mark = None if options.nomark else packet
    if several:
        marks = landmarks or None
        written = photo_editor.edit_files(photos, options.out, marks, options.overwrite, mark)
        print(f"{options.out}: {len(written)} photos edited")
    else:
        photo_editor.edit_file(photos[0], options.out, landmarks.get(photos[0]), options.overwrite, mark)
        print(options.out)


def _check_run(options: argparse.Namespace) -> int:
    """The side of the images to edit. Raises UserError unless the run can edit them."""
    model = read_model(options.run)
    size = model.image_size if options.image_size is None else options.image_size
    check_image_size(size, 2**model.depth)
    find_attributes(options.attributes, model.attributes)
    return size


def _check_alignment(options: argparse.Namespace) -> str:
    """Which faces are edited. Raises UserError unless the options of the alignment fit together."""
    for name in ("faces", "landmarks"):
        if getattr(options, name) is not None and not options.align:
            raise UserError(f"--{name}={getattr(options, name)}: needs --align")
    if options.faces is not None and options.landmarks:
        raise UserError(f"--faces={options.faces}: --landmarks names one face in each photo: give one of the two")
    faces = options.faces or "largest"
    check_which(faces)
    if options.align and not options.landmarks:
        check_detector()
    return faces


def _read_landmarks(
    options: argparse.Namespace, photos: Sequence[str], found: Sequence[Found]
) -> Mapping[str, np.ndarray]:
    """The landmarks of photos and exemplars, by file; nothing without --landmarks."""
    if not options.landmarks:
        return {}
    files = list(dict.fromkeys([*photos, *_images_of(found)]))
    return dict(zip(files, read_landmark_file(Path(options.landmarks), files), strict=True))


def _images_of(found: Sequence[Found]) -> list[str]:
    """The files of the images among exemplars."""
    photos = [one.photo for one in found if isinstance(one, Nearest)]
    return [*photos, *(one for one in found if isinstance(one, str))]


def _receipt(
    options: argparse.Namespace, step: int, found: Sequence[object], given: Sequence[np.ndarray | Exemplar]
) -> Receipt:
    """The receipt of the edit; `found`: the files of exemplars, or others."""
    exemplars: list[ExemplarData] = [
        used.code if isinstance(used, Exemplar) else str(file) for used, file in itertools.zip_longest(given, found)
    ]
    return make_receipt(options.run, exemplars, options.attributes, getattr(options, "strength", 1.0), step)


COMMANDS = (
    Command(
        "swap",
        "transfer attributes to an image",
        SWAP,
        _add_swap,
        _run_swap,
    ),
    Command(
        "linear",
        "interpolate in equal steps",
        LINEAR,
        _add_linear,
        functools.partial(_run, edit=_linear, layout=_linear_layout),
    ),
    Command(
        "matrix",
        "interpolate in two directions",
        MATRIX,
        _add_matrix,
        functools.partial(_run, edit=_matrix, layout=_matrix_layout),
    ),
    Command(
        "grid",
        "transfer attributes from several exemplars to several images",
        GRID,
        _add_grid,
        functools.partial(_run, edit=_grid, layout=_grid_layout, folders=True),
    ),
)
