"""Channels of unit length, and the way in which a CPU trains them against the plain one, to the second derivative."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.layers import Normalization
from elegant_tf.normalizing import normalized, unit

ALPHA, BETA = 0.7, -0.2


def inputs(*shape):
    """Numbers, of which some places hold nothing or next to nothing."""
    x = np.random.default_rng(3).normal(size=shape)
    x[0, 0, 0] = 0.0
    x[0, -1, -1] *= 1e-14
    return tf.constant(x)


def plain(x, alpha, beta):
    return unit(x) * alpha + beta


def results(normalize, x):
    """The value, its derivatives by all three, and the slope by alpha and by a part of x of their squares' sum."""
    values = (x, tf.constant([ALPHA], x.dtype), tf.constant([BETA], x.dtype))
    slopes = tf.reshape(tf.cos(tf.range(tf.size(x), dtype=x.dtype)), x.shape)
    with tf.GradientTape(persistent=True) as second:
        second.watch(values)
        with tf.GradientTape() as first:
            first.watch(values)
            y = normalize(*values)
        derivatives = first.gradient(y, values, output_gradients=slopes)
        # Where x is next to nothing its derivatives are huge.
        size = tf.reduce_sum(tf.square(derivatives[0][1:])) + tf.reduce_sum(tf.square(derivatives[1]))
    return [y, *derivatives, second.gradient(size, values[1]), second.gradient(size, x)[1:]]


@settings(max_examples=10, deadline=None)
@given(st.tuples(st.integers(2, 3), st.integers(1, 3), st.integers(2, 3), st.integers(1, 5)))
def test_unit_length_is_over_channels(shape):
    x = inputs(*shape).numpy()
    np.testing.assert_allclose(unit(x), x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12), atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (3, 1, 2, 3), (2, 2, 2, 1)])
def test_training_has_the_same_values_and_derivatives(shape):
    x = inputs(*shape)
    for expected, found in zip(results(plain, x), results(normalized, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_derivatives_of_a_slope_within_a_condition():
    """The discriminators' penalty is one, in some updates only."""
    x, alpha = inputs(2, 3, 3, 4)[1:], tf.Variable([ALPHA], dtype=tf.float64)
    beta = tf.constant([BETA], tf.float64)

    def penalty(normalize):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(normalize(x, tf.convert_to_tensor(alpha), beta) ** 3)
        return tf.reduce_sum(tf.square(tape.gradient(y, x)))

    @tf.function
    def slope(due, normalize):
        with tf.GradientTape() as tape:
            value = tf.cond(due, lambda: penalty(normalize), lambda: tf.zeros([], tf.float64))
        return tape.gradient(value, alpha)

    expected = slope(tf.constant(True), plain)
    assert abs(expected.numpy()[0]) > 1
    np.testing.assert_allclose(slope(tf.constant(True), normalized), expected, rtol=1e-9)
    np.testing.assert_array_equal(slope(tf.constant(False), normalized), [0.0])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_layer_in_training_does_as_in_use(policy):
    layer = Normalization(dtype=policy)
    x = tf.cast(inputs(2, 4, 4, 5), layer.compute_dtype)
    layer.build(x.shape)
    layer.alpha.assign([ALPHA])
    layer.beta.assign([BETA])
    trained, used = (tf.cast(layer(x, training=training), tf.float32) for training in (True, False))
    np.testing.assert_allclose(trained, used, atol=1e-6 if policy == "float32" else 1e-2)
