"""Catalogues of exemplars: codes that were encoded once, with their names, thumbnails and attributes.

A catalogue is one .npz file: `codes`, float32 `[N, h, w, C]`; `thumbnails`, uint8 `[N, T, T, 3]`, if it has any; and
`metadata`, a text in JSON.
"""

from __future__ import annotations

import difflib
import json
import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from elegant_tf.config import ModelConfig
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file, reason
from elegant_tf.marks import model_hash
from elegant_tf.names import find_attributes
from elegant_tf.rundir import CONFIG_FILE, find_run

VERSION = 1
SUFFIX = ".npz"

# A run's own catalogue, in its directory.
EXEMPLARS_FILE = "exemplars.npz"

# Between a catalogue and the name of an exemplar, as in `portraits:aviator`.
SEPARATOR = ":"

_KIND = "elegant_tf catalogue of exemplars"
_CURE = "make it with `elegant-tf catalogue`"
_MOST_NAMED = 5  # exemplars, where a name is unknown


@dataclass(frozen=True, eq=False)
class Exemplar:
    """An exemplar whose code is known. It takes the place of an exemplar's image in every edit.

    Attributes:
        code: float32 `[h, w, C]`, as `Editor.encode` returns it.
        name: its name in a catalogue.
        model: SHA-256 of the weights that encoded it, see `marks.model_hash`; empty if it is not known.
        attributes: those that it has, of the catalogue's `labelled` ones.
        thumbnail: a small image of it, uint8 `[T, T, 3]`; None if there is none.
    """

    code: np.ndarray
    name: str = ""
    model: str = ""
    attributes: tuple[str, ...] = ()
    thumbnail: np.ndarray | None = None


