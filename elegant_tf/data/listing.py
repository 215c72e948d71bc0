"""The image files in a folder, and which of them the file names in a table mean."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from elegant_tf.errors import UserError
from elegant_tf.images import has_read_format
from elegant_tf.remote import is_remote

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp"),
    *(".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
)
# Of images that other programs read.
_OTHER_SUFFIXES = (".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jxl", ".psd", ".dng", ".raw", ".tga", ".ppm")

# Folders that systems and programs hide among a user's own; so are all whose names begin with a dot.
HIDDEN_FOLDERS = ("@eaDir", "__MACOSX", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information")

_SAMPLE = 64  # images whose permissions are looked at


@dataclass(frozen=True)
class Listing:
    """The files of `folder` and of the folders below it, by their paths with /.

    `images`: those with an image's suffix; `others`: the rest; `places`: the path of every folder by its real path.
    """

    folder: Path
    images: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)

    def canonical(self, files: Iterable[str]) -> list[str]:
        """The paths under which files are listed, whatever links, dots or slashes lead to them."""
        prefixes = {"": ""}
        found = []
        for file in files:
            directory, slash, name = file.rpartition("/")
            if directory + slash not in prefixes:
                prefixes[directory + slash] = self._prefix(directory + slash)
            found.append(prefixes[directory + slash] + name)
        return found

    def _prefix(self, directory: str) -> str:
        try:
            return self.places.get(os.path.realpath(self.folder / directory), directory)
        except ValueError:  # a null byte
            return directory


class Found(NamedTuple):
    """The images that the labelled files mean.

    `images`: for each file, the path of its image, or "" without one; `missing`: the files without an image;
    `unreadable`: the files whose images have a format that is not read; `unlabelled`: the images without a label;
    `hint`: if a missing file could be one of several images, which.
    """

    images: tuple[str, ...]
    missing: tuple[str, ...]
    unreadable: tuple[str, ...]
    unlabelled: tuple[str, ...]
    hint: str


def list_files(folder: Path, below: bool = True) -> Listing:
    """The files in a folder and, with `below`, in the folders below it.

    Hidden folders are passed over. Links to folders are followed; every folder is listed once.

    Raises:
        UserError: a folder cannot be read.
    """
    listing = Listing(folder)
    if is_remote(folder):
        _list_store(listing, "", below)
        return listing
    root = os.path.realpath(folder)
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        real = os.path.realpath(folder / prefix)
        # A link to a folder around this one would lead to everything beside it.
        if real in listing.places or (prefix and (root + os.sep).startswith(real.rstrip(os.sep) + os.sep)):
            continue
        listing.places[real] = prefix
        for entry in _entries(folder / prefix):
            # Of a link in a circle, DirEntry raises an OSError where os.path says no.
            if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path)):
                if below and not _is_hidden(entry.name):
                    # Links wait until everything else is listed under its own path.
                    waiting.insert(0 if entry.is_symlink() else len(waiting), f"{prefix}{entry.name}/")
            else:
                (listing.images if is_image_name(entry.name) else listing.others).add(prefix + entry.name)
    return listing


def _list_store(listing: Listing, prefix: str, below: bool) -> None:
    """Lists a folder of an object store, which says of a name alone only with one more request what it is."""
    listing.places[os.path.realpath(listing.folder / prefix)] = prefix
    for name in (path.name for path in _stored(listing.folder / prefix)):
        if is_image_name(name):
            listing.images.add(prefix + name)
        elif not (listing.folder / prefix / name).is_dir():
            listing.others.add(prefix + name)
        elif below and not _is_hidden(name):
            _list_store(listing, f"{prefix}{name}/", below)


def no_images(folder: Path) -> UserError:
    """The error of a folder without images."""
    return UserError(f"{folder}: holds no images ({', '.join(IMAGE_SUFFIXES)}): unpack the images there")


def is_image_name(file: str) -> bool:
    """Whether a file has an image's name and is not hidden, like those that macOS leaves (._a.jpg)."""
    return file.lower().endswith(IMAGE_SUFFIXES) and not file.startswith(".")


