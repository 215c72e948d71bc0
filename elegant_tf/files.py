"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elegant_tf.errors import UserError
from elegant_tf.remote import RemotePath, absolute, as_path, is_remote

# Bytes that `check_writable` tries: more than fits beside a file's name on any file system.
_PROBE = 2**16

_BLOCK = 2**20  # bytes that are copied at once

# What TensorFlow takes for a pattern, and bytes that are not UTF-8, which it refuses.
_NOT_LITERAL = re.compile(r"[*?\[\]\\\udc80-\udcff]")

# What TensorFlow puts around the reason: "{{function_node …}} Not a directory [Op:WriteScalarSummary] name: ".
_OPERATION = re.compile(r"\{\{.*?\}\} |\s*\[Op:.*$")
# TensorFlow's errors that come from the operating system: "PATH; No space left on device [Op:SaveV2]".
_SYSTEM_REASON = re.compile(r"^[^;\n]*/[^;\n]*; ([^;\[\n]*\w)")


@contextmanager
def atomic_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `target` to write to. The file takes its name when the block ends, and is removed if it fails.

    Missing directories are made.

    Raises:
        UserError: the file cannot be written; also for an OSError or a TensorFlow error inside the block.
    """
    target = as_path(target)
    aside = target.with_name(f".{uuid.uuid4().hex}.part")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def atomic_directory(target: str | os.PathLike[str], last: str = "") -> Iterator[Path]:
    """A local directory to fill. It takes its place when the block ends, and nothing is left of it if that fails.

    On this machine, the directory is beside `target` and takes its name at once. To an object store, which has no
    directories, its files are copied one by one: the file without which nobody takes the directory for a whole one
    comes last. `target` must not exist, or be an empty directory. Missing parents are made.

    Args:
        target: the directory.
        last: the name of the file that comes last; empty: no matter which.

    Raises:
        UserError: the directory cannot be written; also for an OSError or a TensorFlow error inside the block.
    """
    target = absolute(target)  # so that "." has a name
    stored = is_remote(target)
    beside = absolute(tempfile.gettempdir()) / target.name if stored else target
    aside = beside.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    with writing(target):
        if _exists(target) and (not target.is_dir() or any(target.iterdir())):  # known before any work
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        try:
            aside.mkdir(parents=True)
            yield aside
            _store(aside, target, last) if stored else aside.replace(target)
        except UserError as error:  # of a file aside, which is gone when it is read
            raise UserError(str(error).replace(os.fspath(aside), os.fspath(target))) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a UTF-8 file as `atomic_file` does; it is on the disk when this returns.

    What is not UTF-8, as in some names of files, is written as an escape, which JSON reads back.
    """
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
        sync(aside)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes indented JSON as `write_text` does."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


class Appended:
    """A file that grows, safe to use from several threads.

    On this machine, what is written is on its way to the disk when `write` returns. On an object store, where appending
    writes the whole object anew, it is there after `flush` and `close`, and is so every `PAUSE` seconds by itself: a
    kill loses what was written since.

    Attributes:
        path: the file.
    """

    PAUSE = 10.0

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path)
        self._waiting: list[bytes] = []
        self._written = time.monotonic()
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Appends a text. Raises OSError if it cannot be written."""
        data = text.encode("utf-8", "backslashreplace")
        if not is_remote(self.path):
            with open(self.path, "ab", buffering=0) as file:
                if data:  # a full disk refuses nothing, too
                    file.write(data)
            return
        with self._lock:
            self._waiting.append(data)
        if time.monotonic() - self._written >= self.PAUSE:
            self.flush()

    def flush(self) -> None:
        """Writes what waits. Raises OSError if it cannot be written; it then waits on."""
        with self._lock:
            self._written = time.monotonic()
            if self._waiting:
                with self.path.open("ab") as file:
                    file.write(b"".join(self._waiting))
                self._waiting.clear()

    def close(self) -> None:
        """Ends the file. Raises OSError as `flush` does."""
        self.flush()


def sync(path: str | os.PathLike[str]) -> None:
    """Waits until a file's content, or a directory's list of names, is on the disk. Raises OSError."""
    if is_remote(path):  # an object is there when it is closed
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not os.path.isdir(path):  # Some file systems cannot do this with a directory.
            raise
    finally:
        os.close(descriptor)


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError if it cannot be read."""
    digest = hashlib.sha256()  # hashlib.file_digest needs Python 3.11
    with as_path(path).open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def check_writable(directory: str | os.PathLike[str], flag: str = "out") -> None:
    """Raises UserError unless files can be written into a directory.

    If it does not exist, its nearest existing parent is tried. The file that is written for this, and removed, is
    large enough to notice a full disk.
    """
    directory = absolute(directory)
    if is_remote(directory):
        _check_store(directory, flag)
        return
    place = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        where = "" if place == directory else f" in {place}"
        raise UserError(f"--{flag}={directory}: cannot be written{where}: {reason(error)}") from error


