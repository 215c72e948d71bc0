"""The generator in operations that phones' GPUs take: one exemplar, at most four dimensions, sums that fit in float16.

It computes what `Elegant.edit` does, without flip test-time augmentation. Where all channels of a layer are less than
`FLOOR`, its normalization gives less than a unit vector. Layers have the name scopes `encoder_0` … and `decoder_0` …,
from the image to the code and back.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from elegant_tf.model.elegant import Elegant, apply_residual
from elegant_tf.model.latent import block_bounds
from elegant_tf.model.layers import Downsample, Normalization, Upsample
from elegant_tf.model.networks import LEAK, residual_and_mask

# GPUs compute in float16, and take what is less than its smallest normal number, 6.1e-5, for 0.
FLOOR = 1e-4


def encode(generator: Elegant, image: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The code `[1, h, w, C]` and the skips of an image `[1, S, S, 3]` in [-1, 1], in the image's dtype."""
    x, outputs = image, []
    encoder = generator.encoder
    for level, (down, normalization) in enumerate(zip(encoder.downs, encoder.normalizations, strict=True)):
        with tf.name_scope(f"encoder_{level}"):
            x = tf.nn.leaky_relu(normalize(_down(x, down), normalization), LEAK)
        outputs.append(x)
    return outputs[-1], outputs[:-1]


def edit_with_code(generator: Elegant, image: tf.Tensor, code: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
    """The edited image `[1, S, S, 3]`, by the code `[1, h, w, C]` of an exemplar and coefficients `[1, n]`."""
    own, skips = encode(generator, image)
    decoder = generator.decoder
    first, *ups = decoder.ups
    with tf.name_scope("decoder_0"):
        x = _up(tf.concat([_exchange(own, code, coefficients), own], axis=-1), first)
    levels = zip(ups, decoder.normalizations, reversed(skips), strict=True)
    for level, (up, normalization, skip) in enumerate(levels, 1):
        with tf.name_scope(f"decoder_{level}"):
            x = _up(tf.nn.relu(normalize(x, normalization)) + skip, up)
    return apply_residual(image, residual_and_mask(x)[0])


def swap(generator: Elegant, image: tf.Tensor, exemplar: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
    """The edited image `[1, S, S, 3]`, by an exemplar `[1, S, S, 3]` and coefficients `[1, n]`."""
    return edit_with_code(generator, image, encode(generator, exemplar)[0], coefficients)


def normalize(x: tf.Tensor, layer: Normalization) -> tf.Tensor:
    """The layer's result, with channels divided by the largest first: then their squares sum to between 1 and C."""
    alpha, beta = (tf.cast(value, x.dtype) for value in (layer.alpha, layer.beta))
    scaled = x / tf.maximum(tf.reduce_max(tf.abs(x), axis=-1, keepdims=True), tf.constant(FLOOR, x.dtype))
    squares = tf.reduce_sum(scaled * scaled, axis=-1, keepdims=True)
    return scaled * tf.math.rsqrt(tf.maximum(squares, tf.constant(FLOOR, x.dtype))) * alpha + beta


def _exchange(code: tf.Tensor, exemplar: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
    """`latent.exchange` of one exemplar. The coefficients spread over their blocks as a product with a constant."""
    channels, attributes = code.shape[-1], coefficients.shape[-1]
    blocks = np.repeat(np.eye(attributes), np.diff(block_bounds(channels, attributes)), axis=1)
    spread = tf.reshape(tf.matmul(coefficients, tf.constant(blocks, code.dtype)), [1, 1, 1, channels])
    return code + spread * (exemplar - code)


def _down(x: tf.Tensor, layer: Downsample) -> tf.Tensor:
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    kernel, bias = (tf.cast(value, x.dtype) for value in (layer.convolution.kernel, layer.convolution.bias))
    return tf.nn.conv2d(padded, kernel, 2, "VALID") + bias


def _up(x: tf.Tensor, layer: Upsample) -> tf.Tensor:
    _, height, width, _ = x.shape
    kernel, bias = (tf.cast(value, x.dtype) for value in (layer.convolution.kernel, layer.convolution.bias))
    shape = [1, 2 * height + 1, 2 * width + 1, layer.filters]
    return tf.nn.conv2d_transpose(x, kernel, shape, 2, "VALID")[:, 1:, 1:] + bias