def is_one(images: object) -> bool:
    """Whether this is one image or exemplar, and not several of them."""
    if isinstance(images, np.ndarray):
        return images.ndim <= 3
    return isinstance(images, Image.Image | str | os.PathLike | Exemplar)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Exemplars of one model. `catalogue[name]` is the exemplar of that name; `len` counts them.

    `Editor.make_catalogue` makes one, and `read_catalogue` reads its file.

    Attributes:
        exemplars: N of them, at least one.
        model: SHA-256 of the weights that encoded them, see `marks.model_hash`; empty if it is not known.
        step: the training step of these weights.
        image_size: side of the images that were encoded.
        attributes: the model's n attributes.
        block_bounds: borders of their channels in a code, n + 1 numbers, see `latent.block_bounds`.
        labelled: the attributes of which it is known whether an exemplar has them.
        origin: the file that it was read from, for the text of errors.

    Raises:
        UserError: the exemplars or the numbers do not fit together, or a name is empty, repeated, or holds a colon or
            a character that cannot be printed.
    """

    exemplars: tuple[Exemplar, ...]
    model: str
    step: int
    image_size: int
    attributes: tuple[str, ...]
    block_bounds: tuple[int, ...]
    labelled: tuple[str, ...] = ()
    origin: str = "catalogue"

    def __post_init__(self) -> None:
        if not self.exemplars:
            raise self._error("holds no exemplars: give at least one")
        for name in self.names:
            _check_name(name)
        if len(self._by_name) < len(self):
            repeated = next(name for name in self.names if self.names.count(name) > 1)
            raise self._error(f"names two exemplars {repeated!r}: give each a name of its own")
        shape = self.exemplars[0].code.shape
        if any(not _is_code(one.code) or one.code.shape != shape for one in self.exemplars):
            raise self._error("must hold codes float32 [h, w, C] of one shape, and of finite numbers")
        if any(not _is_thumbnail(one.thumbnail) for one in self.exemplars):
            raise self._error("must hold thumbnails uint8 [T, T, 3], or none")
        bounds, channels = self.block_bounds, shape[-1]
        if len(bounds) != len(self.attributes) + 1 or sorted({0, channels, *bounds}) != list(bounds):
            raise self._error(f"must split {channels} channels among the attributes {', '.join(self.attributes)}")
        labels = {name for one in self.exemplars for name in one.attributes}
        if not labels <= set(self.labelled) or not set(self.labelled) <= set(self.attributes):
            raise self._error(f"must be labelled with the model's attributes {', '.join(self.attributes)}")

    def __len__(self) -> int:
        return len(self.exemplars)

    def __getitem__(self, name: str) -> Exemplar:
        """The exemplar of a name. Raises UserError, with the nearest names, if there is none."""
        name = unicodedata.normalize("NFC", name)
        if name not in self._by_name:
            raise self._error(f"has no exemplar {name!r}: {_suggestion(name, self.names)}")
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(one.name for one in self.exemplars)

    def having(self, attribute: str) -> tuple[Exemplar, ...]:
        """The exemplars that have an attribute.

        Raises:
            UserError: the model does not know the attribute, it is not known which exemplars have it, or none has.
        """
        find_attributes([attribute], self.attributes)
        if attribute not in self.labelled:
            raise self._error(
                f"does not say which exemplars have {attribute}: make it with --classifier or --labels_file"
            )
        found = tuple(one for one in self.exemplars if attribute in one.attributes)
        if not found:
            raise self._error(f"has no exemplar with {attribute}")
        return found

    def choose(self, attributes: Sequence[str], seed: int) -> list[Exemplar]:
        """For each attribute, a random exemplar that has it. Equal seeds choose the same ones.

        Raises UserError as `having` does.
        """
        random = np.random.default_rng(seed)
        return [found[random.integers(len(found))] for found in map(self.having, attributes)]

    def nearest(self, code: np.ndarray, attributes: Sequence[str]) -> list[Exemplar]:
        """For each attribute, the exemplar nearest to a code in the channels of that attribute.

        The distance is Euclidean. Where the catalogue says which exemplars have the attribute, others are passed over.

        Args:
            code: `[h, w, C]`, as `Editor.encode` returns it.
            attributes: their names.

        Raises:
            UserError: an attribute is unknown, no exemplar has it, or the code has another shape than the exemplars'.
        """
        shape = self.exemplars[0].code.shape
        if code.shape != shape:
            raise self._error(f"holds codes {list(shape)}; the code to compare with them is {list(code.shape)}")
        nearest = []
        for name, position in zip(attributes, find_attributes(attributes, self.attributes), strict=True):
            block = slice(*self.block_bounds[position : position + 2])
            among = self.having(name) if name in self.labelled else self.exemplars
            distances = [np.linalg.norm(one.code[..., block] - code[..., block]) for one in among]
            nearest.append(among[int(np.argmin(distances))])
        return nearest

    def check_fits(self, run_dir: str | os.PathLike[str], model: ModelConfig, image_size: int) -> None:
        """Raises UserError unless a run's newest checkpoint can edit with these codes at an image size.

        Args:
            run_dir: a run directory, packed or not, or the name of a model that comes with the package.
            model: its configuration.
            image_size: side of the images to edit.
        """
        its_hash, _ = model_hash(run_dir)
        if self.model not in ("", its_hash):
            raise self._error(
                f"holds codes of another model ({self.model[:12]}…) than {run_dir} ({its_hash[:12]}…): "
                f"make it again with `elegant-tf catalogue --run {run_dir}`"
            )
        if self.image_size != image_size:
            raise self._error(
                f"holds codes for images of {self.image_size} pixels, not {image_size}: give "
                f"--image_size {self.image_size}, or make a catalogue with --image_size {image_size}"
            )
        places = image_size // 2**model.depth
        expected = (places * (2 if model.flip_tta else 1), places)
        found = self.exemplars[0].code.shape[:2]
        if found != expected:
            raise self._error(f"holds codes {list(found)}; {run_dir} has {list(expected)}, with or without flip_tta")

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Writes the catalogue to a .npz file, whole or not at all.

        Raises:
            UserError: the path has another extension, exists unless `overwrite`, or cannot be written.
        """
        check_catalogue_output(path, overwrite)
        arrays: dict[str, Any] = {"codes": np.stack([one.code for one in self.exemplars])}
        thumbnails = [one.thumbnail for one in self.exemplars if one.thumbnail is not None]
        if len(thumbnails) == len(self):
            arrays["thumbnails"] = np.stack(thumbnails)
        described = {name: getattr(self, name) for name in _DESCRIBED}
        exemplars = [{"name": one.name, "attributes": one.attributes} for one in self.exemplars]
        metadata = {"kind": _KIND, "version": VERSION, **described, "exemplars": exemplars}
        with atomic_file(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, metadata=np.array(json.dumps(metadata)), **arrays)

    @cached_property
    def _by_name(self) -> Mapping[str, Exemplar]:
        return {unicodedata.normalize("NFC", one.name): one for one in self.exemplars}

    def _error(self, text: str) -> UserError:
        return UserError(f"{self.origin}: {text}")


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(map(str, values))


# The fields of Catalogue that are written as they are, and what makes them of JSON's values.
_DESCRIBED: Mapping[str, Callable[[Any], Any]] = {
    "model": str,
    "step": int,
    "image_size": int,
    "attributes": _texts,
    "block_bounds": lambda values: tuple(map(int, values)),
    "labelled": _texts,
}


def read_catalogue(path: str | os.PathLike[str]) -> Catalogue:
    """Reads a file that `Catalogue.write` wrote.

    Raises:
        UserError: it is missing, damaged, not a catalogue, or one of a newer version.
    """
    path = Path(path)
    if not looks_like_catalogue(path):
        missing = not os.path.exists(path)
        raise UserError(f"{path}: " + ("no such file" if missing else f"is not a catalogue of exemplars: {_CURE}"))
    metadata, codes, thumbnails = _read(path)
    if not isinstance(metadata, dict) or metadata.get("kind") != _KIND:
        raise UserError(f"{path}: is not a catalogue of exemplars: {_CURE}")
    if metadata.get("version") != VERSION:
        version = metadata.get("version")
        raise UserError(f"{path}: is of version {version}, and this elegant_tf reads version {VERSION}: {_CURE}")
    try:
        described = {name: make(metadata[name]) for name, make in _DESCRIBED.items()}
        exemplars = tuple(
            Exemplar(code, one["name"], described["model"], _texts(one["attributes"]), thumbnail)
            for one, code, thumbnail in zip(metadata["exemplars"], codes, thumbnails, strict=True)
        )
        return Catalogue(exemplars, **described, origin=os.fspath(path))
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _damaged(path, error) from error


