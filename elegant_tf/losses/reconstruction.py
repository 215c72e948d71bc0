"""Losses of the images themselves: what decoding an unchanged code loses, and how much and where an edit changes."""

from __future__ import annotations

import tensorflow as tf

from elegant_tf.losses.term import Batch, Generated, Step, Weight
from elegant_tf.model.elegant import Elegant


class Reconstruction:
    """A and B, decoded from their own codes, should be A and B again.

    `MSE(A1, A) + MSE(B1, B)` (`official`), or mean absolute errors (`paper`: ||A - A'|| + ||B - B'||).

    Args:
        weight: 5 (`official`) or 1 (`paper`).
        norm: `l2` or `l1`.
    """

    name = "reconstruction"

    def __init__(self, weight: Weight = 5.0, norm: str = "l2") -> None:
        self.weight = weight
        self._size = tf.square if norm == "l2" else tf.abs

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        return 2.0 * tf.reduce_mean(self._size(generated.reconstructed - generated.images))


class Residual:
    """The mean absolute residual of edited images: an edit should change no more than it must."""

    name = "residual"

    def __init__(self, weight: Weight) -> None:
        self.weight = weight

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        return tf.reduce_mean(tf.abs(generated.residuals))


class Mask:
    """The mean mask of edited images: an edit should change no more places than it must."""

    name = "mask"

    def __init__(self, weight: Weight) -> None:
        self.weight = weight

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        return tf.reduce_mean(generated.masks)
