"""Exported models as editors of images: TFLite files, and SavedModels for TF Serving."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.export.litert import load_signature, read_metadata
from elegant_tf.files import reason
from elegant_tf.images import to_float, to_uint8
from elegant_tf.remote import as_path

METADATA_FILE = "metadata.json"
_TOGETHER = 16  # images that a SavedModel edits at once


class WrittenModel(ABC):
    """An exported model.

    Attributes:
        path: the file, or the directory of a SavedModel's version.
        metadata: `savedmodel.describe` of the run that it was written from.
        attributes: the n attributes that can be moved, by name.
        image_size: S.
        step: the training step of the weights.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self.path, self.metadata = path, metadata
        self.attributes = tuple(metadata["attributes"])
        self.image_size, self.step = int(metadata["image_size"]), int(metadata["step"])

    @property
    def config(self) -> Config:
        """The configuration of the run that it was written from, at the model's image size."""
        if "config" not in self.metadata:
            raise UserError(f"{self.path}: an older version wrote it, without the run's configuration; export it again")
        return Config.from_groups(self.metadata["config"]).replace(image_size=self.image_size)

    @property
    def megabytes(self) -> float:
        """The size on disk, in 1e6 bytes."""
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files) / 1e6

    @abstractmethod
    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Edits as `Editor.edit` does, but of arrays of the model's size, with one exemplar for each image.

        Args:
            images: uint8 `[N, S, S, 3]`.
            exemplars: uint8 `[N, 1, S, S, 3]`.
            coefficients: `[N, 1, n]`.

        Returns:
            uint8 `[N, S, S, 3]`.
        """


class TFLiteModel(WrittenModel):
    """A TFLite file, run by LiteRT on the CPU."""

    def __init__(self, path: Path, threads: int = 2) -> None:
        super().__init__(path, read_metadata(path))
        self._swap = load_signature(path, "swap", threads)

    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        edited = np.empty(images.shape, np.uint8)
        for row in range(len(images)):
            made = self._swap(
                image=to_float(images[row : row + 1]),
                exemplar=to_float(exemplars[row]),
                weights=coefficients[row].astype(np.float32),
            )
            edited[row] = to_uint8(made["edited"][0])
        return edited


class SavedModel(WrittenModel):
    """A SavedModel, run by TensorFlow."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _read_asset(path))
        import tensorflow as tf  # not needed for TFLite files

        try:
            self._module = tf.saved_model.load(str(path))
            self._edit = self._module.signatures["edit"]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise UserError(f"{path}: cannot be loaded as an exported model ({error})") from error

    def edit(self, images: np.ndarray, exemplars: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        edited = np.empty(images.shape, np.uint8)
        for start in range(0, len(images), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            inputs = {"images": to_float(images[part]), "exemplars": to_float(exemplars[part])}
            made = self._edit(**inputs, weights=coefficients[part].astype(np.float32))
            edited[part] = to_uint8(made["edited"].numpy())
        return edited


def open_model(path: str | os.PathLike[str], threads: int = 2) -> WrittenModel:
    """The exported model in a file or directory.

    Args:
        path: a TFLite file, the directory of a SavedModel's version, or the directory of its versions, of which the
            newest is taken.
        threads: for a TFLite file.

    Raises:
        UserError: there is none, it cannot be read, or another program wrote it.
    """
    path = as_path(path)
    if not path.is_dir():
        return TFLiteModel(path, threads)
    if (path / "saved_model.pb").is_file():
        return SavedModel(path)
    versions = [entry for entry in path.iterdir() if entry.name.isdigit() and (entry / "saved_model.pb").is_file()]
    if not versions:
        right = "a .tflite file, or a folder that `elegant-tf export` wrote"
        raise UserError(f"{path}: holds no SavedModel; expected {right}")
    return SavedModel(max(versions, key=lambda entry: int(entry.name)))


def _read_asset(path: Path) -> dict[str, Any]:
    try:
        return json.loads((path / "assets" / METADATA_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else error
        text = f"{path}: `elegant-tf export` did not write it: cannot read assets/{METADATA_FILE} ({why})"
        raise UserError(text) from error
