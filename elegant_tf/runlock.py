"""The lock of a directory that a process works in: one at a time. Needs no TensorFlow.

The lock is a file that names the process that holds it, in two ways. `flock` ends with the process, however it ends,
and reaches other hosts where the file system passes it on, as NFS does by default. Where it does not, the time of the
file tells: the process that holds the lock sets it every few seconds.

Object stores have no such locks, and TensorFlow offers no way to write an object only if there is none. There, the
process that holds the lock writes it anew every few seconds, and the content tells. A process that takes the lock looks
again after `SETTLE` seconds, and of two that took it in this time, the one that wrote last has it. Two hold it only if
one is stopped between its look and its write for longer than that, or cannot reach the store for `PATIENCE` seconds;
the one whose lock was written over sees it at its next sign of life, or before it saves.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from absl import logging

from elegant_tf.errors import UserError
from elegant_tf.files import reason, write_text, writing
from elegant_tf.remote import as_path, is_remote


class Work(NamedTuple):
    """What is done in a directory: the flag that names the directory, a verb in -ing, and the name of the lock."""

    flag: str
    doing: str
    lock_file: str


TRAINING = Work("run_dir", "training", "train.lock")
WRITING = Work("out", "writing", ".elegant-tf.lock")

# Seconds between signs of life, and how long to wait for one before a lock counts as left behind.
BEAT = 5.0
PATIENCE = 30.0

# Seconds after which no other process that saw an object store without a lock is still to write its own.
SETTLE = 2.0


class Owner(NamedTuple):
    """The process that holds a lock, and since when."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def locked(directory: str | os.PathLike[str], work: Work = TRAINING) -> Iterator[Callable[[], None]]:
    """Holds the lock of a directory, which is made when missing, and removed again if it stays empty.

    Yields:
        A function that raises UserError if another process has taken the lock over, as can be on an object store.

    Raises:
        UserError: another process works there, which is named; or the directory cannot be written.
    """
    path = as_path(directory) / work.lock_file
    with _made(path.parent):
        if is_remote(path):
            with _StoredLock(path, work) as lock:
                yield lock.check
            return
        with writing(path):
            descriptor = _take(path, work)
        over = threading.Event()
        heart = threading.Thread(target=_beat, args=(descriptor, over), name="run lock", daemon=True)
        heart.start()
        try:
            yield lambda: None
        finally:
            over.set()
            heart.join()
            _release(path, descriptor)


def check_unlocked(run_dir: str | os.PathLike[str]) -> None:
    """Raises UserError if a process trains in a run directory. Writes nothing."""
    path = as_path(run_dir) / TRAINING.lock_file
    if is_remote(path):
        _check_free_object(path, TRAINING)
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    try:
        _check_free(path, descriptor, fcntl.LOCK_SH, TRAINING)
    finally:
        os.close(descriptor)


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """Makes a directory if it is missing, and then removes it in the end if it is still empty."""
    with writing(directory):
        missing = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if missing:
            with contextlib.suppress(OSError):
                directory.rmdir()


class _StoredLock:
    """The lock of a directory on an object store, held from when the block is entered until it is left."""

    def __init__(self, path: Path, work: Work) -> None:
        self._path, self._work = path, work
        self._fields = {**_myself()._asdict(), "key": uuid.uuid4().hex}
        self._beats = 0
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="run lock", daemon=True)

    def __enter__(self) -> _StoredLock:
        _check_free_object(self._path, self._work)
        self._write()
        time.sleep(SETTLE)
        self.check()
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._heart.join()
        if self._is_mine():
            with contextlib.suppress(OSError):  # as in `_release`
                self._path.unlink()

    def check(self) -> None:
        """Raises UserError if another process has the lock."""
        if not self._is_mine():
            raise _held(self._path, _parse(_content(self._path)), self._work)

    def _write(self) -> None:
        self._beats += 1
        # All of one length, as TensorFlow may remember the size of an object for some seconds.
        write_text(self._path, json.dumps({**self._fields, "beat": f"{self._beats:012d}"}) + "\n")

    def _is_mine(self) -> bool:
        """Whether the lock is this process's, or cannot be read."""
        content = _content(self._path)
        return not content or self._fields["key"].encode() in content

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            if not self._is_mine():
                logging.error("%s: another process has taken the lock over", self._path)
                return
            with contextlib.suppress(UserError):  # the next one may succeed
                self._write()


def _check_free_object(path: Path, work: Work) -> None:
    """Raises UserError if another process holds the lock at a path on an object store."""
    owner = _parse(_content(path))
    if owner and _lives(path, owner, _content):
        raise _held(path, owner, work)


def _content(path: Path) -> bytes:
    """The content of an object; empty if there is none, or it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _take(path: Path, work: Work) -> int:
    """Opens and locks the file, writes who holds it, and returns its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _check_free(path, descriptor, fcntl.LOCK_EX, work)
        except BaseException:
            os.close(descriptor)
            raise
        if _is_at(path, descriptor):
            break
        os.close(descriptor)  # Its holder removed it in the meantime.
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_myself()._asdict()).encode() + b"\n", 0)
    except OSError:
        path.unlink()
        os.close(descriptor)
        raise
    return descriptor


def _release(path: Path, descriptor: int) -> None:
    """Removes the lock, unless another host has taken it over, and closes it."""
    owner = _read(descriptor)
    if owner and (owner.host, owner.pid) == (socket.gethostname(), os.getpid()):
        with contextlib.suppress(OSError):  # A lock that cannot be removed holds nobody up.
            path.unlink()
    os.close(descriptor)


def _check_free(path: Path, descriptor: int, kind: int, work: Work) -> None:
    """Raises UserError if another process holds the lock, of which `kind` is then held if the file system can."""
    owner = _read(descriptor)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        told = owner is None or owner.host == socket.gethostname()
    except BlockingIOError:
        raise _held(path, owner, work) from None
    except OSError:  # This file system has no such locks.
        told = owner is None
    if owner and not told and _lives(path, owner, _time):
        raise _held(path, owner, work)


def _lives(path: Path, owner: Owner, sign: Callable[[Path], object]) -> bool:
    """Whether the lock's sign of life, its time or its content, changes while this waits for it."""
    logging.warning("%s names %s: waiting up to %g seconds for a sign of life", path, owner, PATIENCE)
    first, deadline = sign(path), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(BEAT / 10)
        now = sign(path)
        if now != first:
            return bool(now)
    logging.warning("%s: taken over from %s, which shows no sign of life", path, owner)
    return False


def _beat(descriptor: int, over: threading.Event) -> None:
    while not over.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(descriptor)


def _held(path: Path, owner: Owner | None, work: Work) -> UserError:
    flag, doing = work.flag, work.doing
    who = f"{owner} has been {doing} there since {owner.started}" if owner else f"another process is {doing} there"
    return UserError(f"--{flag}={path.parent}: {who}. Wait until it ends, stop it, or choose another --{flag}")


def _myself() -> Owner:
    return Owner(socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _read(descriptor: int) -> Owner | None:
    """Who a lock names; None if nobody, as in the moment before a process has written its name."""
    try:
        return _parse(os.pread(descriptor, 4096, 0))
    except OSError:
        return None


def _parse(content: bytes) -> Owner | None:
    try:
        found = json.loads(content)
        return Owner(str(found["host"]), int(found["pid"]), str(found["started"]))
    except (ValueError, TypeError, KeyError):
        return None


def _time(path: Path) -> int | None:
    """When a file was last written; None if it is gone. It is opened so that NFS asks the server."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one that its path names."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
