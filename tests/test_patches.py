from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.patches import overlap_add, patches

few = settings(max_examples=20)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))


def random(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).normal(size=shape))


@few
@given(shapes)
def test_patches_are_what_a_padded_kernel_sees(shape):
    n, h, w, channels = shape
    x = random(n, 2 * h, 2 * w, channels)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    found = patches(x).numpy()
    assert found.shape == (n, h, w, 9 * channels)
    for i in range(h):
        for j in range(w):
            seen = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_array_equal(found[:, i, j], seen.reshape(n, -1))


@few
@given(shapes)
def test_each_is_the_others_transpose(shape):
    n, h, w, channels = shape
    x, taps = random(n, 2 * h, 2 * w, channels), random(n, h, w, 9 * channels)
    assert float(tf.reduce_sum(patches(x) * taps)) == pytest.approx(float(tf.reduce_sum(x * overlap_add(taps))))


@few
@given(shapes)
def test_gradients_are_the_transposes(shape):
    n, h, w, channels = shape
    x, taps = random(n, 2 * h, 2 * w, channels), random(n, h, w, 9 * channels)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, taps])
        seen = tf.reduce_sum(patches(x) * taps)
        added = tf.reduce_sum(overlap_add(taps) * x)
    np.testing.assert_allclose(tape.gradient(seen, x), overlap_add(taps), atol=1e-12)
    np.testing.assert_allclose(tape.gradient(added, taps), patches(x), atol=1e-12)


def test_results_and_gradients_of_other_types():
    x, taps = random(1, 4, 6, 2), tf.cast(random(1, 2, 3, 18), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, taps])
        seen, added = patches(x, "float32"), overlap_add(taps, tf.float64)
        total = tf.reduce_sum(seen * taps)
        more = tf.reduce_sum(added * x)
    assert (seen.dtype, added.dtype) == (tf.float32, tf.float64)
    for value, gradient, wanted in (
        (x, tape.gradient(total, x), added),
        (taps, tape.gradient(more, taps), seen),
    ):
        assert gradient.dtype == value.dtype
        np.testing.assert_allclose(gradient, wanted, atol=1e-6)


def test_gradients_have_gradients():
    x, taps = random(1, 4, 6, 2), random(1, 2, 3, 18)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([x, taps])
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([x, taps])
            seen, added = tf.reduce_sum(patches(x) ** 2 * taps), tf.reduce_sum(overlap_add(taps) ** 2 * x)
        slope, other = inner.gradient(seen, x), inner.gradient(added, taps)
        total, more = tf.reduce_sum(slope**2), tf.reduce_sum(other**2)
    # Each slope is 2 U(P(x) t), or 2 P(U(t) x), with P and U the two maps, each the other's transpose.
    np.testing.assert_allclose(outer.gradient(total, taps), 4 * patches(x) * patches(slope), atol=1e-9)
    np.testing.assert_allclose(outer.gradient(more, x), 4 * overlap_add(taps) * overlap_add(other), atol=1e-9)
