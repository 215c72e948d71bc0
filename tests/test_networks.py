from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.model.networks import Decoder, Discriminator, Encoder, channel_counts

POLICIES = ["float32", "mixed_float16", "mixed_bfloat16"]


def images(*shape, dtype="float32"):
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, shape), dtype)


def coders(width=2, depth=3, dtype="float32"):
    return Encoder(width, depth, dtype=dtype), Decoder(width, depth, dtype=dtype)


def discriminator(size=32, labels=3, **kwargs):
    return Discriminator(size, labels, 2, **kwargs)


def test_channels_double_up_to_eight_times_the_width():
    assert channel_counts(64, 5) == [64, 128, 256, 512, 512]
    assert channel_counts(64, 4) == [64, 128, 256, 512]
    assert channel_counts(3, 6) == [3, 6, 12, 24, 24, 24]


def test_the_authors_networks_have_their_parameters():
    encoder, decoder = coders(64, 5)
    discriminator = Discriminator(256, 2)
    # Summed over the layers of the specification: kernels, biases, alphas and betas.
    pairs = [(3, 64), (64, 128), (128, 256), (256, 512)]
    downs = sum(9 * i * o + o + 2 for i, o in pairs)
    assert encoder.count_params() == downs + 9 * 512 * 512 + 512 + 2
    ups = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    assert decoder.count_params() == sum(9 * i * o + o + 2 for i, o in ups) + 9 * 64 * 3 + 3
    assert discriminator.count_params() == downs + 9 * 2 * 64 + 16 * 16 * 512 + 1


@pytest.mark.parametrize(("size", "depth"), [(8, 3), (24, 3), (40, 3), (32, 5), (96, 5), (12, 2)])
def test_any_size_that_halves_depth_times(size, depth):
    encoder, decoder = coders(depth=depth)
    code, skips = encoder(images(2, size, size, 3))
    channels = channel_counts(2, depth)
    assert code.shape == (2, size >> depth, size >> depth, channels[-1])
    assert [skip.shape for skip in skips] == [
        (2, size >> level, size >> level, count) for level, count in enumerate(channels[:-1], 1)
    ]
    residual, _ = decoder(code, code, skips)
    assert residual.shape == (2, size, size, 3)
    assert np.abs(residual).max() < 2


def test_sides_may_differ():
    encoder, decoder = coders()
    code, skips = encoder(images(1, 16, 40, 3))
    assert decoder(code, code, skips)[0].shape == (1, 16, 40, 3)


def test_decoder_uses_both_codes_and_every_skip():
    keras.utils.set_random_seed(0)  # Few channels: by chance none of a layer's would pass its ReLU.
    encoder, decoder = coders()
    code, skips = encoder(images(1, 16, 16, 3))
    inputs = [code + 0.1, code, *skips]
    before, _ = decoder(inputs[0], inputs[1], inputs[2:])
    for index in range(len(inputs)):
        changed = list(inputs)
        changed[index] = changed[index] + 1.0
        after, _ = decoder(changed[0], changed[1], changed[2:])
        assert not np.allclose(before, after, atol=1e-6), index


def test_residual_is_bounded_by_two():
    encoder, decoder = coders()
    decoder.ups[-1].convolution.bias.assign([50.0, -50.0, 0.0])
    code, skips = encoder(images(1, 8, 8, 3))
    residual = decoder(code, code, skips)[0].numpy()
    np.testing.assert_allclose(residual[..., 0], 2.0)
    np.testing.assert_allclose(residual[..., 1], -2.0)


def test_a_mask_weights_the_residual():
    encoder, decoder = Encoder(2, 3), Decoder(2, 3, mask=True)
    code, skips = encoder(images(1, 8, 8, 3))
    residual, mask = decoder(code, code, skips)
    assert mask.shape == (1, 8, 8, 1)
    assert np.all((mask > 0) & (mask < 1))
    bias = decoder.ups[-1].convolution.bias
    bias.assign([*bias.numpy()[:3], 50.0])
    whole, everywhere = decoder(code, code, skips)
    np.testing.assert_allclose(everywhere, 1.0)
    np.testing.assert_allclose(residual, mask * whole, rtol=1e-5)
    assert Decoder(2, 3)(code, code, skips)[1] is None


