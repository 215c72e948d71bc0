"""Files on every file system that Apache Beam reaches: their names, reading them, and writing them whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from elegant_tf.errors import UserError
from elegant_tf.files import reason
from elegant_tf.images import BadImage

# Bytes of a file that is read as an image: more than a photo of 33 megapixels without compression.
MAX_BYTES = 2**27

# Names that keep their extension; others gain `.png`.
WRITTEN = (".png", ".jpg", ".jpeg", ".webp")

_BLOCK = 2**18
_LONGEST = 255  # bytes of a file's or folder's name, on most file systems
_WILDCARDS = "*?["


def is_local(path: str) -> bool:
    """Whether a path is one on this machine, and not a URL such as `gs://bucket/file`."""
    return FileSystems.get_scheme(path) is None


def is_utf8(name: str) -> bool:
    """Whether a name can be written as UTF-8, as Apache Beam does between its steps."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def absolute(path: str, flag: str) -> str:
    """A path as workers in other folders find it. Raises UserError if it is empty or of an unknown kind."""
    if not path.strip():
        raise UserError(f"--{flag}={path}: must be a path; it is empty")
    if is_local(path):
        return os.path.abspath(os.path.expanduser(path))
    try:
        FileSystems.get_filesystem(path)
    except ValueError as error:
        extras = "apache-beam[gcp] for gs://, apache-beam[aws] for s3://, apache-beam[azure] for azfs://"
        raise UserError(f"--{flag}={path}: Apache Beam cannot open it; it needs an extra: {extras}") from error
    return path.rstrip("/")


def output_name(name: str, root: str | None) -> str:
    """The name of an edited file in the output folder, parts separated by slashes.

    It is that of the image, with `.png` added unless it ends as PNG, JPEG and WebP files do.

    Args:
        name: of the image.
        root: the folder below which the image's folders are kept; empty: all folders are kept; None: none is.

    Raises:
        UserError: there is no such name, or it leads out of the folder.
    """
    if root is None:
        inside = name.rpartition("/")[2]
    elif not root or name.startswith(f"{root.rstrip('/')}/"):
        inside = name[len(root.rstrip("/")) :]
    else:
        raise UserError(f"is not in the folder {root}")
    parts = [part for part in inside.split("/") if part not in ("", ".")]
    if not parts or inside.endswith("/"):
        raise UserError("has no file name")
    if ".." in parts:
        raise UserError("its name leads out of the folder: it must not contain ..")
    if PurePosixPath(parts[-1]).suffix.lower() not in WRITTEN:
        parts[-1] += ".png"
    if not is_utf8(inside):
        raise UserError("its name is not UTF-8: rename it")
    if max(len(part.encode("utf-8")) for part in parts) > _LONGEST or "\0" in inside:
        raise UserError(f"its name must have at most {_LONGEST} bytes in each part, and no null byte")
    return "/".join(parts)


def fixed_folder(patterns: Sequence[str]) -> str:
    """The longest folder that all patterns share, up to their first wildcards, without a slash at its end."""
    folders = []
    for pattern in patterns:
        places = [pattern.find(one) for one in _WILDCARDS if one in pattern]
        folders.append(pattern[: min(places, default=len(pattern))].split("/")[:-1])
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def read_bytes(path: str, at_most: int = MAX_BYTES) -> bytes:
    """The content of a file. Raises BadImage if it cannot be read, or holds more bytes than `at_most`."""
    try:
        if is_local(path) and os.path.exists(path) and not os.path.isfile(path):
            raise BadImage(f"{path}: is not a regular file; expected an image file")
        # Whatever the extension, images are not unpacked.
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            data = b"".join(_blocks(file, at_most))
    except BadImage:
        raise
    except Exception as error:  # every file system has exceptions of its own
        raise BadImage(f"{path}: cannot be read: {reason(error)}") from error
    if len(data) > at_most:
        raise BadImage(f"{path}: is larger than {at_most / 2**20:.0f} MiB")
    return data


def copy_file(source: str, target: str) -> None:
    """Copies a file from any file system to a new one on this machine."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with FileSystems.open(source, compression_type=CompressionTypes.UNCOMPRESSED) as file, open(target, "wb") as copy:
        shutil.copyfileobj(file, copy)


def write_bytes(path: str, data: bytes) -> None:
    """Writes a file, whole or not at all. Missing folders are made, and an existing file is replaced."""
    folder, _ = FileSystems.split(path)
    make_folder(folder)
    aside = FileSystems.join(folder, f".{uuid.uuid4().hex}.part")
    try:
        with FileSystems.create(aside, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
        _rename(aside, path)
    except BaseException:
        with contextlib.suppress(Exception):
            FileSystems.delete([aside])
        raise


def make_folder(folder: str) -> None:
    """Makes a folder and those around it, where the file system has folders."""
    if not FileSystems.get_filesystem(folder).has_dirs() or FileSystems.exists(folder):
        return
    try:
        FileSystems.mkdirs(folder)
    except OSError:
        if not FileSystems.exists(folder):  # another worker may have made it
            raise


def _blocks(file: IO[bytes], at_most: int) -> Iterator[bytes]:
    """The content of a file, until it is more than `at_most` bytes. A larger read would take the memory at once."""
    while at_most >= 0 and (block := file.read(_BLOCK)):
        at_most -= len(block)
        yield block


def _rename(source: str, target: str) -> None:
    try:
        FileSystems.rename([source], [target])
    except BeamIOError:
        # Hadoop replaces no file. On this machine a file is replaced, and what cannot be is a folder.
        if is_local(target) or not FileSystems.exists(target):
            raise
        FileSystems.delete([target])
        FileSystems.rename([source], [target])


def list_files(pattern: str, at_most: int | None = None) -> list[str]:
    """The files that match a pattern: `*` stands for any name, `**` for any folders. Raises UserError if it cannot."""
    try:
        (found,) = FileSystems.match([pattern], [at_most] if at_most else None)
    except (BeamIOError, ValueError) as error:
        raise UserError(f"{pattern}: cannot be listed: {reason(error)}") from error
    return [file.path for file in found.metadata_list]
