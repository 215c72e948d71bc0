"""`elegant-tf catalogue`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elegant_tf.catalogue import Catalogue, check_catalogue_output, find_catalogue, names_of, read_catalogue
from elegant_tf.cli.command import Command
from elegant_tf.cli.options import RUN_FLAGS, add_number, add_path, files_of
from elegant_tf.cli.tensorflow import prepare_tensorflow
from elegant_tf.data.attributes import AttributeTable, read_attributes
from elegant_tf.data.listing import first_names, match_names
from elegant_tf.data.tables import TABLE_SUFFIXES, Table, landmark_columns, read_files, read_labels, read_table
from elegant_tf.errors import UserError
from elegant_tf.images import check_image_size, check_output, read_image, resize, write_image
from elegant_tf.rundir import find_run, read_model

HELP = """\
Encodes exemplars once and writes their codes to a catalogue, with names, thumbnails and the attributes that each
exemplar has. `swap`, `linear`, `matrix` and `grid` take an exemplar from it by name (--exemplar styles.npz:NAME), by
chance (--random) or by likeness to a photo (--nearest). A catalogue belongs to the model that encoded it.

The names are those of the files, without their extensions, or the column `name` of --labels_file. Which attributes an
exemplar has is read from --labels_file; without one, the run's classifier decides, or the one in --classifier.

examples:
  elegant-tf catalogue --run runs/mine --input hats glasses --out styles.npz
  elegant-tf catalogue --run runs/mine --input photos --align --labels_file styles.csv --out styles.npz
  elegant-tf catalogue --list styles.npz --sheet styles.png
