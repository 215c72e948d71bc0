from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.training.optimizer import FIRST_LOSS_SCALE, LOSS_SCALE_GROWTH_UPDATES, Adam, Muon, orthogonal


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


@pytest.mark.parametrize("shape", [(72, 16), (16, 72), (2, 40, 24)])
def test_directions_are_kept_and_made_equally_strong(shape):
    random = np.random.default_rng(0)
    left, values, right = np.linalg.svd(random.normal(size=shape), full_matrices=False)
    values = np.geomspace(1, 0.05, values.shape[-1]) * np.ones_like(values)
    found = orthogonal(tf.constant((left * values[..., None, :]) @ right)).numpy()
    inside = np.swapaxes(left, -1, -2) @ found @ np.swapaxes(right, -1, -2)
    strengths = np.diagonal(inside, axis1=-2, axis2=-1)
    assert strengths.min() > 0.68
    assert strengths.max() < 1.21
    np.testing.assert_allclose(inside, strengths[..., None] * np.eye(len(inside[-1])), atol=1e-6)


def test_no_gradient_makes_no_step():
    assert not orthogonal(tf.zeros((3, 4))).numpy().any()


def newton_schulz(matrix):
    """As published, on the matrix itself."""
    x = matrix / np.linalg.norm(matrix)
    x = x.T if x.shape[0] > x.shape[1] else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


KERNELS = ((3, 3, 12, 24), (3, 3, 12, 320), (3, 3, 3, 12), (24,))


def kernels(seed, dtype=tf.float64):
    random = np.random.default_rng(seed)
    return [tf.constant(random.normal(size=shape), dtype) for shape in KERNELS]


@pytest.mark.parametrize("compiled", [False, True])
def test_muon_makes_orthogonal_steps_for_hidden_kernels(compiled):
    trained, alone = ([tf.Variable(value) for value in kernels(0)] for _ in range(2))
    expected = [value.numpy() for value in trained[:2]]
    muon, adam = Muon(trained, 0.5, 0.999, 1e-2), Adam(alone[2:], 0.5, 0.999, 1e-2)
    apply = tf.function(muon.apply) if compiled else muon.apply
    momenta = [np.zeros_like(value) for value in expected]
    for t, rate in enumerate((2e-3, 2e-3, 1e-3), 1):
        apply(kernels(t), tf.constant(rate, tf.float64))
        adam.apply(kernels(t)[2:], tf.constant(rate, tf.float64))
        for i, pieces in enumerate((1, 2)):
            gradient = kernels(t)[i].numpy() + 1e-2 * expected[i]
            momenta[i] = 0.95 * momenta[i] + 0.05 * gradient
            ahead = (0.05 * gradient + 0.95 * momenta[i]).reshape(9 * 12, -1)
            steps = [0.2 * max(part.shape) ** 0.5 * newton_schulz(part) for part in np.split(ahead, pieces, axis=1)]
            expected[i] = expected[i] - rate * np.concatenate(steps, axis=1).reshape(expected[i].shape)
    for found, right in zip(trained[:2], expected, strict=True):
        np.testing.assert_allclose(found.numpy(), right, rtol=0, atol=1e-9)
    for found, right in zip(trained[2:], alone[2:], strict=True):
        np.testing.assert_array_equal(found.numpy(), right.numpy())


def test_an_overflow_leaves_muons_momentum_alone():
    trained = [tf.Variable(value) for value in kernels(0, tf.float32)]
    muon = Muon(trained, 0.5, 0.999, 0.0, loss_scaling=True)
    muon.apply(kernels(1, tf.float32), 1e-3)
    before = [variable.numpy() for variable in (*trained, *muon.momenta)]
    muon.apply([gradient * np.inf for gradient in kernels(2, tf.float32)], 1e-3)
    for old, variable in zip(before, (*trained, *muon.momenta), strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
