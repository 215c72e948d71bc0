"""The lock of a directory that a process works in: one at a time. Needs no TensorFlow.

The lock is a file that names the process that holds it, in two ways. `flock` ends with the process, however it ends,
and reaches other hosts where the file system passes it on, as NFS does by default. Where it does not, the time of the
file tells: the process that holds the lock sets it every few seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from absl import logging

from elegant_tf.errors import UserError
from elegant_tf.files import reason, writing


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


class Owner(NamedTuple):
    """The process that holds a lock, and since when."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def locked(directory: str | os.PathLike[str], work: Work = TRAINING) -> Iterator[None]:
    """Holds the lock of a directory, which is made when missing, and removed again if it stays empty.

    Raises:
        UserError: another process works there, which is named; or the directory cannot be written.
    """
    path = Path(directory) / work.lock_file
    with _made(path.parent):
        with writing(path):
            descriptor = _take(path, work)
        over = threading.Event()
        heart = threading.Thread(target=_beat, args=(descriptor, over), name="run lock", daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            _release(path, descriptor)


def check_unlocked(run_dir: str | os.PathLike[str]) -> None:
    """Raises UserError if a process trains in a run directory. Writes nothing."""
    path = Path(run_dir) / TRAINING.lock_file
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
    if owner and not told and _lives(path, owner):
        raise _held(path, owner, work)


def _lives(path: Path, owner: Owner) -> bool:
    """Whether the lock's time changes while this waits for it."""
    logging.warning("%s names %s: waiting up to %g seconds for a sign of life", path, owner, PATIENCE)
    first, deadline = _time(path), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(BEAT / 10)
        now = _time(path)
        if now != first:
            return now is not None
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
        found = json.loads(os.pread(descriptor, 4096, 0))
        return Owner(str(found["host"]), int(found["pid"]), str(found["started"]))
    except (OSError, ValueError, TypeError, KeyError):
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
