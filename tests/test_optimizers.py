from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.model.keras_versions import as_keras_3
from elegant_tf.training.optimizers import Adam, Muon, StepDecay, l2_of, make_optimizer, orthogonal


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """Given rates in turn, in float64."""

    def __init__(self, rates):
        self.rates = rates

    def __call__(self, step):
        return tf.gather(tf.constant(self.rates, tf.float64), step)


def variables(seed=0, dtype=tf.float64):
    random = np.random.default_rng(seed)
    return [tiny.variable(random.normal(size=shape), dtype.name) for shape in ((3, 2), (4,), ())]


def gradients(seed, dtype=tf.float64):
    random = np.random.default_rng(100 + seed)
    # Some tiny ones, where epsilon decides.
    return [
        tf.constant(random.normal(size=shape) * scale, dtype)
        for shape, scale in (((3, 2), 1), ((4,), 1e-7), ((), 1e-3))
    ]


def reference(values, rates, beta1, beta2):
    """PyTorch 0.3's Adam, from its paper's formulas; epsilon 1e-8 is added to the uncorrected root."""
    values = [np.array(value) for value in values]
    means, squares = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    for t, rate in enumerate(rates, 1):
        for i, gradient in enumerate(gradients(t)):
            g = gradient.numpy()
            means[i] = beta1 * means[i] + (1 - beta1) * g
            squares[i] = beta2 * squares[i] + (1 - beta2) * g * g
            step = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
            values[i] = values[i] - step * means[i] / (np.sqrt(squares[i]) + 1e-8)
    return values


@pytest.mark.parametrize("compiled", [False, True])
def test_is_pytorchs_adam(compiled):
    trained = variables()
    start = [variable.numpy() for variable in trained]
    rates = [2e-4, 2e-4, 1e-4, 3e-4, 3e-4]
    optimizer = as_keras_3(Adam(Rates(rates)))
    optimizer.build(trained)
    step = lambda grads: optimizer.apply(grads, trained)  # noqa: E731
    apply = tf.function(step) if compiled else step
    for t in range(1, len(rates) + 1):
        apply(gradients(t))
    for found, expected in zip(trained, reference(start, rates, 0.5, 0.999), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_is_keras_adam_with_its_epsilon():
    mine, theirs = variables(), variables()
    theirs_too = keras.optimizers.Adam(1e-2, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
    optimizers = as_keras_3(Adam(1e-2)), as_keras_3(theirs_too)
    for optimizer, trained in zip(optimizers, (mine, theirs), strict=True):
        for t in (1, 2, 3):
            optimizer.apply(gradients(t), trained)
    for first, second in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-6)


@pytest.mark.parametrize("make", [Adam, Muon])
def test_configuration_round_trip(make):
    optimizer = make(StepDecay(1e-3, 0.5, 10, 4, 100, 2), beta_1=0.25)
    again = type(optimizer).from_config(optimizer.get_config())
    assert (again.beta_1, again.beta_2) == (0.25, 0.999)
    assert float(again.learning_rate) == pytest.approx(1e-3)


def test_the_configuration_names_the_optimizer():
    kinds = {"adam": Adam, "muon": Muon, "adamw": keras.optimizers.AdamW}
    for kind, expected in kinds.items():
        config = tiny.config(optimizer=kind, weight_decay=0.01)
        optimizer = make_optimizer(config)
        assert type(optimizer) is expected
        assert (optimizer.weight_decay, l2_of(config)) == ((0.01, 0.0) if kind == "adamw" else (None, 0.01))
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.999)


def test_the_rate_falls_every_few_steps_of_one_update_per_attribute():
    config = tiny.config(learning_rate=1e-3, learning_rate_decay=0.5, learning_rate_decay_steps=10)
    rate = make_optimizer(config.replace(attribute_schedule="round_robin"))._learning_rate
    assert rate(0).dtype == tf.float64
    for updates, expected in ((0, 1e-3), (19, 1e-3), (20, 5e-4), (39, 5e-4), (40, 2.5e-4)):
        assert float(rate(updates)) == pytest.approx(expected, rel=1e-12)
    rate = make_optimizer(config)._learning_rate
    assert float(rate(10)) == pytest.approx(5e-4, rel=1e-12)


def test_the_rate_falls_to_zero_over_the_cooldown():
    rate = StepDecay(1e-3, 1.0, 3000, cooldown=4, steps=10, updates_per_step=2)
    for step, expected in ((0, 1e-3), (6, 1e-3), (7, 7.5e-4), (9, 2.5e-4), (10, 0.0), (11, 0.0)):
        assert float(rate(2 * step)) == pytest.approx(expected)


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
    trained, alone = ([tiny.variable(value, "float64") for value in kernels(0)] for _ in range(2))
    alone = alone[2:]
    expected = [value.numpy() for value in trained[:2]]
    rates = (2e-3, 2e-3, 1e-3)
    muon, adam = as_keras_3(Muon(Rates(rates))), as_keras_3(Adam(Rates(rates)))
    muon.build(trained)
    step = lambda grads: muon.apply(grads, trained)  # noqa: E731
    apply = tf.function(step) if compiled else step
    momenta = [np.zeros_like(value) for value in expected]
    for t, rate in enumerate(rates, 1):
        apply(kernels(t))
        adam.apply(kernels(t)[2:], alone)
        for i, pieces in enumerate((1, 2)):
            gradient = kernels(t)[i].numpy()
            momenta[i] = 0.95 * momenta[i] + 0.05 * gradient
            ahead = (0.05 * gradient + 0.95 * momenta[i]).reshape(9 * 12, -1)
            steps = [0.2 * max(part.shape) ** 0.5 * newton_schulz(part) for part in np.split(ahead, pieces, axis=1)]
            expected[i] = expected[i] - rate * np.concatenate(steps, axis=1).reshape(expected[i].shape)
    for found, right in zip(trained[:2], expected, strict=True):
        np.testing.assert_allclose(found.numpy(), right, rtol=0, atol=1e-9)
    for found, right in zip(trained[2:], alone, strict=True):
        np.testing.assert_array_equal(found.numpy(), right.numpy())
    # A kernel has a momentum, every other variable both moments, and Keras counts the updates.
    assert len(muon.variables) == 1 + 2 + 2 * 2