def remove_file(path: str | os.PathLike[str]) -> None:
    """Removes a file, if it is there. Raises UserError if it cannot be removed."""
    try:
        as_path(path).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be removed: {reason(error)}") from error


def remove_parts(directory: str | os.PathLike[str]) -> None:
    """Removes the files that `atomic_file` left in a directory when its process was killed.

    Raises:
        UserError: one cannot be removed.
    """
    for aside in as_path(directory).glob(f".{'[0-9a-f]' * 32}.part"):
        remove_file(aside)


def read_json_lines(path: str | os.PathLike[str]) -> list[Any]:
    """The values in a file of JSON lines. A last line that is cut short, as a kill leaves it, is passed over.

    Raises:
        UserError: the file cannot be read, or another line is not JSON.
    """
    try:
        lines = as_path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number}: is not JSON ({error}): remove this line") from None
    return values


def free_bytes(path: str | os.PathLike[str]) -> float:
    """How many bytes can be written at most where a path is or will be; infinity if the file system does not say."""
    if is_remote(path):
        return math.inf
    told = os.statvfs(existing(path))
    return float(told.f_bfree * told.f_frsize) if told.f_blocks else math.inf


def existing(path: str | os.PathLike[str]) -> Path:
    """A path, or the nearest of its parents that exists, as an absolute path."""
    from_root = absolute(path)
    return next(place for place in (from_root, *from_root.parents) if os.path.exists(place))


@contextmanager
def literal(directory: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to an existing directory that TensorFlow takes literally.

    TensorFlow reads the path of a checkpoint as a pattern, so that it looks for `runs/[a]` at `runs/a`, and it takes no
    path that is not UTF-8. This yields a temporary link to a directory with such a path, and others as they are.

    Raises:
        UserError: the link cannot be made.
    """
    if is_remote(directory) or not _NOT_LITERAL.search(os.path.abspath(directory)):
        yield as_path(directory)
        return
    with contextlib.ExitStack() as stack:
        with writing(Path(tempfile.gettempdir())):
            link = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="elegant_tf-")), "link")
            link.symlink_to(os.path.abspath(directory), target_is_directory=True)
        yield link


@contextmanager
def writing(target: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what a file system refuses, to Python or to TensorFlow, into a UserError that names the target."""
    if "\0" in os.fspath(target):
        raise UserError(f"{os.fspath(target)!r}: cannot be written: a path cannot hold a null byte")
    try:
        yield
    except _refusals() as error:
        raise UserError(f"{os.fspath(target)}: cannot be written: {reason(error)}") from error


def reason(error: Exception) -> str:
    """The reason in an error of the operating system or of TensorFlow, in a line without path and operation."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    system = _SYSTEM_REASON.search(message)
    return system[1] if system else _OPERATION.sub("", message.splitlines()[0])


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Removes a directory with all that is in it, as far as that can be done."""
    path = as_path(path)
    if isinstance(path, RemotePath):
        with contextlib.suppress(OSError):
            path.remove_tree()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _exists(path: Path) -> bool:
    """Whether something is at a path, a broken link too."""
    return path.exists() if is_remote(path) else os.path.lexists(path)


def _store(folder: Path, target: Path, last: str) -> None:
    """Copies the files of a local folder to an object store, one of them last."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    try:
        for file in sorted(files, key=lambda file: (file == folder / last, file)):
            copy = target / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as source, copy.open("wb") as stored:
                shutil.copyfileobj(source, stored, _BLOCK)
    except BaseException:
        remove_tree(target)
        raise


def _check_store(directory: Path, flag: str) -> None:
    """Raises UserError unless an object can be written below a path, which is tried."""
    trial = directory / f".{uuid.uuid4().hex}.part"
    try:
        missing = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink()
        if missing:
            directory.rmdir()
    except OSError as error:
        raise UserError(f"--{flag}={directory}: cannot be written: {reason(error)}") from error


def _refusals() -> tuple[type[Exception], ...]:
    """OSError, and what TensorFlow raises for one of its own. Nothing here loads TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return (OSError, tensorflow.errors.OpError) if tensorflow else (OSError,)
