"""A 3x3 stride-2 convolution's two halves as linear maps, each the other's gradient.

With them both directions are a matrix product, on a CPU far faster to train than oneDNN's transposed convolution and
its gradients: `down(x) = patches(x) K` and `up(x) = overlap_add(x K')`.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf


def patches(images: tf.Tensor, dtype: tf.DType | str | None = None) -> tf.Tensor:
    """What the kernel sees at each place, with a zero pixel of padding: `[N, 2h, 2w, C]` to `[N, h, w, 9C]`.

    Height, width and channels must be known when the graph is made; the nine taps go row by row.

    `dtype`: of the result, if not that of the images.
    """

    @tf.custom_gradient
    def transposable(images: tf.Tensor) -> tf.Tensor:
        return _patches(tf.cast(images, dtype or images.dtype)), lambda taps: overlap_add(taps, images.dtype)

    return transposable(images)


def overlap_add(taps: tf.Tensor, dtype: tf.DType | str | None = None) -> tf.Tensor:
    """The transpose of `patches`, which adds up what each pixel gets: `[N, h, w, 9C]` to `[N, 2h, 2w, C]`.

    `dtype`: of the sums, if not that of the taps.
    """

    @tf.custom_gradient
    def transposable(taps: tf.Tensor) -> tf.Tensor:
        return _overlap_add(taps, tf.as_dtype(dtype or taps.dtype)), lambda images: patches(images, taps.dtype)

    return transposable(taps)


def _patches(images: tf.Tensor) -> tf.Tensor:
    _, height, width, channels = images.shape
    pixels = tf.pad(tf.reshape(images, [-1, height * width, channels]), [[0, 0], [0, 1], [0, 0]])
    # One gather: nine strided slices would cost more than the matrix product.
    gathered = tf.gather(pixels, _pixel_numbers(height, width), axis=1)
    return tf.reshape(gathered, [-1, height // 2, width // 2, 9 * channels])


@functools.lru_cache
def _pixel_numbers(height: int, width: int) -> np.ndarray:
    """The pixel under each tap of each patch, int32 `[h * w * 9]`; `height * width` is the padding."""
    row, column, i, j = np.meshgrid(*map(np.arange, (height // 2, width // 2, 3, 3)), indexing="ij")
    y, x = (
        2 * row + i - 1,
        2 * column + j - 1,
    )  # Sizes are even: only the first row and column of padding are seen.
    return np.where((y < 0) | (x < 0), height * width, y * width + x).astype(np.int32).ravel()


# XLA makes one pass of all these sums; it would slow down the gather above, and the update as a whole.
@tf.function(jit_compile=True, autograph=False)
def _overlap_add(taps: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    _, height, width, depth = taps.shape
    channels, taps = depth // 9, tf.cast(taps, dtype)
    tap = [tf.split(row, 3, axis=-1) for row in tf.split(taps, 3, axis=-1)]

    def from_below(x: tf.Tensor) -> tf.Tensor:
        return tf.pad(x[:, 1:], [[0, 0], [0, 1], [0, 0], [0, 0]])

    def from_right(x: tf.Tensor) -> tf.Tensor:
        return tf.pad(x[:, :, 1:], [[0, 0], [0, 0], [0, 1], [0, 0]])

    even_row = [tap[1][1], tap[1][2] + from_right(tap[1][0])]
    odd_row = [
        tap[2][1] + from_below(tap[0][1]),
        tap[2][2] + from_right(tap[2][0]) + from_below(tap[0][2] + from_right(tap[0][0])),
    ]
    rows = tf.stack([tf.stack(even_row, axis=3), tf.stack(odd_row, axis=3)], axis=2)
    return tf.reshape(rows, [-1, 2 * height, 2 * width, channels])