def check_folder(folder: Path, flag: str, cure: str) -> None:
    """Raises UserError, with the flag and the reason, unless a folder is there and can be read."""
    try:
        any(folder.iterdir()) if is_remote(folder) else os.scandir(folder).close()
    except FileNotFoundError:
        raise UserError(f"--{flag}={folder}: no such directory: {cure}") from None
    except NotADirectoryError:
        raise UserError(f"--{flag}={folder}: no such directory, but a file: {cure}") from None
    except OSError as error:
        raise UserError(f"--{flag}={folder}: cannot be read: {error.strerror}") from None


def is_file(path: Path) -> bool:
    """Whether a file is there. Raises UserError if the folder around it does not say."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return path.is_file()


def find_images(listing: Listing, files: Sequence[str]) -> Found:
    """Finds the images of labelled files, as `match_names` finds names.

    Raises:
        UserError: images cannot be read for lack of permission.
    """
    wanted = listing.canonical(files)
    pairs = match_names(wanted, listing.images)
    left = [name for name in wanted if name not in pairs]
    kinds = match_names(left, listing.others) if left else {}
    pairs |= {name: other for name, other in kinds.items() if has_read_format(listing.folder / other)}
    lost = {name: file for file, name in zip(files, wanted, strict=True) if name not in pairs and name not in kinds}
    unlabelled = listing.images.difference(pairs.values())
    _check_permissions([listing.folder / name for name in pairs.values()])
    return Found(
        images=tuple(pairs.get(name, "") for name in wanted),
        missing=tuple(lost.values()),
        unreadable=tuple(kinds[name] for name in wanted if name in kinds and name not in pairs),
        unlabelled=tuple(sorted(unlabelled)),
        hint=_hint(lost, unlabelled) if lost and unlabelled else "",
    )


def match_names(wanted: Sequence[str], available: Collection[str]) -> dict[str, str]:
    """Maps names to those of the available ones that they mean, where this is certain.

    An equal name comes first, then one that is written in another Unicode form or encoding, one with another image's
    suffix or none, and one in another case. The last three must be the only one of its kind on both sides.
    """
    available = set(available)
    found = {name: name for name in wanted if name in available}
    for key in (composed, _stem, _folded_stem):
        left = [name for name in wanted if name not in found]
        if not left:
            break
        free = _by_key(available.difference(found.values()), key)
        found |= {name: free[word] for word, name in _by_key(left, key).items() if word in free}
    return found


def composed(name: str) -> str:
    """A name in its composed Unicode form; bytes that are not UTF-8 are taken for Latin-1."""
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            name = os.fsencode(name).decode("latin-1")
    return unicodedata.normalize("NFC", name)


def first_names(names: Sequence[str], count: int = 3) -> str:
    """The first few names, for messages."""
    return ", ".join(map(printable, names[:count])) + (", …" if len(names) > count else "")


def printable(name: str) -> str:
    """A name with escapes for the bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace") if not name.isascii() else name


def _stem(name: str) -> str:
    name = composed(name)
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix}".lower() in IMAGE_SUFFIXES + _OTHER_SUFFIXES else name


def _folded_stem(name: str) -> str:
    return _stem(name).casefold()


def _by_key(names: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """The names by their keys, without those that share a key."""
    found: dict[str, str] = {}
    shared = set()
    for name in names:
        word = key(name)
        if found.setdefault(word, name) != name:
            shared.add(word)
    return {word: name for word, name in found.items() if word not in shared}


def _hint(missing: Iterable[str], unlabelled: Collection[str]) -> str:
    by_stem: dict[str, list[str]] = {}
    for other in sorted(unlabelled):
        by_stem.setdefault(_folded_stem(other), []).append(other)
    name = next((name for name in missing if _folded_stem(name) in by_stem), "")
    alike = by_stem.get(_folded_stem(name), [])
    return f"{printable(name)} could be {' or '.join(map(printable, alike[:3]))}" if name else ""


def _check_permissions(paths: Sequence[Path]) -> None:
    """Looks at some: if two of them cannot be read, more than training passes over cannot."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    closed = [path for path in sample if os.path.exists(path) and not os.access(path, os.R_OK)]
    if len(closed) > 1:
        raise UserError(f"{closed[0]}: cannot be read: Permission denied; so are other images")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def _stored(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in HIDDEN_FOLDERS
