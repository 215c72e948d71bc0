"""The kernels that a CPU trains with against plain ones, to the second derivative, and the choice between them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.model.cpu_kernels import CpuTraining, normalize, overlap_add, patches, training_policy, unit
from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator
from elegant_tf.model.layers import Normalization

ALPHA, BETA = 0.7, -0.2

few = settings(max_examples=20)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))


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


@few
@given(st.tuples(st.integers(2, 3), st.integers(1, 3), st.integers(2, 3), st.integers(1, 5)))
def test_unit_length_is_over_channels(shape):
    x = inputs(*shape).numpy()
    np.testing.assert_allclose(unit(x), x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12), atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (3, 1, 2, 3), (2, 2, 2, 1)])
def test_training_has_the_same_values_and_derivatives(shape):
    x = inputs(*shape)
    for expected, found in zip(results(plain, x), results(normalize, x), strict=True):
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
    np.testing.assert_allclose(slope(tf.constant(True), normalize), expected, rtol=1e-9)
    np.testing.assert_array_equal(slope(tf.constant(False), normalize), [0.0])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_layer_computes_the_same_in_training_and_in_use(policy):
    layer = Normalization(dtype=training_policy(policy, gpu=False))
    x = tf.cast(inputs(2, 4, 4, 5), layer.compute_dtype)
    layer.alpha.assign([ALPHA])
    layer.beta.assign([BETA])
    trained, used = (tf.cast(layer(x, training=training), tf.float32) for training in (True, False))
    np.testing.assert_allclose(trained, used, atol=1e-6 if policy == "float32" else 1e-2)


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


def test_one_policy_decides_for_every_layer():
    for precision in ("float32", "mixed_float16", "float64"):
        assert not isinstance(training_policy(precision, gpu=True), CpuTraining)
        assert training_policy(precision, gpu=False).name == precision
    assert training_policy("mixed_bfloat16", gpu=True).compute_dtype == "bfloat16"
    for gpu in (False, True):
        policy = training_policy("float32", gpu=gpu)
        networks = Elegant(("a",), width=2, depth=2, dtype=policy), MultiScaleDiscriminator(32, 1, 2, dtype=policy)
        coders = networks[0].encoder, networks[0].decoder
        layers = [*coders[0].downs, *coders[1].ups, *networks[1].full.downs, *networks[1].half.downs]
        layers += [norm for network in (*coders, networks[1].full, networks[1].half) for norm in network.normalizations]
        assert {isinstance(layer.dtype_policy, CpuTraining) for layer in layers} == {not gpu}


def test_without_a_word_a_gpu_decides(monkeypatch):
    assert isinstance(training_policy("float32"), CpuTraining)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a device"])
    assert training_policy("float32").name == "float32"
    assert not isinstance(training_policy("float32"), CpuTraining)
