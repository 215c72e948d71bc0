"""`elegant-tf swap`, `linear`, `matrix` and `grid`: edited images."""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from elegant_tf.catalogue import Exemplar
from elegant_tf.cli.command import Command
from elegant_tf.cli.exemplars import add_exemplar_options, count_exemplars, find_exemplars, load_exemplars, shown
from elegant_tf.cli.options import add_images, add_number, add_run, add_strength, files_of
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.images import check_image_size, check_output, check_sheet, grid, read_image, resize, write_image
from elegant_tf.marks import ExemplarData, make_receipt, packet_in, xmp_packet
from elegant_tf.names import find_attributes
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


def _add_options(parser: argparse.ArgumentParser, folders: bool = False) -> None:
    add_run(parser)
    add_images(parser, folders)
    add_exemplar_options(parser)
    add_number(parser, "--image_size", None, "side in pixels (default: the run's)", at_least=1, metavar="S")
    parser.add_argument("--nomark", action="store_true", help="do not mark the image as edited")


def _add_swap(parser: argparse.ArgumentParser) -> None:
    _add_options(parser)
    add_strength(parser)


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
        folders: whether a folder stands for the images in it.
    """
    check_output(options.out, options.overwrite)
    model = read_model(options.run)
    size = model.image_size if options.image_size is None else options.image_size
    check_image_size(size, 2**model.depth)
    find_attributes(options.attributes, model.attributes)
    files = files_of(options.input) if folders else options.input
    found = find_exemplars(options, size, folders)
    check_sheet(options.out, *layout(options, len(files), count_exemplars(found)), size)

    def read(file: str) -> np.ndarray:
        # Each image is resized as soon as it is read: a folder of photos may not fit into memory.
        return resize(read_image(file), size)

    inputs, exemplars = [read(file) for file in files], [read(one) if isinstance(one, str) else one for one in found]
    prepare_tensorflow()
    from elegant_tf.editor import Editor

    editor = Editor.load(options.run, size)
    given = load_exemplars(exemplars, editor, read)
    edited = edit(editor, inputs, given, options)
    mark = None if options.nomark else _mark(options, editor.step, files, found, given)
    write_image(options.out, edited, options.overwrite, mark)
    print(options.out)


def _mark(
    options: argparse.Namespace, step: int, files: Sequence[str], found: Sequence[object], given: _Exemplars
) -> bytes:
    """The mark of the edit, with what the only input says of itself already; `found`: files of exemplars, or others."""
    exemplars: list[ExemplarData] = [
        used.code if isinstance(used, Exemplar) else str(file) for used, file in itertools.zip_longest(given, found)
    ]
    receipt = make_receipt(options.run, exemplars, options.attributes, getattr(options, "strength", 1.0), step)
    return xmp_packet(receipt, packet_in(files[0]) if len(files) == 1 else None)


COMMANDS = (
    Command(
        "swap",
        "transfer attributes to an image",
        SWAP,
        _add_swap,
        functools.partial(_run, edit=_swap, layout=_swap_layout),
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
