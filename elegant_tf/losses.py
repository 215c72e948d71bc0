"""Named losses, from logits and images to scalars (means over the batch)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

RELATIVE_ERROR_FLOOR = 0.01


def swap_labels(labels: tf.Tensor, other: tf.Tensor, exchanged: tf.Tensor) -> tf.Tensor:
    """`labels` `[N, n]`, those that are `exchanged` `[N, n]` (1) taken from `other`: Y_C of Y_A, Y_D of Y_B."""
    return labels + exchanged * (other - labels)


def cross_entropy(logits: tf.Tensor, real: bool) -> tf.Tensor:
    """Mean binary cross-entropy of logits `[N, 1]` against "real" (1) or "fake" (0), stable at any logit."""
    return tf.reduce_mean(tf.math.softplus(-logits if real else logits))


def scale_sum(losses: Sequence[tf.Tensor], half_scale_weight: float) -> tf.Tensor:
    """Adds the two discriminators' losses, the half-size one weighted (0.5 `official`, 1 `paper`)."""
    full, half = losses
    return full + half_scale_weight * half


def reconstruction(images: tf.Tensor, targets: tf.Tensor, norm: str) -> tf.Tensor:
    """Mean squared (`"l2"`) or absolute (`"l1"`) difference of images `[N, S, S, 3]`, over all elements."""
    difference = images - targets
    return tf.reduce_mean(tf.square(difference) if norm == "l2" else tf.abs(difference))


def relative_error(
    images: tf.Tensor,
    targets: tf.Tensor,
    inputs: tf.Tensor,
    norm: str = "l2",
    floor: float = RELATIVE_ERROR_FLOOR,
    kept_weight: float = 1.0,
) -> tf.Tensor:
    """Mean over images `[N, S, S, 3]` of their error, in units of what the input lacks (1: nothing done).

    `mean((image - target)^2) / (mean((input - target)^2) + floor)`, or both absolute (`"l1"`), so that a smile counts
    about as much as a hat, which changes twenty times as much. The floor keeps targets that ask for next to nothing
    from counting most. Errors of pixels that the target keeps, all channels equal to the input's, count `kept_weight`.
    """
    size = tf.square if norm == "l2" else tf.abs
    error, lacking = size(images - targets), size(inputs - targets)
    if kept_weight != 1.0:
        kept = tf.constant(kept_weight, error.dtype)
        error *= tf.where(tf.reduce_any(lacking > 0, axis=-1, keepdims=True), tf.ones_like(kept), kept)
    error, lacking = (tf.reduce_mean(values, axis=[1, 2, 3]) for values in (error, lacking))
    return tf.reduce_mean(error / (lacking + floor))
