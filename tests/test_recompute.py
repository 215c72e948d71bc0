"""Blocks computed again for their gradients: the same numbers, nothing kept."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.model.layers import Downsample, Normalization
from elegant_tf.model.networks import Discriminator
from elegant_tf.model.recompute import recomputed
from elegant_tf.training.build import make_learner


def make_block():
    keras.utils.set_random_seed(0)
    layers = [Downsample(3, 4, dtype="float64"), Normalization(dtype="float64")]
    calls = []

    def block(x):
        calls.append(1)
        return tf.nn.leaky_relu(layers[1](layers[0](x, training=True), training=True))

    return block, layers, calls


def slopes(block, layers, images, again):
    """First gradients of a sum over the block's result, and those of the squares of the images' gradient."""
    weights = [tf_variable(weight) for layer in layers for weight in layer.trainable_variables]
    with tf.GradientTape() as outer:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            result = recomputed(block, layers, [images]) if again else block(images)
            loss = tf.reduce_sum(tf.sin(result))
        of_images = tape.gradient(loss, images)
        penalty = tf.reduce_sum(of_images**2)
    return [result, of_images, *tape.gradient(loss, weights), *outer.gradient(penalty, weights)]


@pytest.mark.parametrize("compiled", [False, True])
def test_first_and_second_gradients_are_the_same(compiled):
    block, layers, calls = make_block()
    images = tf.random.stateless_normal([2, 8, 8, 3], (0, 0), dtype=tf.float64)

    compute = tf.function(slopes) if compiled else slopes
    expected = compute(block, layers, images, again=False)
    assert len(calls) == 1
    found = compute(block, layers, images, again=True)
    assert len(calls) >= 1 + 2
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_only_training_recomputes(monkeypatch):
    network = Discriminator(32, 2, 2)
    network.recompute = True
    asked = []
    monkeypatch.setattr(
        "elegant_tf.model.networks.recomputed", lambda block, layers, inputs: asked.append(1) or block(*inputs)
    )
    images, labels = tf.zeros([1, 32, 32, 3]), tf.zeros([1, 1, 2])
    network(images, labels)
    assert not asked
    network(images, labels, training=True)
    assert len(asked) == len(network.downs)


OPTIONS = {"precision": "float64", "cycle_weight": 1.0, "style_cycle_weight": 1.0, "r1_weight": 1.0}


@pytest.mark.usefixtures("quick_training")
@pytest.mark.parametrize(
    ("judging", "tolerance"),
    [
        ({}, 1e-12),
        (tiny.JUDGED_OTHERWISE, 1e-12),
        # Biases before it have no slope but by rounding, which Adam's first step magnifies.
        ({"discriminator_norm": "instance", "image_size": 48}, 1e-9),
    ],
    ids=["plain", "spectral", "instance"],
)
def test_an_update_with_recomputation_is_the_same(judging, tolerance):
    def trained(**options):
        keras.utils.set_random_seed(0)
        config = tiny.config(**OPTIONS, **judging, **options)
        learner = make_learner(config)
        losses = learner.update(tiny.batch(config))
        return losses, [*learner.generator.get_weights(), *learner.discriminator.get_weights()]

    (losses, weights), (expected_losses, expected) = trained(recompute=True), trained()
    for name, loss in expected_losses.items():
        assert float(losses[name]) == pytest.approx(float(loss), rel=1e-12), name
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
