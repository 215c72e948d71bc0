"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from elegant_tf.errors import UserError

RUN_FLAGS = ("--run", "--run_dir")


def names(text: str) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def files_of(paths: Sequence[str]) -> list[str]:
    """The paths, each folder replaced by its files in order of name; hidden files are left out.

    Raises:
        UserError: a folder is empty.
    """
    files = []
    for path in paths:
        if os.path.isdir(path):
            found = sorted(name for name in os.listdir(path) if not name.startswith("."))
            if not found:
                raise UserError(f"{path}: is an empty folder; expected images in it")
            files += [os.path.join(path, name) for name in found]
        else:
            files.append(path)
    return files


def add_run(parser: argparse.ArgumentParser) -> None:
    """Adds --run."""
    parser.add_argument(
        *RUN_FLAGS,
        required=True,
        metavar="DIR",
        help="run directory, packed or not; or faces, the model that comes with the package",
    )


def add_step(parser: argparse.ArgumentParser) -> None:
    """Adds --step."""
    parser.add_argument("--step", type=int, metavar="N", help="step of an older checkpoint (default: the newest)")


def add_number(parser: argparse.ArgumentParser, name: str, default: int, what: str) -> None:
    """Adds an integer with a default."""
    parser.add_argument(name, type=int, default=default, metavar="N", help=f"{what} (default {default})")


def add_images(parser: argparse.ArgumentParser, folders: bool = False) -> None:
    """Adds --input, --exemplar, --attributes, --out and --overwrite.

    Args:
        parser: the parser to add them to.
        folders: whether there may be several inputs, and folders of images.
    """
    what = "images to edit, or folders of images" if folders else "the image to edit"
    parser.add_argument("--input", required=True, nargs="+" if folders else 1, metavar="FILE", help=what)
    what = "images to take attributes from" + (", or folders of images" if folders else "")
    parser.add_argument("--exemplar", required=True, nargs="+", metavar="FILE", help=what)
    what = "attributes to transfer, separated by commas"
    parser.add_argument("--attributes", type=names, required=True, metavar="A,B", help=what)
    parser.add_argument("--out", required=True, metavar="FILE", help="image to write: .png, .jpg or .webp")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it exists")


def add_strength(parser: argparse.ArgumentParser) -> None:
    """Adds --strength."""
    parser.add_argument(
        "--strength",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="X",
        help="0 leaves an attribute as it is, 1 transfers it, more than 1 exaggerates it; one value for all attributes "
        "or one for each (default 1)",
    )


def add_source(parser: argparse.ArgumentParser, kinds: Sequence[str]) -> None:
    """Adds --data, of these kinds, --data_dir and --labels_file."""
    parser.add_argument("--data", required=True, choices=kinds, help="kind of data in --data_dir")
    add_place(parser, kinds, default="")


def add_place(parser: argparse.ArgumentParser, kinds: Sequence[str], default: str | None) -> None:
    """Adds --data_dir and --labels_file."""
    from elegant_tf.sources import DATA  # loads the drawing of faces, which most commands do not need

    what = "; ".join(f"{kind}: {DATA[kind]}" for kind in kinds)
    parser.add_argument("--data_dir", default=default, metavar="DIR", help=what)
    parser.add_argument("--labels_file", default=default, metavar="FILE", help="table of labels for --data folder")
