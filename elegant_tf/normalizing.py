"""Bringing channels to unit length, plainly and as a CPU trains it fastest."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

SQUARED_NORM_FLOOR = 1e-24


def unit(x: tf.Tensor) -> tf.Tensor:
    """`x / max(||x||, 1e-12)`, the norm taken over channels, the last axis."""
    # This form, not tf.norm: its gradient is finite at zero, and TFLite fuses it to L2_NORMALIZATION.
    return x * _inverse_length(_over_channels(x * x))


# A function of its own: what the gradient uses again is lost where a condition's branch is differentiated twice.
@tf.function(autograph=False)
def normalized(x: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """`alpha * unit(x) + beta` in fewer passes over memory, most of all backward; alpha and beta `[1]`.

    For a shape that is known, but for N, when the graph is made.
    """
    return _normalized(x, alpha, beta)


@tf.custom_gradient
def _normalized(x: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    squares = _over_channels(x * x)

    def gradient(slopes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        products = _over_channels(x * slopes)
        of_alpha = tf.reduce_sum(products * _inverse_length(squares))
        of_x = _backward(x, squares, products, alpha, slopes)
        return of_x, tf.reshape(of_alpha, [1]), tf.reshape(tf.reduce_sum(slopes), [1])

    return _forward(x, squares, alpha, beta), gradient


# XLA makes one pass of each of these; sums over channels it is slow at.
@tf.function(jit_compile=True, autograph=False)
def _forward(x: tf.Tensor, squares: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    return x * (_inverse_length(squares) * alpha) + beta


@tf.function(jit_compile=True, autograph=False)
def _backward(x: tf.Tensor, squares: tf.Tensor, products: tf.Tensor, alpha: tf.Tensor, slopes: tf.Tensor) -> tf.Tensor:
    scale = _inverse_length(squares)
    # Below the floor the result is proportional to x: nothing is lost along it.
    along = tf.where(squares > SQUARED_NORM_FLOOR, products * scale * scale, tf.zeros_like(products))
    return slopes * (scale * alpha) - x * (along * scale * alpha)


def _over_channels(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x, axis=-1, keepdims=True)


def _inverse_length(squares: tf.Tensor) -> tf.Tensor:
    return tf.math.rsqrt(tf.maximum(squares, SQUARED_NORM_FLOOR))
