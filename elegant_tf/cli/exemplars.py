"""Exemplars on a command line: images, and exemplars of catalogues by name, by chance or by likeness to a photo."""

from __future__ import annotations

import argparse
import functools
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from elegant_tf.bounds import LARGEST_SEED
from elegant_tf.catalogue import SEPARATOR, Catalogue, Exemplar, read_catalogue, split_reference
from elegant_tf.cli.options import add_path, add_seed, files_of
from elegant_tf.errors import UserError
from elegant_tf.images import resize
from elegant_tf.rundir import read_model

if TYPE_CHECKING:
    from elegant_tf.editor import Editor


@dataclass(frozen=True)
class Nearest:
    """The exemplars of a catalogue that are nearest to a photo, one for each attribute."""

    catalogue: Catalogue
    photo: str
    attributes: tuple[str, ...]


Found: TypeAlias = str | Exemplar | Nearest
"""The file of an image, an exemplar of a catalogue, or what the editor must look for."""


def add_exemplar_options(parser: argparse.ArgumentParser, nearest: bool = True) -> None:
    """Adds --random, --seed and, if `nearest`, --nearest, which choose from the catalogue that --exemplar names."""
    parser.set_defaults(nearest=None)
    group = parser.add_mutually_exclusive_group()
    what = "take a random exemplar of the catalogue --exemplar that has the attribute, another one each time"
    group.add_argument("--random", action="store_true", help=what)
    what = "take the exemplar of the catalogue --exemplar whose style is nearest to that of this photo"
    if nearest:
        add_path(group, "--nearest", metavar="PHOTO", help=what)
    add_seed(parser, None, "seed of --random, to take the same exemplar again")


def find_exemplars(options: argparse.Namespace, size: int, folders: bool = False) -> list[Found]:
    """What --exemplar, --random, --seed and --nearest ask for, for `load_exemplars`. Needs no TensorFlow.

    Args:
        options: of the command; besides these, `run` and `attributes`.
        size: side of the images to edit.
        folders: whether a folder stands for the images in it, and a catalogue without a name for all its exemplars.

    Raises:
        UserError: a catalogue cannot be read or is that of another model, has no exemplar of the name or with the
            attribute, or the options do not fit together.
    """

    def check(catalogue: Catalogue) -> None:
        catalogue.check_fits(options.run, read_model(options.run), size)

    if options.nearest:
        return [Nearest(_only_catalogue(options, "--nearest", check), options.nearest, tuple(options.attributes))]
    return [*find_known(options, check, folders)]


def find_known(
    options: argparse.Namespace, check: Callable[[Catalogue], object], folders: bool = False
) -> list[str | Exemplar]:
    """What --exemplar, --random and --seed ask for: the files of images, and exemplars of catalogues.

    `check` raises UserError if a catalogue does not fit the model; the rest as for `find_exemplars`.
    """
    if options.random:
        catalogue = _only_catalogue(options, "--random", check)
        seed = secrets.randbelow(LARGEST_SEED + 1) if options.seed is None else options.seed
        chosen = catalogue.choose(options.attributes, seed)
        _say(options.attributes, chosen)
        return [*chosen]
    _refuse_seed(options)
    opened = functools.cache(functools.partial(_open, check))
    found: list[str | Exemplar] = []
    for text in options.exemplar:
        reference = split_reference(text)
        if reference is None:
            found += files_of([text]) if folders else [text]
            continue
        file, name = reference
        catalogue = opened(file)
        if not name and not folders:
            raise UserError(
                f"--exemplar={text}: is a catalogue of {len(catalogue)} exemplars: name one, as in "
                f"{text.removesuffix(SEPARATOR)}{SEPARATOR}{catalogue.names[0]}, or choose one with --random"
            )
        found += [catalogue[name]] if name else catalogue.exemplars
    return found


def load_exemplars(
    found: Sequence[Found | np.ndarray], editor: Editor, read: Callable[[str], np.ndarray]
) -> list[np.ndarray | Exemplar]:
    """The exemplars themselves.

    Args:
        found: what `find_exemplars` returned, or images that were read already in the place of their files.
        editor: of the run.
        read: reads the image of a file, uint8 `[H, W, 3]`.
    """
    loaded: list[np.ndarray | Exemplar] = []
    for one in found:
        if isinstance(one, Nearest):
            nearest = one.catalogue.nearest(editor.encode(read(one.photo))[0], one.attributes)
            _say(one.attributes, nearest)
            loaded += nearest
        else:
            loaded.append(read(one) if isinstance(one, str) else one)
    return loaded


def shown(exemplar: np.ndarray | Exemplar, size: int) -> np.ndarray:
    """An image of an exemplar, uint8 `[size, size, 3]`: its thumbnail, or white without one."""
    if not isinstance(exemplar, Exemplar):
        return resize(exemplar, size)
    if exemplar.thumbnail is None:
        return np.full((size, size, 3), 255, np.uint8)
    return resize(exemplar.thumbnail, size)


def count_exemplars(found: Sequence[Found]) -> int:
    """How many exemplars `load_exemplars` will return."""
    return sum(len(one.attributes) if isinstance(one, Nearest) else 1 for one in found)


def _only_catalogue(options: argparse.Namespace, flag: str, check: Callable[[Catalogue], object]) -> Catalogue:
    """The catalogue that `flag` chooses from."""
    if not options.random:
        _refuse_seed(options)
    text, *more = options.exemplar
    reference = split_reference(text)
    if more or reference is None or reference[1]:
        raise UserError(f"{flag}: expected one catalogue in --exemplar, without a name; received {text}")
    return _open(check, reference[0])


def _refuse_seed(options: argparse.Namespace) -> None:
    if options.seed is not None:
        raise UserError(f"--seed={options.seed}: is the seed of --random, which is not given")


def _open(check: Callable[[Catalogue], object], file: Path) -> Catalogue:
    catalogue = read_catalogue(file)
    check(catalogue)
    return catalogue


def _say(attributes: Sequence[str], exemplars: Sequence[Exemplar]) -> None:
    for attribute, exemplar in zip(attributes, exemplars, strict=True):
        print(f"{attribute}: exemplar {exemplar.name}", file=sys.stderr)