@pytest.mark.parametrize("conditioning", ["planes", "projection"])
def test_one_score_for_each_set_of_labels(conditioning):
    judge = discriminator(conditioning=conditioning)
    x = images(4, 32, 32, 3)
    labels = tf.constant(np.random.default_rng(1).integers(0, 2, (4, 2, 3)), tf.float32)
    logits = judge(x, labels)
    assert logits.shape == (4, 2)
    for index in range(2):
        alone = judge(x, labels[:, index : index + 1])
        np.testing.assert_allclose(logits[:, index : index + 1], alone, atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "instance", "spectral"])
@pytest.mark.parametrize("conditioning", ["planes", "projection"])
def test_every_label_matters_to_the_discriminator(conditioning, norm):
    judge = discriminator(conditioning=conditioning, norm=norm)
    x = images(1, 32, 32, 3)
    before = judge(x, tf.zeros([1, 1, 3]))
    for index in range(3):
        after = judge(x, tf.one_hot([[index]], 3))
        assert np.abs(after - before).max() > 1e-6


def test_label_planes_are_constant_channels_after_the_image():
    judge = discriminator(labels=2)
    first = judge.downs[0].convolution
    assert first.kernel.shape == (3, 3, 5, 2)
    kernel = first.kernel.numpy()
    kernel[:, :, 3] = 0.0  # blind to the first label
    first.kernel.assign(kernel)
    x = images(1, 32, 32, 3)
    neither, first, second, both = (
        judge(x, tf.constant([[labels]])) for labels in ([0.0, 0], [1.0, 0], [0.0, 1], [1.0, 1])
    )
    np.testing.assert_array_equal(neither, first)
    np.testing.assert_array_equal(second, both)
    assert np.abs(both - first).max() > 0


@pytest.mark.parametrize(
    ("norm", "count"), [("l2", 4 * (1 + 1 + 2) + 2), ("instance", 4 * 2 + 3 * 2 + 2), ("spectral", 5 * (2 + 1))]
)
def test_normalizations_have_their_variables(norm, count):
    judge = discriminator(norm=norm)
    assert len(judge.weights) == count
    assert len(judge.trainable_variables) == count - (5 if norm == "spectral" else 0)


def test_with_spectral_normalization_scores_do_not_depend_on_the_size_of_kernels():
    judge, x, labels = discriminator(norm="spectral", dtype="float64"), images(2, 32, 32, 3), tf.ones([2, 1, 3])
    before = judge(x, labels)
    for layer in (*judge.downs, judge.dense):
        layer.kernel.assign(1000.0 * layer.kernel.value)
    np.testing.assert_allclose(judge(x, labels), before, rtol=1e-9)


@pytest.mark.parametrize("policy", POLICIES)
def test_outputs_and_variables_are_float32(policy):
    encoder, decoder = coders(dtype=policy)
    code, skips = encoder(images(2, 16, 16, 3))
    residual, _ = decoder(code, code, skips)
    judge = discriminator(dtype=policy)
    logits = judge(images(2, 32, 32, 3), tf.ones([2, 1, 3]))
    assert residual.dtype == logits.dtype == tf.float32
    compute = encoder.dtype_policy.compute_dtype
    assert {tensor.dtype.name for tensor in (code, *skips)} == {compute}
    weights = [weight for network in (encoder, decoder, judge) for weight in network.weights]
    assert {tf_variable(weight).dtype for weight in weights} == {tf.float32}
    assert {down.convolution.compute_dtype for down in encoder.downs} == {compute}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Encoder, (3, 4)),
        (Decoder, (3, 4, True)),
        (Discriminator, (16, 2, 3, "projection")),
        (Discriminator, (16, 2, 3, "planes", "instance")),
        (Discriminator, (16, 2, 3, "projection", "spectral")),
    ],
)
def test_configuration_round_trip(kind, arguments):
    network = kind(*arguments, name="network")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network))
    assert type(again) is type(network)
    assert again.get_config() == network.get_config()
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in network.weights]


def test_any_layer_normalizes_the_discriminator():
    layer = keras.layers.LayerNormalization(epsilon=1e-2)
    judge = discriminator(normalization=layer)
    assert [one.epsilon for one in judge.normalizations] == [1e-2] * 3
    assert len({id(one) for one in (*judge.normalizations, layer)}) == 4
    again = Discriminator.from_config(judge.get_config())
    again.set_weights(judge.get_weights())
    inputs = images(2, 32, 32, 3), tf.constant(np.eye(3, dtype=np.float32)[None, :2])
    inputs = inputs[0], tf.repeat(inputs[1], 2, axis=0)
    np.testing.assert_array_equal(judge(*inputs), again(*inputs))
    assert np.abs(judge(*inputs) - discriminator(norm="spectral")(*inputs)).max() > 0
