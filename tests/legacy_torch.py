"""Writes files of PyTorch 0.3, which can no longer be installed: a sequence of pickles, then raw data."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}


class _Storage:
    """The numbers of a tensor; its place is cpu or cuda:0."""

    def __init__(self, key: str, values: np.ndarray, place: str) -> None:
        self.key, self.values, self.place = key, values, place


class _Tensor:
    """Pickled like a tensor of 0.3: by `torch._utils._rebuild_tensor`, without gradient or hooks."""

    def __init__(self, storage: _Storage, shape: tuple[int, ...]) -> None:
        self.storage, self.shape = storage, shape

    def __reduce__(self):
        strides = tuple(int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape)))
        return torch._utils._rebuild_tensor, (self.storage, 0, self.shape, strides)


class _Pickler(pickle.Pickler):
    def persistent_id(self, found):
        if not isinstance(found, _Storage):
            return None
        kind = torch.cuda.FloatStorage if found.place.startswith("cuda") else torch.FloatStorage
        return ("storage", kind, found.key, found.place, found.values.size, None)


def save(path: Path, values: Mapping[str, np.ndarray], place: str = "cpu") -> None:
    """Writes a state dict of float32 arrays."""
    storages = [
        _Storage(str(94_000 + index), np.ascontiguousarray(value), place) for index, value in enumerate(values.values())
    ]
    tensors = OrderedDict(
        (name, _Tensor(storage, value.shape)) for (name, value), storage in zip(values.items(), storages, strict=True)
    )
    file = io.BytesIO()
    for head in (MAGIC, PROTOCOL, SYSTEM):
        pickle.dump(head, file, protocol=2)
    _Pickler(file, protocol=2).dump(tensors)
    pickle.dump([storage.key for storage in storages], file, protocol=2)
    for storage in storages:
        file.write(struct.pack("<q", storage.values.size) + storage.values.astype("<f4").tobytes())
    path.write_bytes(file.getvalue())
