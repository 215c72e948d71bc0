"""Disturbances of images: moves, JPEG compression, blur and light. All take and give uint8 RGB `[S, S, 3]`."""

from __future__ import annotations

import cmath
import io

import numpy as np
from PIL import Image, ImageFilter

from elegant_tf.data.similarity import Similarity, warp


def about_centre(size: int, shift: complex = 0, scale: float = 1, angle: float = 0) -> Similarity:
    """Scales and turns an image of side `size` about its centre, then shifts it.

    `shift`: to the right (real) and down (imaginary), as a share of the side; `angle`: in radians, clockwise.
    """
    centre = complex(size - 1, size - 1) / 2
    factor = cmath.rect(scale, angle)
    return Similarity(factor, centre + shift * size - factor * centre)


def moved(image: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Moves an image by a similarity; border pixels are repeated beyond its edge."""
    return warp(image, similarity, *image.shape[:2])


def known(size: int, similarity: Similarity) -> np.ndarray:
    """The pixels of a moved image whose content comes from within the image, not from beyond its edge: `[S, S]`."""
    y, x = np.mgrid[:size, :size]
    places = similarity.inverse().points(np.stack([x, y], axis=-1))
    return np.asarray(((places >= 0) & (places <= size - 1)).all(axis=-1))


def jittered(image: np.ndarray, jitter: np.ndarray) -> np.ndarray:
    """Moves an image by a small similarity, as misaligned photos are.

    `jitter`: float `[4]`, the shifts to the right and down, the turn (clockwise) and the growth, all in sides of the
    image: a turn or a growth of 0.02 moves the middles of its edges by 2 % of the side.
    """
    right, down, turn, growth = jitter.tolist()
    return moved(image, about_centre(len(image), complex(right, down), 1 + 2 * growth, 2 * turn))


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Writes an image as JPEG, `quality` 1 to 95, and reads it again."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs an image by nearly a Gaussian, whose standard deviation is a share `sigma` of the side."""
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma * len(image))))


def lit(image: np.ndarray, gain: float) -> np.ndarray:
    """Multiplies the values of an image by `gain`, up to white."""
    return np.rint(np.minimum(image * gain, 255)).astype(np.uint8)
