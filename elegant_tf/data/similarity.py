"""The alignment of faces: a rotation, a scale and a shift map their five points to those of a mean face.

Own code: NumPy and Pillow do it in a few lines, where OpenCV or scikit-image would be one more package to install.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from elegant_tf.errors import UserError

# The authors' mean face, in the order of `landmarks.POINTS`, and their scale: pupils 70 px apart at 256 px.
MEAN_FACE = (
    (-0.17607, -0.172844),
    (0.1736, -0.17356),
    (-0.00182, 0.0357164),
    (-0.14617, 0.20185),
    (0.14496, 0.19943),
)
_RATIO = 70 / (256 * 0.34967)
_RATIO_Y = (MEAN_FACE[0][1] * _RATIO + 0.5) * 2.42  # the pupils' height divides the image 1 : 1.42

_MARGIN = 3  # pixels around the sampled area, for the bicubic filter


def target_points(size: int) -> np.ndarray:
    """The five points of an aligned face with this side: float64 `[5, 2]`, x and y in pixels."""
    x, y = np.array(MEAN_FACE).T
    return np.stack([(x * _RATIO + 0.5) * size, (y * _RATIO + 0.5) * size / _RATIO_Y], axis=1)


@dataclass(frozen=True)
class Similarity:
    """z → scale·z + shift on complex numbers x + iy: rotates, scales and moves, but never mirrors.

    Coordinates are pixels; those of a pixel's centre are integers.
    """

    scale: complex
    shift: complex

    def points(self, points: np.ndarray) -> np.ndarray:
        """Maps points `[..., 2]`, to float64."""
        moved = self.scale * _complex(points) + self.shift
        return np.stack([moved.real, moved.imag], axis=-1)

    def inverse(self) -> Similarity:
        """The inverse map."""
        return Similarity(1 / self.scale, -self.shift / self.scale)


def fit(points: np.ndarray, targets: np.ndarray) -> Similarity:
    """The similarity that maps points to targets, both `[P, 2]`, with the least squared error.

    Raises UserError if the points coincide or are not finite.
    """
    where = f"landmarks {np.round(points, 1).tolist()}"
    if not np.isfinite(points).all():
        raise UserError(f"{where}: expected five points of a face")
    z, w = _complex(points), _complex(targets)
    centred = z - z.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if spread < 1e-6 * len(z):
        raise UserError(f"{where}: expected points apart from each other")
    scale = complex(np.sum(centred.conj() * (w - w.mean())) / spread)
    if abs(scale) < 1e-9:
        raise UserError(f"{where}: expected five points of a face")
    return Similarity(scale, complex(w.mean() - scale * z.mean()))


def align(image: np.ndarray, points: np.ndarray, size: int) -> tuple[np.ndarray, Similarity]:
    """Aligns a face by its five points `[5, 2]`.

    Args:
        image: uint8 RGB `[H, W, 3]`.
        points: x and y in pixels, in the order of `landmarks.POINTS`.
        size: side S of the result.

    Returns:
        The face, uint8 RGB `[S, S, 3]`, with border pixels repeated beyond the image's edge; and the similarity from
        the image to the face.

    Raises:
        UserError: the points cannot be the five points of a face.
    """
    similarity = fit(points, target_points(size))
    return warp(image, similarity, size, size), similarity


def warp(image: np.ndarray, similarity: Similarity, width: int, height: int) -> np.ndarray:
    """Moves an image by a similarity.

    The image is averaged over blocks if it shrinks, then sampled bicubically; border pixels are repeated beyond the
    edge.

    Args:
        image: uint8 `[H, W, 3]`, or float32 `[H, W, C]` with any values.
        similarity: from the image to the result.
        width: of the result in pixels.
        height: of the result in pixels.

    Returns:
        The same dtype and channels, `[height, width, C]`.
    """
    back = similarity.inverse()
    reduction = max(1, int(abs(back.scale)))
    piece, left, top = _piece(image, back, width, height, _MARGIN * reduction)
    # In Pillow's coordinates, integers are edges of pixels, not centres: converts both ways.
    half = 0.5 + 0.5j
    scale = back.scale / reduction
    shift = (back.shift - back.scale * half + half - complex(left, top)) / reduction
    data = (scale.real, -scale.imag, shift.real, scale.imag, scale.real, shift.imag)

    def sample(plane: np.ndarray) -> np.ndarray:
        source = Image.fromarray(plane)
        if reduction > 1:
            source = source.reduce(reduction)
        return np.array(source.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC))

    if image.dtype == np.uint8:
        return sample(piece)
    return np.stack([sample(plane) for plane in np.moveaxis(piece, -1, 0)], axis=-1)  # Pillow's floats have no colours


def paste(face: np.ndarray, image: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Puts an aligned, perhaps edited, face back into its image: a new uint8 `[H, W, 3]`.

    `face`: uint8 `[S, S, 3]`; `image`: the image that it was aligned from, uint8 `[H, W, 3]`; `similarity`: from the
    image to the face.
    """
    height, width = image.shape[:2]
    back = similarity.inverse()
    y, x = np.mgrid[:height, :width]
    places = similarity.points(np.stack([x, y], axis=-1))
    inside = np.all((places >= 0) & (places <= face.shape[0] - 1), axis=-1)[..., None]
    return np.where(inside, warp(face, back, width, height), image)


def _piece(image: np.ndarray, back: Similarity, width: int, height: int, margin: int) -> tuple[np.ndarray, int, int]:
    """The part of the image that is sampled, with its border repeated beyond the edge, and its left and top."""
    corners = back.points(np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]))
    left, top = np.floor(corners.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + margin + 1
    columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
    return image[rows[:, None], columns], left, top


def _complex(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return points[..., 0] + 1j * points[..., 1]
