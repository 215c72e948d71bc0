"""Random access to TFRecord files, which `tf.data` reads only from front to back.

A file is a sequence of records: length (8 bytes), its checksum (4), the data, its checksum (4).
"""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.remote import as_path, is_remote

HEAD, TAIL = 12, 4

# A reader keeps at most a quarter of the file descriptors that the process may have.
_SHARE_OF_DESCRIPTORS = 4


def find_records(path: str | Path) -> np.ndarray:
    """The place of each record's data in a file: int64 `[M, 2]`, offset and length. Reads 8 bytes per record.

    Raises UserError if the file cannot be read or does not end with a record.
    """
    if is_remote(path):
        return _find_stored(path)
    places = []
    try:
        with open(path, "rb", buffering=0) as file:
            size, at = os.fstat(file.fileno()).st_size, 0
            while at < size:
                head = os.pread(file.fileno(), 8, at)
                length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
                places.append((at + HEAD, length))
                at += HEAD + length + TAIL
            if at != size:
                raise UserError(f"{path}: is damaged or cut short after record {len(places) - 1}")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return np.array(places, np.int64).reshape(-1, 2)


def _find_stored(path: str | Path) -> np.ndarray:
    """`find_records` on an object store: reads the file once from front to back, as each read is a request."""
    import tensorflow as tf  # whoever reads a store has loaded it

    try:
        lengths = [len(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    except tf.errors.OpError as error:
        raise UserError(f"{path}: is damaged or cannot be read: {error.message.splitlines()[0]}") from None
    steps = np.array(lengths, np.int64)
    ends = np.cumsum(steps + HEAD + TAIL)
    return np.stack([ends - TAIL - steps, steps], axis=1).reshape(-1, 2)


class ByteReader:
    """Reads parts of several files, from any number of threads.

    Files stay open, but no more of them than leave the process enough file descriptors: the others are opened for
    each part. Of files on an object store, each part is a request.

    Raises:
        UserError: a file cannot be opened.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = [str(path) for path in paths]
        self._descriptors: list[int] = []
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE_OF_DESCRIPTORS
        for path in self._paths:
            if is_remote(path):
                continue
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise UserError(f"{path}: cannot be read: {error.strerror}") from None
            if len(self._descriptors) < most:
                self._descriptors.append(descriptor)
            else:
                os.close(descriptor)

    def __del__(self) -> None:
        for descriptor in getattr(self, "_descriptors", []):
            os.close(descriptor)

    def read(self, file: int, offset: int, length: int) -> bytes:
        """`length` bytes of file number `file`, or fewer at its end. Raises OSError if it cannot be read."""
        if is_remote(self._paths[file]):
            with as_path(self._paths[file]).open("rb", buffering=0) as stored:
                stored.seek(offset)
                return stored.read(length)
        if file < len(self._descriptors):
            return os.pread(self._descriptors[file], length, offset)
        with open(self._paths[file], "rb", buffering=0) as opened:
            return os.pread(opened.fileno(), length, offset)

    def name(self, file: int) -> str:
        """The path of file number `file`."""
        return self._paths[file]
