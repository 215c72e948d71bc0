"""dlib's description of faces, for how well edits preserve identity."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.data.similarity import target_points
from elegant_tf.errors import UserError
from elegant_tf.images import resize

# The files of dlib's models, under their published names.
SHAPE_PREDICTOR, RECOGNITION_MODEL = "shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat"

_FACE_SIZE = 256  # pixels: smaller images are enlarged to it for dlib
# dlib's box of a face, in units of the distance between the eyes: half its side, and how far its centre is below them.
_HALF_SIDE, _BELOW = 1.2, 0.5


class FaceDescriber:
    """dlib's descriptors, trained to distinguish people: aligned faces uint8 `[M, S, S, 3]` to `[M, 128]`.

    Args:
        shape_predictor: dlib's file of 5 or 68 landmarks, shape_predictor_5_face_landmarks.dat.
        recognition_model: dlib's file dlib_face_recognition_resnet_model_v1.dat.

    Raises:
        UserError: dlib is not installed, or a file cannot be read.
    """

    def __init__(self, shape_predictor: str | os.PathLike[str], recognition_model: str | os.PathLike[str]) -> None:
        try:
            import dlib
        except ImportError as error:
            raise UserError(f"describing faces needs dlib: pip install 'elegant-tf[identity]' ({error})") from None
        self._find_points = _load(dlib.shape_predictor, shape_predictor)
        self._describe = _load(dlib.face_recognition_model_v1, recognition_model)
        self._box = dlib.rectangle(*_face_box(_FACE_SIZE))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """float64 `[M, 128]`. Every image is taken to be an aligned face; no face is detected."""
        return np.array([self._describe_one(resize(image, _FACE_SIZE)) for image in images]).reshape(-1, 128)

    def _describe_one(self, image: np.ndarray) -> np.ndarray:
        return np.array(self._describe.compute_face_descriptor(image, self._find_points(image, self._box)))


def load_face_describer(folder: Path) -> FaceDescriber:
    """The describer of the models in a folder, `--face_models`. Raises UserError as `FaceDescriber` does."""
    if not folder.is_dir():
        raise UserError(
            f"--face_models={folder}: no such folder; must hold dlib's {SHAPE_PREDICTOR}, {RECOGNITION_MODEL}"
        )
    return FaceDescriber(folder / SHAPE_PREDICTOR, folder / RECOGNITION_MODEL)


def _load(make: Callable[[str], Any], path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file: download dlib's models from https://github.com/davisking/dlib-models")
    try:
        return make(os.fspath(path))
    except RuntimeError as error:
        raise UserError(f"{path}: is not the dlib model that is needed here ({error})") from None


def _face_box(size: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of an aligned face, in pixels."""
    left, right = target_points(size)[:2]
    width = right[0] - left[0]
    centre = (left + right) / 2 + [0, _BELOW * width]
    return tuple(np.rint([*(centre - _HALF_SIDE * width), *(centre + _HALF_SIDE * width)]).astype(int).tolist())
