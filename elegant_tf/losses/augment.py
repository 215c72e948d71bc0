"""Differentiable augmentation: what discriminators see is changed at random, so that they learn no image by heart.

Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020, with the ranges of their program. Real
and edited images alike are changed, where both sides are trained, and gradients flow through into the generator; so
the generator learns to make unchanged images.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import tensorflow as tf

from elegant_tf.losses.term import Step

LARGEST_SHIFT = 1 / 8
"""Of the side."""

CUTOUT = 1 / 2
"""Side of the square, of that of the image."""


class Augmentation:
    """Changes images as discriminators see them; without names, not at all.

    Args:
        names: any of `KINDS`, which are applied in its order.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self._kinds = [kind for name, kind in KINDS.items() if name in names]

    def __call__(self, images: tf.Tensor, groups: int, step: Step) -> tf.Tensor:
        """Changes each image by itself; the random numbers do not depend on how the batch is divided.

        Args:
            images: `[G N, S, S, 3]` in [-1, 1]: one of each example after another, then another one of each.
            groups: G.
            step: when.
        """
        if not self._kinds:
            return images
        counts = [kind.chances for kind in self._kinds]
        chances = step.uniform([tf.shape(images)[0] // groups, groups, sum(counts)], images.dtype)
        chances = tf.reshape(tf.transpose(chances, [1, 0, 2]), [-1, sum(counts)])
        for kind, drawn in zip(self._kinds, tf.split(chances, counts, axis=1), strict=True):
            images = kind.change(images, drawn)
        return images


def colour(images: tf.Tensor, chances: tf.Tensor) -> tf.Tensor:
    """Brightness, saturation and contrast of images `[N, S, S, 3]` by random numbers `[N, 3]` in [0, 1).

    Adds -0.5 to 0.5; multiplies the distance from each pixel's mean by 0 to 2, then that from the image's mean by 0.5
    to 1.5. Numbers of 0.5, 0.5 and 0.5 change nothing. Nothing is clipped.
    """
    brightness, saturation, contrast = tf.split(chances[:, None, None], 3, axis=-1)
    images += brightness - 0.5
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * (2.0 * saturation)
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return mean + (images - mean) * (contrast + 0.5)


def shift(images: tf.Tensor, chances: tf.Tensor) -> tf.Tensor:
    """Moves images `[N, S, S, 3]` by whole pixels, down and right, by random numbers `[N, 2]` in [0, 1).

    By at most 1/8 of the side either way, each number of pixels as likely; what comes in is 0.
    """
    side = images.shape[1]
    farthest = int(LARGEST_SHIFT * side + 0.5)
    # int64: GPUs keep int32 in the host's memory.
    moved = tf.cast(tf.floor(chances * (2 * farthest + 1)), tf.int64) - farthest
    sources = tf.range(side, dtype=tf.int64) - moved[..., None]
    seen = _both((sources >= 0) & (sources < side))
    rows, columns = tf.unstack(tf.clip_by_value(sources, 0, side - 1), axis=1)
    pixels = tf.reshape(rows[:, :, None] * side + columns[:, None], [-1, side * side])
    found = tf.gather(tf.reshape(images, [-1, side * side, images.shape[3]]), pixels, batch_dims=1)
    return tf.where(seen, tf.reshape(found, [-1, side, side, images.shape[3]]), tf.zeros([], images.dtype))


def cutout(images: tf.Tensor, chances: tf.Tensor) -> tf.Tensor:
    """Sets a square of images `[N, S, S, 3]` to 0, half as wide, placed by random numbers `[N, 2]` in [0, 1).

    Its middle is anywhere in the image, each place as likely; what would be outside is left out.
    """
    side = images.shape[1]
    size = int(CUTOUT * side + 0.5)
    first = tf.floor(chances * (side + 1 - size % 2))[..., None] - size // 2
    places = tf.range(side, dtype=images.dtype)
    hidden = _both((places >= first) & (places < first + size))
    return tf.where(hidden, tf.zeros([], images.dtype), images)


def _both(rows_and_columns: tf.Tensor) -> tf.Tensor:
    """Where both the row and the column are true: `[N, 2, S]` to `[N, S, S, 1]`."""
    rows, columns = tf.unstack(rows_and_columns, axis=1)
    return (rows[:, :, None] & columns[:, None])[..., None]


class Kind(NamedTuple):
    """`change(images, chances)` and the number of random numbers in [0, 1) that it takes of each image."""

    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    chances: int


KINDS: Mapping[str, Kind] = {"colour": Kind(colour, 3), "shift": Kind(shift, 2), "cutout": Kind(cutout, 2)}

UNCHANGED = Augmentation()
