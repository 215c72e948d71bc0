"""Random changes to images before discriminators see them."""

from __future__ import annotations

import tensorflow as tf


def random_shift(images: tf.Tensor, pixels: int, seed: tf.Tensor) -> tf.Tensor:
    """Shifts every image of `[N, S, S, C]` by -pixels to pixels, down and right, each by its own whole number.

    What comes in at the edges is mirrored. Differentiable. The same for the same `seed`, int `[2]`. Without it
    discriminators look for pixels at their places, and generators learn to please with specks there (after Zhao et
    al., Differentiable Augmentation for Data-Efficient GAN Training, 2020: their translation).
    """
    count, size = tf.shape(images)[0], tf.shape(images)[1]
    shifts = tf.random.stateless_uniform([2, count, 1], seed, 0, 2 * pixels + 1, tf.int32)
    padded = tf.pad(images, [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]], "REFLECT")
    rows, columns = tf.unstack(shifts + tf.range(size))
    shifted = tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
    return tf.ensure_shape(shifted, images.shape)
