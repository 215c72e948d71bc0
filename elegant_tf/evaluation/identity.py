"""Whether an edited picture still shows the same person: how far descriptions of it moved."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from elegant_tf.data.similarity import target_points
from elegant_tf.errors import UserError
from elegant_tf.images import resize

Describe: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Pictures uint8 RGB `[M, S, S, 3]` to vectors float `[M, D]`, near to each other for the same person."""

# The files of dlib's models, as they are published.
SHAPE_PREDICTOR, RECOGNITION_MODEL = "shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat"

_FACE_SIZE = 256  # pixels: small pictures are enlarged to it for dlib
# What dlib takes for a face, as a share of the distance between the eyes: half its side, and how far below them its
# centre is.
_HALF_SIDE, _BELOW = 1.2, 0.5


def identity_distance(before: np.ndarray, after: np.ndarray, describe: Describe) -> float:
    """How far edits moved people, as a share of how far apart people are: 0 is the same picture, 1 a stranger.

    The mean cosine distance between the descriptions of a picture before and after, divided by the mean between
    different pictures before; equal pictures there count as one person. Wanted changes move descriptions, too: where
    the right answers are known, their own distance from `before` is what a perfect edit gets, not 0.

    Args:
        before: uint8 `[M, S, S, 3]`.
        after: the same pictures edited.
        describe: `AttributeClassifier.features`, or a `FaceDescriber`.

    Raises:
        UserError: the numbers of pictures differ, or all pictures before are described alike.
    """
    if len(before) != len(after):
        raise UserError(f"{len(before)} pictures before and {len(after)} after: must be equal")
    numbers: dict[bytes, int] = {}
    people = np.array([numbers.setdefault(image.tobytes(), len(numbers)) for image in before])
    strangers = people[:, None] != people
    old, new = (_unit(describe(images)) for images in (before, after))
    apart = (1 - old @ old.T)[strangers] if len(numbers) > 1 else np.zeros(1)
    if apart.mean() < 1e-9:
        raise UserError(f"{len(before)} pictures before: give different people, two at least, to compare with")
    return float((1 - (old * new).sum(axis=1)).mean() / apart.mean())


class FaceDescriber:
    """dlib's description of faces, learned to tell people apart: aligned faces uint8 `[M, S, S, 3]` to `[M, 128]`.

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
        self._make_points = dlib.full_object_detections
        self._box = dlib.rectangle(*_face_box(_FACE_SIZE))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """float64 `[M, 128]`. Every picture is taken for an aligned face: nothing is looked for."""
        return np.array([self._describe_one(resize(image, _FACE_SIZE)) for image in images]).reshape(-1, 128)

    def _describe_one(self, image: np.ndarray) -> np.ndarray:
        return np.array(self._describe.compute_face_descriptor(image, self._find_points(image, self._box)))


def _load(make: Callable[[str], Any], path: str | os.PathLike[str]) -> Any:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file: download dlib's models from https://github.com/davisking/dlib-models")
    try:
        return make(os.fspath(path))
    except RuntimeError as error:
        raise UserError(f"{path}: is not the model of dlib that belongs here ({error})") from None


def _face_box(size: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of an aligned face, in pixels."""
    left, right = target_points(size)[:2]
    width = right[0] - left[0]
    centre = (left + right) / 2 + [0, _BELOW * width]
    return tuple(np.rint([*(centre - _HALF_SIDE * width), *(centre + _HALF_SIDE * width)]).astype(int).tolist())


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
