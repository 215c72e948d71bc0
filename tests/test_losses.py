from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.losses import cross_entropy, reconstruction, relative_error, scale_sum, swap_labels

few = settings(max_examples=30)


@few
@given(st.lists(st.floats(-15, 15), min_size=1, max_size=6))
def test_cross_entropy_is_that_of_probabilities(logits):
    logits = np.array(logits)[:, None]
    probabilities = 1 / (1 + np.exp(-logits))
    assert float(cross_entropy(logits, real=True)) == pytest.approx(-np.log(probabilities).mean(), rel=1e-7)
    assert float(cross_entropy(logits, real=False)) == pytest.approx(-np.log1p(-probabilities).mean(), rel=1e-5)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("logit", [1e4, -1e4, 0.0, 90.0, -90.0])
def test_cross_entropy_stays_finite_with_its_gradient(real, logit):
    logits = tf.constant([[logit]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(logits, real)
    gradient = tape.gradient(loss, logits)
    expected = max(0.0, -logit if real else logit) if logit else np.log(2)
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() <= 1


def test_scales_are_weighted():
    assert float(scale_sum([tf.constant(2.0), tf.constant(3.0)], 0.5)) == 3.5
    assert float(scale_sum([tf.constant(2.0), tf.constant(3.0)], 1.0)) == 5.0


@few
@given(st.integers(0, 2**16))
def test_reconstruction_is_a_mean_over_all_elements(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 3, 4, 4, 3))
    assert float(reconstruction(a, b, "l2")) == pytest.approx(((a - b) ** 2).mean())
    assert float(reconstruction(a, b, "l1")) == pytest.approx(np.abs(a - b).mean())
    assert float(reconstruction(a, a, "l2")) == 0


@few
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**16))
def test_swapped_labels_differ_in_what_was_exchanged(attributes, batch, seed):
    random = np.random.default_rng(seed)
    y_a, y_b, exchanged = random.integers(0, 2, (3, batch, attributes)).astype(np.float32)
    swapped = swap_labels(tf.constant(y_a), tf.constant(y_b), tf.constant(exchanged))
    np.testing.assert_array_equal(swapped, np.where(exchanged == 1, y_b, y_a))
    np.testing.assert_array_equal(swap_labels(swapped, tf.constant(y_a), tf.constant(exchanged)), y_a)


def test_relative_error_is_in_units_of_what_an_input_lacks():
    inputs = tf.zeros([2, 4, 4, 3], tf.float64)
    targets = inputs + tf.constant([0.3, 0.1], tf.float64)[:, None, None, None]
    half = relative_error(targets / 2, targets, inputs)
    assert float(half) == pytest.approx(0.25 * (0.09 / 0.10 + 0.01 / 0.02) / 2)
    by_size = relative_error(targets / 2, targets, inputs, "l1")
    assert float(by_size) == pytest.approx(0.5 * (0.3 / 0.31 + 0.1 / 0.11) / 2)
    low = relative_error(targets / 2, targets, inputs, floor=0.001)
    assert float(low) == pytest.approx(0.25 * (0.09 / 0.091 + 0.01 / 0.011) / 2)
    assert float(relative_error(targets, targets, inputs)) == 0.0
    assert np.isfinite(relative_error(targets, inputs, inputs))


@pytest.mark.parametrize(("norm", "error"), [("l1", 0.1), ("l2", 0.01)])
def test_errors_where_the_target_keeps_the_input_count_less_on_demand(norm, error):
    inputs = np.zeros([1, 4, 4, 3])
    targets = inputs.copy()
    targets[:, :2, :, 1] = 0.4  # One channel of eight pixels: all of their channels count in full.
    lacking = 0.4 / 6 if norm == "l1" else 0.16 / 6

    def relative(images, kept_weight):
        return float(relative_error(*map(tf.constant, (images, targets, inputs)), norm, 0.01, kept_weight))

    in_changed, in_kept = targets.copy(), targets.copy()
    in_changed[:, :2] += 0.1
    in_kept[:, 2:] -= 0.1
    for kept_weight in (1.0, 0.25, 0.0):
        assert relative(in_changed, kept_weight) == pytest.approx(error / 2 / (lacking + 0.01))
        assert relative(in_kept, kept_weight) == pytest.approx(kept_weight * error / 2 / (lacking + 0.01))
