"""Attribute blocks of a latent code and the one operation that edits it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def block_bounds(channels: int, attributes: int) -> np.ndarray:
    """Borders of the attributes' channel blocks, int `[attributes + 1]`.

    Block i is channels `bounds[i]` to `bounds[i + 1]`, with `bounds[i] = rint(channels * i / attributes)`,
    half to even, as the authors' program cuts them. Blocks may differ by one channel.
    """
    return np.rint(np.linspace(0, channels, attributes + 1)).astype(int)


def spread(weights: tf.Tensor, channels: int) -> tf.Tensor:
    """Repeats each attribute's weight over its block: `[..., n]` to `[..., channels]`."""
    attributes = weights.shape[-1]
    owner = np.repeat(np.arange(attributes), np.diff(block_bounds(channels, attributes)))
    return tf.gather(weights, owner, axis=-1)


def exchange(code: tf.Tensor, exemplars: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Edits a code: `code + sum_k w_k * (exemplar_k - code)`, the operation behind every edit.

    Args:
        code: `[N, h, w, C]`, the image being edited.
        exemplars: `[N, K, h, w, C]`, the codes to take attributes from.
        weights: `[N, K, n]`, per exemplar and attribute: 0 keeps, 1 exchanges, between interpolates, beyond
            extrapolates.

    Returns:
        `[N, h, w, C]`, the edited code.
    """
    channel_weights = spread(tf.cast(weights, code.dtype), code.shape[-1])[:, :, None, None, :]
    return code + tf.reduce_sum(channel_weights * (exemplars - code[:, None]), axis=1)
