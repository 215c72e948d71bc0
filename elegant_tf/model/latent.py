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


def spread(coefficients: tf.Tensor, channels: int) -> tf.Tensor:
    """Repeats each attribute's coefficient over its block: `[..., n]` to `[..., channels]`."""
    attributes = coefficients.shape[-1]
    owner = np.repeat(np.arange(attributes), np.diff(block_bounds(channels, attributes)))
    return tf.gather(coefficients, owner, axis=-1)


def exchange(code: tf.Tensor, exemplars: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
    """Edits a code: `code + sum_k w_k * (exemplar_k - code)`, the operation behind every edit.

    Args:
        code: `[N, h, w, C]`, the image being edited.
        exemplars: `[N, K, h, w, C]`, the codes to take attributes from.
        coefficients: `[N, K, n]`, w, per exemplar and attribute: 0 keeps, 1 exchanges, between interpolates, beyond
            extrapolates.

    Returns:
        `[N, h, w, C]`, the edited code.
    """
    spread_out = spread(tf.cast(coefficients, code.dtype), code.shape[-1])[:, :, None, None, :]
    return code + tf.reduce_sum(spread_out * (exemplars - code[:, None]), axis=1)