"""

NAME_COLUMN = ("name",)

# Of a sheet, in pixels.
_TILE, _TEXT, _COLUMNS = 128, 34, 8
_LETTERS = 18  # in a line below a tile

Labels: TypeAlias = Mapping[str, np.ndarray]
"""For some attributes, which of the N exemplars have them: bool `[N]`."""


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    add_path(group, "--out", metavar="FILE", help="catalogue to write: .npz")
    add_path(group, "--list", metavar="FILE", help="print the exemplars of a catalogue, and write none")
    what = "run directory, packed or not; or the name of a model that comes with the package"
    add_path(parser, *RUN_FLAGS, metavar="DIR", help=what)
    add_path(parser, "--input", nargs="+", metavar="FILE", help="images of exemplars, or folders of images")
    add_number(parser, "--image_size", None, "side of the images (default: the run's)", at_least=1, metavar="S")
    what = "find the largest face in each image and align it (needs 'elegant-tf[align]')"
    parser.add_argument("--align", action="store_true", help=what)
    what = "table of the images' labels, and of their names in a column `name`: .csv, .tsv, .parquet, or like CelebA's"
    add_path(parser, "--labels_file", metavar="FILE", help=what)
    what = "directory that `elegant-tf train-classifier` wrote (default: classifier in the run directory, if it exists)"
    add_path(parser, "--classifier", metavar="DIR", help=what)
    parser.add_argument("--nothumbnails", action="store_true", help="keep no small images of the exemplars")
    add_path(parser, "--sheet", metavar="FILE", help="also write an image of all thumbnails with their names")
    parser.add_argument("--overwrite", action="store_true", help="replace --out and --sheet if they exist")


def _run(options: argparse.Namespace) -> None:
    if options.list and (options.run or options.input):
        raise UserError("--list only prints a catalogue: leave --run and --input out, or give --out instead")
    if options.sheet:
        check_output(options.sheet, options.overwrite)
    catalogue = read_catalogue(find_catalogue(options.list) or options.list) if options.list else _make(options)
    if options.list:
        _print(catalogue)
    else:
        print(f"{options.out}: {len(catalogue)} exemplars")
    if options.sheet:
        write_image(options.sheet, draw_sheet(catalogue), options.overwrite)
        print(options.sheet)


def _make(options: argparse.Namespace) -> Catalogue:
    """Checks everything that can be checked before TensorFlow is loaded, then encodes and writes."""
    if not options.run or not options.input:
        raise UserError("--out needs --run, the model, and --input, the images of exemplars")
    check_catalogue_output(options.out, options.overwrite)
    model = read_model(options.run)
    size = model.image_size if options.image_size is None else options.image_size
    check_image_size(size, 2**model.depth)
    files = files_of(options.input)
    names, labels = _names_and_labels(options.labels_file, files, model.attributes)
    prepare_tensorflow()
    images = _read(files, size, options.align)
    from elegant_tf.editor import THUMBNAIL_SIZE, Editor

    if options.classifier or not labels:
        labels = {**_classify(options, images, model.attributes), **labels}
    editor = Editor.load(options.run, size)
    thumbnail_size = 0 if options.nothumbnails else THUMBNAIL_SIZE
    catalogue = editor.make_catalogue(images, names, labels, thumbnail_size=thumbnail_size)
    catalogue.write(options.out, options.overwrite)
    return catalogue


def _read(files: Sequence[str], size: int, align: bool) -> list[np.ndarray]:
    """The images uint8 `[S, S, 3]`. Each is resized as soon as it is read: many photos may not fit into memory."""
    if not align:
        return [resize(read_image(file), size) for file in files]
    from elegant_tf.data.align import align_faces, make_detector

    detect = make_detector()
    images = []
    for file in files:
        try:
            images.append(align_faces(read_image(file), size, detect)[0].image)
        except UserError as error:
            text = str(error)
            raise UserError(text if text.startswith(file) else f"{file}: {text}") from error
    return images


def _names_and_labels(
    labels_file: str | None, files: Sequence[str], attributes: Sequence[str]
) -> tuple[list[str], Labels]:
    """The names of images, and their labels of those of the attributes that the table, if any, has a column for."""
    if not labels_file:
        return names_of(files), {}
    path = Path(labels_file)
    if path.suffix.lower() in TABLE_SUFFIXES:
        known, names, table = _read_table(path)
    else:
        table = read_attributes(path)
        known, names = list(table.files), None
    rows = _rows(path, known, files)
    labelled = [name for name in attributes if table and (name in table.names or name in table.flaws)]
    if not labelled and names is None:
        raise UserError(f"--labels_file={path}: has no column {' or '.join(attributes)}, nor a column of names, `name`")
    labels = table.select(labelled).labels[rows] == 1 if table and labelled else np.empty((len(files), 0), bool)
    chosen = names_of(files) if names is None else [names[row] for row in rows]
    return chosen, dict(zip(labelled, labels.T, strict=True))


def _read_table(path: Path) -> tuple[list[str], list[str] | None, AttributeTable | None]:
    """The files in a table, the names of the exemplars if it gives any, and their labels if it has any."""
    table: Table = read_table(path)
    column, known = read_files(table)
    name_column = table.find(NAME_COLUMN)
    name_column = None if name_column == column else name_column
    others = [column, name_column, *landmark_columns(table)]
    if all(place in others for place, name in enumerate(table.header) if name):
        labels = None
    else:
        labels = read_labels(table, known, others)
    return known, None if name_column is None else table.read(name_column), labels


def _rows(path: Path, known: Sequence[str], files: Sequence[str]) -> list[int]:
    """The row of each file, found by its name without folders."""
    bare = [os.path.basename(name) for name in known]
    wanted = [os.path.basename(file) for file in files]
    for names, where in ((bare, f"--labels_file={path}"), (wanted, "--input")):
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise UserError(f"{where}: has two images {repeated[0]!r}, which the table's names do not tell apart")
    pairs = match_names(wanted, bare)
    lacking = [name for name in wanted if name not in pairs]
    if lacking:
        raise UserError(f"--labels_file={path}: has no row for {len(lacking)} images ({first_names(lacking)})")
    return [bare.index(pairs[name]) for name in wanted]


def _classify(options: argparse.Namespace, images: Sequence[np.ndarray], attributes: Sequence[str]) -> Labels:
    """What the classifier that is given says, or the run's own if it has one."""
    from elegant_tf.evaluation.classifier import AttributeClassifier
    from elegant_tf.evaluation.evaluate import CLASSIFIER_DIR

    own = find_run(options.run) / CLASSIFIER_DIR
    if not options.classifier and not own.is_dir():
        return {}
    classifier = AttributeClassifier.load(options.classifier or own)
    known = [name for name in attributes if name in classifier.attributes]
    if options.classifier and not known:
        raise UserError(
            f"--classifier={options.classifier}: knows none of the run's attributes {', '.join(attributes)}"
        )
    has = classifier.probabilities(images) > 0.5
    return {name: has[:, classifier.attributes.index(name)] for name in known}


def _print(catalogue: Catalogue) -> None:
    print(f"model:      {catalogue.model or 'unknown'}, step {catalogue.step}")
    print(f"attributes: {', '.join(catalogue.attributes)}")
    print(f"images:     {catalogue.image_size} x {catalogue.image_size} pixels")
    print(f"exemplars:  {len(catalogue)}")
    width = max(map(len, catalogue.names))
    for one in catalogue.exemplars:
        has = ", ".join(one.attributes) or ("-" if catalogue.labelled else "")
        print(f"  {one.name:{width}}  {has}".rstrip())


def draw_sheet(catalogue: Catalogue) -> np.ndarray:
    """The thumbnails of a catalogue with their names, uint8 `[H, W, 3]`."""
    columns = min(_COLUMNS, len(catalogue))
    rows = -(-len(catalogue) // columns)
    sheet = Image.new("RGB", (columns * _TILE, rows * (_TILE + _TEXT)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, one in enumerate(catalogue.exemplars):
        left, top = place % columns * _TILE, place // columns * (_TILE + _TEXT)
        if one.thumbnail is not None:
            sheet.paste(Image.fromarray(resize(one.thumbnail, _TILE - 4)), (left + 2, top + 2))
        name = one.name if len(one.name) <= _LETTERS else one.name[: _LETTERS - 1] + "…"
        draw.text((left + _TILE // 2, top + _TILE + 2), name, "black", font, anchor="ma")
    return np.asarray(sheet)


COMMANDS = (Command("catalogue", "encode exemplars once, to use them by name", HELP, _add_options, _run),)
