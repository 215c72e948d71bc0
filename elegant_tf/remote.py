"""Paths on object stores, such as gs://bucket/runs, with pathlib's interface over TensorFlow's file systems.

TensorFlow reads and writes checkpoints, summaries, records and SavedModels through the same file systems, so that one
registry decides what can be opened. It is loaded by the first call that reads or writes, never by a path alone.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import io
import os
import re
import stat
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path, PosixPath
from typing import Any

# What every TensorFlow opens; packages such as tensorflow-io add others when they are imported.
_BUILT_IN = ("gs", "ram")

_REMOTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

_BLOCK = 2**20  # bytes that are read at once

# TensorFlow's errors -> those of the operating system. What TensorFlow says of the others is their text.
_NUMBERS = {
    "NotFoundError": errno.ENOENT,
    "AlreadyExistsError": errno.EEXIST,
    "PermissionDeniedError": errno.EACCES,
    "UnauthenticatedError": errno.EACCES,
    "ResourceExhaustedError": errno.ENOSPC,
}


def scheme_of(path: str | os.PathLike[str]) -> str:
    """The scheme of a path on an object store, in lower case; empty if the path is local."""
    found = _REMOTE.match(os.fspath(path))
    return found[1].lower() if found else ""


def known_schemes() -> tuple[str, ...]:
    """The schemes that can be opened: TensorFlow's own, and those that packages have added in this process."""
    tensorflow = sys.modules.get("tensorflow")
    added = map(str, tensorflow.io.gfile.get_registered_schemes()) if tensorflow else ()
    return tuple(sorted({*_BUILT_IN, *added} - {"", "file"}))


def as_path(path: str | os.PathLike[str]) -> Path:
    """A `RemotePath` if a path has a scheme, else a plain `Path`. Reads nothing."""
    if isinstance(path, Path):
        return path
    return RemotePath(path) if scheme_of(path) else Path(path)


def absolute(path: str | os.PathLike[str]) -> Path:
    """A path from the root; one on an object store is that already."""
    path = as_path(path)
    return path if is_remote(path) else Path(os.path.abspath(path))


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is on an object store."""
    return isinstance(path, RemotePath) or bool(scheme_of(path))


class RemotePath(PosixPath):
    """A path on an object store, which whoever takes a `pathlib.Path` can use as one.

    A store has objects and no directories. One is where an object's name begins with its path, or where an empty object
    stands for it. An object appears when the file that is written is closed, and then whole. Links and permissions do
    not exist.

    Methods that read or write raise OSError, as those of `pathlib.Path` do.
    """

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)  # pathlib makes one slash of two

    def __fspath__(self) -> str:
        return str(self)

    def absolute(self) -> RemotePath:
        return self

    def resolve(self, strict: bool = False) -> RemotePath:
        return self

    def expanduser(self) -> RemotePath:
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and time. Where a store tells no time, it is that of the call: whoever compares takes it for changed."""
        with _os_errors(self):
            found = _gfile().stat(str(self))
        kind = stat.S_IFDIR if found.is_directory else stat.S_IFREG
        nanoseconds = found.mtime_nsec or time.time_ns()
        seconds = nanoseconds // 10**9
        fields = (kind | 0o777, 0, 0, 1, 0, 0, 0 if found.is_directory else found.length, seconds, seconds, seconds)
        return os.stat_result(fields, {"st_mtime_ns": nanoseconds})

    def lstat(self) -> os.stat_result:
        return self.stat()

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        with _os_errors(self):
            return bool(_gfile().exists(str(self)))

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        with _os_errors(self):
            return bool(_gfile().isdir(str(self)))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Generator[RemotePath, None, None]:
        with _os_errors(self):
            names = {name.strip("/") for name in _gfile().listdir(str(self))}
        return (self / name for name in sorted(names - {""}))

    def glob(self, pattern: str, **options: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        """The paths below that match, part by part: `*`, `?` and `[…]`, without `**`."""
        first, _, rest = pattern.partition("/")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in self.iterdir():
                if fnmatch.fnmatchcase(path.name, first):
                    yield from path.glob(rest) if rest else [path]

    def files(self) -> Iterator[RemotePath]:
        """All files below, at any depth."""
        with _os_errors(self):
            found = list(_gfile().walk(str(self)))
        for folder, _, names in found:
            yield from (RemotePath(folder) / name for name in names if name)

    def rglob(self, pattern: str, **options: Any) -> Iterator[RemotePath]:  # type: ignore[override]
        """The files below whose names match."""
        return (path for path in self.files() if fnmatch.fnmatchcase(path.name, pattern))

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """A file to read (`r`), write (`w`) or append to (`a`), which rewrites the object on most stores."""
        kind = mode.replace("b", "").replace("t", "")
        stored = _Object(self, kind)
        if not buffering:
            return stored
        binary = io.BufferedReader(stored, _BLOCK) if kind == "r" else io.BufferedWriter(stored, _BLOCK)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        if not exist_ok and self.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        with _os_errors(self):
            _gfile().makedirs(str(self))

    def rmdir(self) -> None:
        if any(self.iterdir()):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(self))
        self.remove_tree()

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with _os_errors(self):
                _gfile().remove(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Removes a directory and all that is below it."""
        with _os_errors(self):
            _gfile().rmtree(str(self))

    def replace(self, target: str | os.PathLike[str]) -> RemotePath:
        """Moves a file: stores copy it, which appears whole, and remove the original."""
        with _os_errors(self):
            _gfile().rename(str(self), os.fspath(target), overwrite=True)
        return RemotePath(target)


class _Object(io.RawIOBase):
    """An object as a raw file of Python's."""

    def __init__(self, path: RemotePath, kind: str) -> None:
        self._path, self._kind = path, kind
        if kind == "w" and scheme_of(path) == "ram":  # which appends to what is there
            path.unlink(missing_ok=True)
        self._file = _gfile().GFile(str(path), f"{kind}b")
        with _os_errors(path):  # TensorFlow opens a file when it is first used
            self._file.size() if kind == "r" else self._file.write(b"")

    def readable(self) -> bool:
        return self._kind == "r"

    def writable(self) -> bool:
        return self._kind != "r"

    def seekable(self) -> bool:
        return self._kind == "r"

    def readinto(self, buffer: Any) -> int:
        with _os_errors(self._path):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with _os_errors(self._path):
            return bytes(self._file.read())

    def write(self, data: Any) -> int:
        with _os_errors(self._path):
            self._file.write(bytes(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self.seekable():
            raise io.UnsupportedOperation("seek")
        with _os_errors(self._path):
            self._file.seek(offset, whence)
        return self.tell()

    def tell(self) -> int:
        if not self.seekable():
            raise io.UnsupportedOperation("tell")
        with _os_errors(self._path):
            return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            super().close()
            with _os_errors(self._path):
                self._file.close()


def _gfile() -> Any:
    import tensorflow as tf  # takes seconds, which local paths need not wait for

    return tf.io.gfile


@contextlib.contextmanager
def _os_errors(path: RemotePath) -> Iterator[None]:
    """Turns TensorFlow's errors into those of the operating system."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        number = _NUMBERS.get(type(error).__name__, errno.EIO)
        said = (error.message.splitlines() or [""])[0]
        text = os.strerror(number) if number in (errno.ENOENT, errno.EEXIST) or not said else said
        raise OSError(number, text, str(path)) from error
