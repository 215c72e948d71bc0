"""Spectral normalization: kernels of largest singular value 1, and a state that training moves once an update."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from elegant_tf.losses.adversarial import cross_entropy
from elegant_tf.model.cpu_kernels import training_policy
from elegant_tf.model.elegant import MultiScaleDiscriminator
from elegant_tf.model.layers import Downsample
from elegant_tf.model.spectral import Spectral, SpectralDense, SpectralDownsample
from elegant_tf.training.build import make_learner
from elegant_tf.training.optimizers import Muon


def largest(kernel):
    return np.linalg.norm(np.reshape(kernel, [-1, kernel.shape[-1]]), 2)


def make(kind=SpectralDownsample, dtype="float64", shape=(5, 7)):
    keras.utils.set_random_seed(0)
    return kind(*shape, dtype=dtype)


def spectral_layers(network):
    return [layer for scale in (network.full, network.half) for layer in (*scale.downs, scale.dense)]


@pytest.mark.parametrize("kind", [SpectralDownsample, SpectralDense])
def test_the_iteration_finds_the_largest_singular_value(kind):
    layer = make(kind)
    for _ in range(20):
        layer.iterate()
    assert largest(layer.normalized_kernel()) == pytest.approx(1.0, rel=1e-9)
    assert float(tf.norm(layer.direction.value)) == pytest.approx(1.0, rel=1e-12)


def test_calls_leave_the_state_alone():
    layer = make()
    before = layer.direction.numpy()
    layer(tf.zeros([1, 4, 4, 5], tf.float64), training=True)
    np.testing.assert_array_equal(layer.direction.numpy(), before)
    layer.iterate()
    assert not np.array_equal(layer.direction.numpy(), before)


def test_a_kernel_of_zeros_stays_finite():
    layer = make()
    layer.kernel.assign(tf.zeros_like(layer.kernel.value))
    layer.iterate()
    assert np.abs(layer.normalized_kernel()).max() == 0.0
    assert np.isfinite(layer.direction.numpy()).all()


@pytest.mark.parametrize("processor", ["CPU", "GPU"])
@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_convolution_with_the_normalized_kernel(processor, training):
    policy = training_policy("float64", gpu=processor == "GPU")
    layer, plain = make(dtype=policy), Downsample(5, 7, dtype=policy)
    plain.convolution.kernel.assign(layer.normalized_kernel())
    plain.convolution.bias.assign(layer.bias.value)
    x = tf.random.stateless_normal([2, 6, 8, 5], (0, 0), dtype=tf.float64)
    np.testing.assert_allclose(layer(x, training=training), plain(x, training=training), atol=1e-12)


def test_the_dense_layer_is_the_product_with_the_normalized_kernel():
    layer = make(SpectralDense)
    layer.bias.assign(np.arange(7.0))
    x = tf.random.stateless_normal([3, 5], (0, 0), dtype=tf.float64)
    np.testing.assert_allclose(layer(x), x @ layer.normalized_kernel() + np.arange(7.0), atol=1e-12)


@pytest.mark.parametrize("processor", ["CPU", "GPU"])
def test_gradients_are_the_slopes_where_the_state_stays(processor):
    layer = make(dtype=training_policy("float64", gpu=processor == "GPU"))
    layer.iterate()
    x = tf.random.stateless_normal([2, 4, 4, 5], (0, 1), dtype=tf.float64)

    def value():
        return tf.reduce_sum(tf.sin(layer(x, training=True)))

    with tf.GradientTape() as tape:
        loss = value()
    slope = tape.gradient(loss, layer.kernel.value)
    start, direction, size = layer.kernel.numpy(), np.random.default_rng(0).normal(size=layer.kernel.shape), 1e-6
    ends = []
    for sign in (1, -1):
        layer.kernel.assign(start + sign * size * direction)
        ends.append(float(value()))
    assert float(tf.reduce_sum(slope * direction)) == pytest.approx((ends[0] - ends[1]) / (2 * size), rel=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_norms_are_of_float32(policy):
    layer, exact = make(dtype=policy), make(dtype="float32")
    for one in (layer, exact):
        one.iterate()
    np.testing.assert_array_equal(layer.normalized_kernel(), exact.normalized_kernel())
    x = tf.random.stateless_normal([2, 4, 4, 5], (0, 0))
    assert layer(x).dtype == layer.compute_dtype
    np.testing.assert_allclose(tf.cast(layer(x), tf.float32), exact(x), atol=0.05)


@pytest.mark.parametrize("kind", [SpectralDownsample, SpectralDense])
def test_configuration_round_trip(kind):
    layer = make(kind, "float32")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in layer.weights]


def make_spectral_learner(**options):
    config = tiny.config(discriminator_norm="spectral", precision="float64", **options)
    keras.utils.set_random_seed(0)
    learner = make_learner(config)
    layers = spectral_layers(learner.discriminator)
    assert len(layers) == 10
    assert all(isinstance(layer, Spectral) for layer in layers)
    return config, learner, layers


@pytest.mark.usefixtures("quick_training")
@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"recompute": True}], ids=str)
def test_an_update_moves_the_state_once(monkeypatch, options):
    config, learner, layers = make_spectral_learner(**options)
    moved, iterate = [], Spectral.iterate
    monkeypatch.setattr(Spectral, "iterate", lambda layer: (moved.append(id(layer)), iterate(layer)))
    learner.update(tiny.batch(config))
    assert sorted(moved) == sorted(map(id, layers))


def test_after_many_updates_every_kernel_has_a_largest_singular_value_of_one():
    """Of estimates that follow kernels as they move."""
    keras.utils.set_random_seed(0)
    judges, optimizer = MultiScaleDiscriminator(32, 2, 8, "projection", "spectral", dtype="float64"), Muon(2e-3)
    variables = judges.trainable_variables
    optimizer.build(variables)
    random = np.random.default_rng(0)
    for _ in range(30):
        images = tf.constant(random.uniform(-1, 1, (4, 32, 32, 3)))
        judges.iterate()
        with tf.GradientTape() as tape:
            full, half = judges(images, tf.ones([4, 1, 2], tf.float64), training=True)
            loss = cross_entropy(full, real=True) + cross_entropy(half, real=False)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
    judges.iterate()
    norms = [largest(layer.normalized_kernel()) for layer in spectral_layers(judges)]
    assert norms == pytest.approx([1.0] * 10, rel=0.05)


def test_optimizers_do_not_touch_the_state():
    learner = make_learner(tiny.config(discriminator_norm="spectral"))
    directions = {id(layer.direction) for layer in spectral_layers(learner.discriminator)}
    assert not directions & {id(variable) for variable in learner.discriminator.trainable_variables}
    assert directions <= {id(variable) for variable in learner.discriminator.weights}
