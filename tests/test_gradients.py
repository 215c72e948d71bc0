"""From a loss to a step: L2, loss scaling, and any Keras optimizer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf
import tiny

from elegant_tf.training.gradients import FIRST_LOSS_SCALE, LOSS_SCALE_GROWTH_UPDATES, GradientStep


def variables(dtype="float32"):
    random = np.random.default_rng(0)
    return [tiny.variable(random.normal(size=shape), dtype) for shape in ((3, 2), (4,), ())]


def values(trained):
    return [np.array(variable) for variable in trained]


def loss_of(step, factor=1.0):
    """A tape that has recorded `factor * sum(v^2)` over all variables, and that loss."""
    with tf.GradientTape() as tape:
        loss = factor * tf.add_n([tf.reduce_sum(tf.square(variable)) for variable in step.variables])
    return tape, loss


def take(step, factor=1.0, compiled=False):
    def one():
        step(*loss_of(step, factor))

    (tf.function(one) if compiled else one)()


def test_a_step_descends_the_gradient_and_the_l2():
    trained = variables("float64")
    start = values(trained)
    take(GradientStep(trained, keras.optimizers.SGD(0.1), l2=0.5))
    for before, after in zip(start, values(trained), strict=True):
        np.testing.assert_allclose(after, before - 0.1 * (2 + 0.5) * before, rtol=1e-7)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Lion", "RMSprop"])
def test_any_keras_optimizer_moves_every_variable(name):
    trained = variables()
    step = GradientStep(trained, getattr(keras.optimizers, name)(1e-2))
    start = values(trained)
    take(step, compiled=True)
    assert not any(np.array_equal(a, b) for a, b in zip(start, values(trained), strict=True))
    assert len(step.state) >= 1 + len(trained)


@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_loss_scaling_changes_nothing_but_the_scale(l2):
    plain, trained = variables(), variables()
    take(GradientStep(plain, keras.optimizers.SGD(0.1), l2=l2))
    step = GradientStep(trained, keras.optimizers.SGD(0.1), l2=l2, loss_scaling=True)
    assert float(step.scale) == FIRST_LOSS_SCALE
    take(step)
    for first, second in zip(plain, trained, strict=True):
        np.testing.assert_allclose(np.array(first), np.array(second), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_overflow_skips_the_update_and_halves_the_scale(bad, compiled):
    trained = variables()
    step = GradientStep(trained, keras.optimizers.Adam(1e-2), loss_scaling=True)
    take(step, compiled=compiled)
    state = [*values(trained), *(variable.numpy() for variable in step.optimizer.variables)]
    take(step, bad, compiled)
    after = [*values(trained), *(variable.numpy() for variable in step.optimizer.variables)]
    for first, second in zip(state, after, strict=True):
        np.testing.assert_array_equal(first, second)
    assert float(step.scale) == FIRST_LOSS_SCALE / 2
    assert int(step.good_updates) == 0
    take(step, compiled=compiled)
    assert not np.array_equal(np.array(trained[0]), state[0])


def test_the_scale_grows_after_many_good_updates_and_never_falls_below_one():
    step = GradientStep(variables(), keras.optimizers.SGD(1e-4), loss_scaling=True)
    step.good_updates.assign(LOSS_SCALE_GROWTH_UPDATES - 2)
    take(step)
    assert float(step.scale) == FIRST_LOSS_SCALE
    take(step)
    assert (float(step.scale), int(step.good_updates)) == (2 * FIRST_LOSS_SCALE, 0)
    step.scale.assign(1.0)
    take(step, np.inf)
    assert float(step.scale) == 1.0


def test_an_overflow_on_one_replica_skips_the_update_on_both():
    found = replicas.run("overflow")  # in a process with two CPU devices
    np.testing.assert_array_equal(found["bad/weights"], np.ones((2, 3)))
    np.testing.assert_array_equal(found["bad/scales"], [FIRST_LOSS_SCALE / 2] * 2)
    np.testing.assert_allclose(found["good/weights"], 0.5 * np.ones((2, 3)))
    np.testing.assert_array_equal(found["good/scales"], [FIRST_LOSS_SCALE / 2] * 2)
