from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.training.optimizer import FIRST_LOSS_SCALE, LOSS_SCALE_GROWTH_UPDATES, Adam


def variables(seed=0, dtype=tf.float64):
    random = np.random.default_rng(seed)
    return [tf.Variable(random.normal(size=shape), dtype=dtype) for shape in ((3, 2), (4,), ())]


def gradients(seed, dtype=tf.float64):
    random = np.random.default_rng(100 + seed)
    # Some tiny ones, where epsilon and L2 decide.
    return [
        tf.constant(random.normal(size=shape) * scale, dtype)
        for shape, scale in (((3, 2), 1), ((4,), 1e-7), ((), 1e-3))
    ]


def reference(values, rates, beta1, beta2, weight_decay):
    """PyTorch 0.3's Adam, from its paper's formulas; epsilon 1e-8 is added to the uncorrected root."""
    values = [np.array(value) for value in values]
    means, squares = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    for t, rate in enumerate(rates, 1):
        for i, gradient in enumerate(gradients(t)):
            g = gradient.numpy() + weight_decay * values[i]
            means[i] = beta1 * means[i] + (1 - beta1) * g
            squares[i] = beta2 * squares[i] + (1 - beta2) * g * g
            step = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
            values[i] = values[i] - step * means[i] / (np.sqrt(squares[i]) + 1e-8)
    return values


@pytest.mark.parametrize("weight_decay", [0.0, 1e-5, 0.1])
@pytest.mark.parametrize("compiled", [False, True])
def test_is_adam_with_l2(weight_decay, compiled):
    trained = variables()
    start = [variable.numpy() for variable in trained]
    optimizer = Adam(trained, 0.5, 0.999, weight_decay)
    apply = tf.function(optimizer.apply) if compiled else optimizer.apply
    rates = [2e-4, 2e-4, 1e-4, 3e-4, 3e-4]
    for t, rate in enumerate(rates, 1):
        apply(gradients(t), tf.constant(rate, tf.float64))
    for found, expected in zip(trained, reference(start, rates, 0.5, 0.999, weight_decay), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_takes_any_number_type_of_rate():
    trained = variables(dtype=tf.float32)
    optimizer = Adam(trained, 0.5, 0.999, 0.0)
    before = trained[0].numpy()
    optimizer.apply(gradients(1, tf.float32), tf.constant(0.5, tf.float64))
    # Adam's first step is the rate, whatever the gradient's size.
    np.testing.assert_allclose(np.abs(trained[0].numpy() - before), 0.5, rtol=1e-4)


def scaled(trained):
    return Adam(trained, 0.5, 0.999, 1e-5, loss_scaling=True)


def test_loss_scaling_changes_nothing_but_the_loss():
    plain, trained = variables(dtype=tf.float32), variables(dtype=tf.float32)
    Adam(plain, 0.5, 0.999, 1e-5).apply(gradients(1, tf.float32), 1e-2)
    optimizer = scaled(trained)
    assert float(optimizer.scale_loss(tf.constant(1.0))) == FIRST_LOSS_SCALE
    optimizer.apply([FIRST_LOSS_SCALE * gradient for gradient in gradients(1, tf.float32)], 1e-2)
    for first, second in zip(plain, trained, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_an_overflow_skips_the_update_and_halves_the_scale(bad, compiled):
    trained = variables(dtype=tf.float32)
    optimizer = scaled(trained)
    apply = tf.function(optimizer.apply) if compiled else optimizer.apply
    apply(gradients(1, tf.float32), 1e-2)
    state = [variable.numpy() for variable in (*trained, *optimizer.means, *optimizer.squares, *optimizer.beta_powers)]
    broken = gradients(2, tf.float32)
    broken[1] = tf.tensor_scatter_nd_update(broken[1], [[2]], [bad])
    apply(broken, 1e-2)
    after = [variable.numpy() for variable in (*trained, *optimizer.means, *optimizer.squares, *optimizer.beta_powers)]
    for first, second in zip(state, after, strict=True):
        np.testing.assert_array_equal(first, second)
    assert float(optimizer.scale) == FIRST_LOSS_SCALE / 2
    assert int(optimizer.good_updates) == 0
    apply(gradients(3, tf.float32), 1e-2)
    assert not np.array_equal(trained[0].numpy(), state[0])


def test_the_scale_grows_after_many_good_updates():
    optimizer = scaled(variables(dtype=tf.float32))
    optimizer.good_updates.assign(LOSS_SCALE_GROWTH_UPDATES - 2)
    optimizer.apply(gradients(1, tf.float32), 1e-4)
    assert float(optimizer.scale) == FIRST_LOSS_SCALE
    optimizer.apply(gradients(2, tf.float32), 1e-4)
    assert float(optimizer.scale) == 2 * FIRST_LOSS_SCALE
    assert int(optimizer.good_updates) == 0


def test_the_scale_never_falls_below_one():
    optimizer = scaled(variables(dtype=tf.float32))
    optimizer.scale.assign(1.0)
    optimizer.apply([tf.fill(gradient.shape, np.float32(np.inf)) for gradient in gradients(1, tf.float32)], 1e-4)
    assert float(optimizer.scale) == 1.0