def looks_like_catalogue(path: str | os.PathLike[str]) -> bool:
    """Whether a file is there that has a catalogue's extension, or begins as a catalogue does, whatever is in it."""
    try:
        with open(path, "rb") as file:
            return os.fspath(path).lower().endswith(SUFFIX) or file.read(4) == b"PK\x03\x04"
    except (OSError, ValueError):  # ValueError: a null byte
        return False


def find_catalogue(place: str) -> Path | None:
    """The file of a catalogue that a user names; None if it names no catalogue.

    Args:
        place: the path of a file; or of a run directory, or the name of a model that comes with the package, for the
            `exemplars.npz` in it.

    Raises:
        UserError: it is a run without a catalogue.
    """
    if looks_like_catalogue(place):
        return Path(place)
    run = find_run(place)
    if not place or not os.path.isfile(run / CONFIG_FILE):
        return None
    if not os.path.isfile(run / EXEMPLARS_FILE):
        raise UserError(f"{place}: is a run without a catalogue of exemplars ({EXEMPLARS_FILE}): {_CURE}")
    return run / EXEMPLARS_FILE


def split_reference(text: str) -> tuple[Path, str] | None:
    """What `FILE:NAME` means: the catalogue's file, and the name, empty for the whole catalogue.

    It is split at the last colon, and only where what stands before is a catalogue, so that other paths may hold
    colons. None: `text` names no catalogue. Raises UserError as `find_catalogue` does.
    """
    # A folder of images may be named like a model.
    if os.path.exists(text) and not os.path.isfile(os.path.join(text, CONFIG_FILE)):
        return (Path(text), "") if looks_like_catalogue(text) else None
    place, colon, name = text.rpartition(SEPARATOR)
    if colon:
        file = find_catalogue(place)
        return (file, name) if file else None
    file = find_catalogue(text)
    return (file, "") if file else None


def check_catalogue_output(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raises the UserErrors of `Catalogue.write` that are known before the exemplars are."""
    path = os.fspath(path)
    if not path.lower().endswith(SUFFIX):
        raise UserError(f"{path}: expected the name of a catalogue, ending in {SUFFIX}")
    if os.path.isdir(path):
        raise UserError(f"{path}: is a directory; expected a file name")
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{path}: exists already: choose another name, or ask to overwrite it")


def names_of(files: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names for exemplars: the stems of their files, numbered where several are equal."""
    names: list[str] = []
    for file in files:
        stem = "".join(one if _is_plain(one) else "-" for one in Path(file).stem)
        candidates = (stem if number == 1 else f"{stem}-{number}" for number in range(1, len(files) + 1))
        names.append(next(name for name in candidates if name not in names))
    return names


def _read(path: Path) -> tuple[Any, np.ndarray, Sequence[np.ndarray | None]]:
    """The metadata, the codes, and a thumbnail or None for each."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "metadata" not in arrays or "codes" not in arrays:
                return None, np.empty(0), []
            codes = arrays["codes"]
            thumbnails = arrays["thumbnails"] if "thumbnails" in arrays else [None] * len(codes)
            return json.loads(str(arrays["metadata"])), codes, thumbnails
    except OSError as error:
        if error.errno:
            raise UserError(f"{path}: cannot be read: {reason(error)}") from error
        raise _damaged(path, error) from error
    except Exception as error:  # A damaged archive raises almost any error of zlib, zipfile or NumPy.
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: is damaged ({(str(error).splitlines() or [''])[0]}): {_CURE}")


def _is_code(code: np.ndarray) -> bool:
    return code.ndim == 3 and code.size > 0 and code.dtype == np.float32 and bool(np.isfinite(code).all())


def _is_thumbnail(image: np.ndarray | None) -> bool:
    return image is None or (image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3)


def _is_plain(character: str) -> bool:
    return character.isprintable() and character != SEPARATOR


def _check_name(name: str) -> None:
    if not name.strip() or not all(map(_is_plain, name)):
        raise UserError(f"{name!r}: the name of an exemplar must be printable text without a colon")


def _suggestion(name: str, names: Sequence[str]) -> str:
    folded = {one.casefold(): one for one in names}
    close = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, _MOST_NAMED, cutoff=0.4)]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"it has {', '.join(names[:_MOST_NAMED])}" + (", …" if len(names) > _MOST_NAMED else "")
