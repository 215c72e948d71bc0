"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from elegant_tf.bounds import LARGEST_SEED, Bounds
from elegant_tf.data.listing import HIDDEN_FOLDERS
from elegant_tf.errors import UserError
from elegant_tf.paths import any_path, local_path

RUN_FLAGS = ("--run", "--run_dir")


def names(text: str) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def files_of(paths: Sequence[str]) -> list[str]:
    """The paths, each folder replaced by its files in order of name; hidden files and folders are left out.

    Raises:
        UserError: a folder is empty.
    """
    files = []
    for path in paths:
        if os.path.isdir(path):
            found = sorted(name for name in os.listdir(path) if not name.startswith(".") and name not in HIDDEN_FOLDERS)
            if not found:
                raise UserError(f"{path}: is an empty folder; expected images in it")
            files += [os.path.join(path, name) for name in found]
        else:
            files.append(path)
    return files


class Checked(argparse.Action):
    """Stores what `check(value, flag)` makes of each value. Its UserErrors reach the user as they are."""

    def __init__(self, *arguments: Any, check: Callable[[Any, str], Any], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.check = check

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, flag: str | None = None
    ) -> None:
        name = (flag or self.dest).lstrip("-")
        checked = [self.check(one, name) for one in values] if self.nargs else self.check(values, name)
        setattr(namespace, self.dest, checked)


def add_path(
    parser: argparse._ActionsContainer, *names: str, may_be_empty: bool = False, stored: bool = False, **options: Any
) -> None:
    """Adds an option whose values are paths.

    `stored`: whether they may be on an object store, see `any_path`, or must be local, see `local_path`; `options`: of
    `add_argument`.
    """
    find = any_path if stored else local_path

    def check(path: str, flag: str) -> str:
        return path if may_be_empty and not path else find(path, flag)

    parser.add_argument(*names, action=Checked, check=check, **options)


def add_number(
    parser: argparse.ArgumentParser,
    name: str,
    default: Any,
    what: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    kind: type[int] | type[float] = int,
    metavar: str = "N",
    **options: Any,
) -> None:
    """Adds a number within bounds, see `Bounds`. `what` names the default itself if that is not a plain number."""
    bounds = Bounds(at_least=at_least, at_most=at_most, above=above)

    def check(value: float, flag: str) -> float:
        bounds.check(flag, value)
        return value

    help = what if default is None or "(default" in what else f"{what} (default {default:g})"
    parser.add_argument(
        name, type=kind, action=Checked, check=check, default=default, metavar=metavar, help=help, **options
    )


def add_run(parser: argparse._ActionsContainer, required: bool = True) -> None:
    """Adds --run."""
    what = "run directory, packed or not; or faces, the model that comes with the package"
    add_path(parser, *RUN_FLAGS, stored=True, required=required, metavar="DIR", help=what)


def add_step(parser: argparse.ArgumentParser) -> None:
    """Adds --step."""
    add_number(parser, "--step", None, "step of an older checkpoint (default: the newest)", at_least=0)


def add_seed(parser: argparse.ArgumentParser, default: int | None, what: str) -> None:
    """Adds --seed."""
    add_number(parser, "--seed", default, what, at_least=0, at_most=LARGEST_SEED)


def add_images(
    parser: argparse.ArgumentParser, folders: bool = False, photos: bool = False, several: bool = False
) -> None:
    """Adds --input, --exemplar, --attributes, --out and --overwrite.

    Args:
        parser: the parser to add them to.
        folders: whether there may be several inputs, and folders of images.
        photos: whether this is so with --align alone, and --out then is a photo, or a folder of photos.
        several: whether there may be several inputs and folders, and --out then is a folder.
    """
    what = "images to edit, or folders of images" if folders or several else "the image to edit"
    what += "; with --align, photos or folders of photos" if photos else ""
    nargs = "+" if folders or photos or several else 1
    add_path(parser, "--input", required=True, nargs=nargs, metavar="FILE", help=what)
    what = "images to take attributes from" + (", or folders of images" if folders else "")
    what += "; or exemplars of a catalogue, as FILE:NAME"
    add_path(parser, "--exemplar", required=True, nargs="+", metavar="FILE", help=what)
    what = "attributes to transfer, separated by commas"
    parser.add_argument("--attributes", type=names, required=True, metavar="A,B", help=what)
    what = "image to write: .png, .jpg or .webp"
    what += "; with --align also .tif, or a folder for several photos" if photos else ""
    what += "; for several images, a folder" if several else ""
    add_path(parser, "--out", required=True, metavar="FILE", help=what)
    what = "replace --out if it exists"
    what += ", and photos in a folder" if photos else ", and images in a folder" if several else ""
    parser.add_argument("--overwrite", action="store_true", help=what)


def add_alignment(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds --align, --faces and --landmarks; `what` says what --align does."""
    parser.add_argument("--align", action="store_true", help=what)
    what = "which faces of --input: largest, all, or a number: 0 is the largest, 1 the next (default largest)"
    parser.add_argument("--faces", metavar="WHICH", help=what)
    what = (
        "five points of the face in each photo and exemplar, instead of finding them: align.json of `elegant-tf "
        "align`, a table, or a text file like CelebA's"
    )
    add_path(parser, "--landmarks", metavar="FILE", help=what)


def add_strength(parser: argparse.ArgumentParser) -> None:
    """Adds --strength."""
    what = (
        "0 gives the reconstruction of the input, which differs slightly from it; 1 transfers the attribute, more than "
        "1 exaggerates it; one value for all attributes or one for each (default 1)"
    )
    add_number(parser, "--strength", [1.0], what, at_least=-1000, at_most=1000, kind=float, metavar="X", nargs="+")


def add_source(parser: argparse.ArgumentParser, kinds: Sequence[str]) -> None:
    """Adds --data, of these kinds, --data_dir and --labels_file."""
    parser.add_argument("--data", required=True, choices=kinds, help="kind of data in --data_dir")
    add_place(parser, kinds, default="")


def add_other_data(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds --data, --data_dir and --labels_file, which replace the run's own; `purpose`: what the data are for."""
    from elegant_tf.sources import DATA  # loads the drawing of faces, which most commands do not need

    what = f"kind of data {purpose}, where they are not the run's own: they moved, or the run is packed or imported"
    parser.add_argument("--data", choices=["faces", *DATA], help=what)
    what = "their place (default: the run's); a folder that `elegant-tf faces` or `dress` wrote needs no --data"
    add_path(parser, "--data_dir", stored=True, metavar="DIR", help=what)
    add_path(parser, "--labels_file", stored=True, metavar="FILE", help="table of labels for --data folder")


def add_place(parser: argparse.ArgumentParser, kinds: Sequence[str], default: str | None) -> None:
    """Adds --data_dir and --labels_file."""
    from elegant_tf.sources import DATA  # loads the drawing of faces, which most commands do not need

    what = "; ".join(f"{kind}: {DATA[kind]}" for kind in kinds)
    add_path(parser, "--data_dir", may_be_empty=True, stored=True, default=default, metavar="DIR", help=what)
    what = "table of labels for --data folder, also one in --data_dir"
    add_path(parser, "--labels_file", may_be_empty=True, stored=True, default=default, metavar="FILE", help=what)
