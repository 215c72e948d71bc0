"""A batch computed in parts trains as the whole does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.training.build import make_learner
from elegant_tf.training.gradients import FIRST_LOSS_SCALE
from elegant_tf.training.parts import in_parts, sum_over

pytestmark = pytest.mark.usefixtures("quick_training")

EVERYTHING = {**tiny.EVERY_LOSS, "batch_size": 6, "precision": "float64"}


def trained(updates=2, **options):
    """Losses of the last update, and all weights and optimizers' variables after it."""
    config = tiny.config(**options)
    keras.utils.set_random_seed(0)
    learner = make_learner(config)
    for seed in range(updates):
        losses = learner.update(tiny.batch(config, seed))
    networks = [learner.generator, learner.discriminator, *([learner.average] if learner.average else [])]
    state = [*learner.generator_step.state, *learner.discriminator_step.state]
    values = [variable.numpy() for network in networks for variable in network.weights]
    return {name: float(loss) for name, loss in losses.items()}, [*values, *(value.numpy() for value in state)]


def largest_difference(values, expected):
    """Relative to the largest entry of each value."""
    pairs = [(a, b) for a, b in zip(values, expected, strict=True) if np.issubdtype(a.dtype, np.floating)]
    return max(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30) for a, b in pairs)


def test_a_batch_in_parts():
    assert in_parts(tf.range(6), 3).numpy().tolist() == [[0, 1], [2, 3], [4, 5]]
    assert in_parts(tf.zeros([4, 2, 5]), 2).shape == [2, 2, 2, 5]


def test_sums_over_parts():
    values = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    sums = sum_over(3, {"both": tf.zeros([2]), "count": tf.constant(0)}, lambda k: {"both": values[k], "count": k})
    assert sums["both"].numpy().tolist() == [9.0, 12.0]
    assert int(sums["count"]) == 3


@pytest.mark.parametrize("options", [{}, tiny.JUDGED_OTHERWISE], ids=["plain", "judged_otherwise"])
def test_parts_train_as_the_whole_does(options):
    both = (trained(**EVERYTHING, **options, accumulate=parts) for parts in (3, 1))
    (losses, values), (expected_losses, expected) = both
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    assert largest_difference(values, expected) < 1e-12


def test_a_loss_scale_applies_to_the_whole_batch():
    """An overflow in one part skips the update, and lowers the scale once."""
    config = tiny.config(precision="mixed_float16", accumulate=2)
    learner, batch = make_learner(config), tiny.batch(config)
    broken = batch["a"].numpy()
    broken[-1] = np.inf
    before = learner.generator.get_weights()
    learner.update({**batch, "a": tf.constant(broken)})
    assert all(np.array_equal(a, b) for a, b in zip(before, learner.generator.get_weights(), strict=True))
    assert float(learner.generator_step.scale) == FIRST_LOSS_SCALE / 2


@pytest.mark.parametrize(("replicas", "parts"), [(1, 3), (2, 4)])
def test_parts_that_do_not_divide_a_batch_are_refused(replicas, parts):
    with pytest.raises(UserError, match=f"--accumulate={parts}: "):
        make_learner(tiny.config(batch_size=4, accumulate=parts), replicas)
