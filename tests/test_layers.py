from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from elegant_tf.model.cpu_kernels import training_policy
from elegant_tf.model.keras_versions import tf_variable
from elegant_tf.model.layers import Downsample, InstanceNormalization, Normalization, Upsample

few = settings(max_examples=10)
even_shapes = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def on(processor, precision="float32"):
    return training_policy(precision, gpu=processor == "GPU")


def with_bias(layer):
    convolution = layer.convolution
    convolution.kernel.assign(random(*convolution.kernel.shape))
    convolution.bias.assign(random(*convolution.bias.shape))
    return layer


def torch_convolution(x, kernel, bias):
    """PyTorch's Conv2d(stride 2, padding 1), term by term; kernel `[3, 3, in, out]`."""
    n, h, w, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.empty((n, (h + 1) // 2, (w + 1) // 2, kernel.shape[-1]))
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            patch = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            y[:, i, j] = np.einsum("nabc,abco->no", patch, kernel) + bias
    return y


def torch_transposed_convolution(x, kernel, bias):
    """PyTorch's ConvTranspose2d(stride 2, padding 1, output_padding 1): every pixel stamps its kernel
    `[3, 3, out, in]`."""
    n, h, w, _ = x.shape
    canvas = np.zeros((n, 2 * h + 2, 2 * w + 2, kernel.shape[2]))
    for i in range(h):
        for j in range(w):
            canvas[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.einsum("nc,aboc->nabo", x[:, i, j], kernel)
    return canvas[:, 1 : 2 * h + 1, 1 : 2 * w + 1] + bias


@pytest.mark.parametrize("processor", ["CPU", "GPU"])
@pytest.mark.parametrize("training", [False, True])
@few
@given(even_shapes)
def test_downsample_pads_as_pytorch(training, processor, shape):
    n, h, w, channels, filters = shape
    layer = with_bias(Downsample(channels, filters, dtype=on(processor)))
    x = random(n, 2 * h, 2 * w, channels)
    y = layer(x, training=training).numpy()
    assert y.shape == (n, h, w, filters)
    expected = torch_convolution(x, layer.convolution.kernel.numpy(), layer.convolution.bias.numpy())
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize("processor", ["CPU", "GPU"])
@pytest.mark.parametrize("training", [False, True])
@few
@given(even_shapes)
def test_upsample_pads_as_pytorch(training, processor, shape):
    n, h, w, channels, filters = shape
    layer = with_bias(Upsample(channels, filters, dtype=on(processor)))
    x = random(n, h, w, channels)
    y = layer(x, training=training).numpy()
    assert y.shape == (n, 2 * h, 2 * w, filters)
    expected = torch_transposed_convolution(x, layer.convolution.kernel.numpy(), layer.convolution.bias.numpy())
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize("processor", ["CPU", "GPU"])
@pytest.mark.parametrize(
    ("make", "reference"), [(Downsample, torch_convolution), (Upsample, torch_transposed_convolution)]
)
def test_gradients_of_convolutions(make, reference, processor):
    """Against finite differences of the reference, which is linear, so that any step is exact."""
    with_float64 = with_bias(make(2, 2, dtype=on(processor, "float64")))
    kernel, bias = with_float64.convolution.kernel, with_float64.convolution.bias
    x = tf.constant(random(1, 4, 4, 2), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = with_float64(x, training=True)
        weight = np.arange(1.0, 1 + y.numpy().size).reshape(y.shape)
        loss = tf.reduce_sum(y * weight)
    by_input, by_kernel, by_bias = tape.gradient(loss, [x, tf_variable(kernel), tf_variable(bias)])

    def value(x, kernel, bias):
        return (reference(x, kernel, bias) * weight).sum()

    arguments = [x.numpy(), kernel.numpy(), bias.numpy()]
    for position, gradient in enumerate((by_input, by_kernel, by_bias)):
        direction = np.random.default_rng(1).normal(size=gradient.shape)
        moved = list(arguments)
        moved[position] = moved[position] + direction
        expected = value(*moved) - value(*arguments)
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(expected, rel=1e-9)


def test_odd_sides_are_convolved_the_same_in_training():
    """Discriminators meet them: 48 pixels at half size are halved to 3."""
    layer = with_bias(Downsample(2, 3, dtype=on("CPU")))
    x = random(2, 3, 5, 2)
    expected = torch_convolution(x, layer.convolution.kernel.numpy(), layer.convolution.bias.numpy())
    for training in (False, True):
        np.testing.assert_allclose(layer(x, training=training), expected, atol=1e-4)


@pytest.mark.parametrize("make", [Downsample, Upsample])
def test_sizes_may_be_unknown_in_a_graph(make):
    layer = with_bias(make(2, 3, dtype=on("CPU")))
    for training in (False, True):
        graph = tf.function(
            lambda x, t=training: layer(x, training=t), input_signature=[tf.TensorSpec([None, None, None, 2])]
        )
        for size in (4, 6):
            x = random(1, size, size, 2)
            np.testing.assert_allclose(graph(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("make", [Downsample, Upsample])
def test_convolutions_compute_in_the_policys_type(make, policy):
    layer = with_bias(make(2, 3, dtype=on("CPU" if policy == "mixed_float16" else "GPU", policy)))
    x = random(1, 4, 4, 2)
    for training in (False, True):
        y = layer(tf.cast(x, layer.compute_dtype), training=training)
        assert y.dtype == layer.compute_dtype
    assert layer.convolution.kernel.dtype == "float32"


def rounded(values):
    return tf.cast(tf.cast(values, tf.bfloat16), tf.float32).numpy()


@pytest.mark.parametrize(
    ("make", "reference"), [(Downsample, torch_convolution), (Upsample, torch_transposed_convolution)]
)
def test_hidden_products_are_of_rounded_factors(make, reference):
    layer = with_bias(make(12, 12, dtype=on("CPU", "mixed_bfloat16")))
    x, bias = random(1, 4, 4, 12), layer.convolution.bias.numpy()
    kernel = layer.convolution.kernel.numpy()
    by_rounded, exactly = reference(x=rounded(x), kernel=rounded(kernel), bias=bias), reference(x, kernel, bias)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * y)
    assert y.dtype == tf.float32
    assert np.abs(y - by_rounded).mean() < 0.01 * np.abs(exactly).mean()
    # More than float32's own errors, a millionth.
    assert np.abs(y - exactly).mean() > 1e-4 * np.abs(exactly).mean()
    np.testing.assert_allclose(layer(x), exactly, atol=1e-4)
    with tf.GradientTape() as exact_tape:
        exact_loss = tf.reduce_sum(layer(x) ** 2)
    kernel = tf_variable(layer.convolution.kernel)
    (slope, exact_slope) = tape.gradient(loss, kernel), exact_tape.gradient(exact_loss, kernel)
    assert slope.dtype == tf.float32
    assert 1e-4 < np.abs(slope - exact_slope).mean() / np.abs(exact_slope).mean() < 0.01


@pytest.mark.parametrize("make", [Downsample, Upsample])
@pytest.mark.parametrize(("channels", "filters"), [(3, 12), (12, 3)])
def test_products_with_pictures_are_exact(make, channels, filters):
    layer = with_bias(make(channels, filters, dtype=on("CPU", "mixed_bfloat16")))
    x = random(1, 4, 4, channels)
    np.testing.assert_allclose(layer(x, training=True), layer(x), atol=1e-5)


def test_convolutions_start_as_the_authors():
    down, up = Downsample(64, 256), Upsample(64, 256)
    for layer in (down, up):
        kernel, bias = layer.convolution.kernel.numpy(), layer.convolution.bias.numpy()
        assert kernel.mean() == pytest.approx(0, abs=5e-4)
        assert kernel.std() == pytest.approx(0.02, rel=0.02)
        bound = 1 / np.sqrt(9 * 64)
        assert np.abs(bias).max() <= bound
        assert np.abs(bias).max() > 0.9 * bound
        assert bias.std() == pytest.approx(bound / np.sqrt(3), rel=0.2)


def normalize(x, alpha=1.0, beta=0.0):
    return alpha * x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) + beta


@few
@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(1, 9))
def test_normalization_is_over_channels(alpha, beta, channels):
    layer = Normalization()
    x = random(2, 3, 4, channels)
    np.testing.assert_allclose(layer(x), normalize(x), atol=1e-6)
    layer.alpha.assign([alpha])
    layer.beta.assign([beta])
    np.testing.assert_allclose(layer(x), normalize(x, alpha, beta), atol=1e-5)


def test_normalization_of_nothing_is_beta_with_a_finite_gradient():
    layer = Normalization()
    layer.beta.assign([0.25])
    x = tf.zeros([1, 2, 2, 4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    np.testing.assert_array_equal(y, np.full(y.shape, 0.25))
    assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_normalization_computes_in_float32(policy):
    layer = Normalization(dtype=policy)
    x = (300.0 * random(2, 2, 2, 16)).astype(np.float16)  # the squares are beyond float16's largest number
    y = layer(tf.cast(x, layer.compute_dtype))
    assert y.dtype == layer.compute_dtype
    assert layer.alpha.dtype == "float32"
    np.testing.assert_allclose(tf.cast(y, tf.float32), normalize(x.astype(np.float32)), atol=4e-3)


def normalize_instances(x, gamma, beta):
    mean, variance = (moment(x, axis=(1, 2), keepdims=True) for moment in (np.mean, np.var))
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def test_instances_are_normalized_over_places():
    layer, x = InstanceNormalization(5, dtype="float64"), random(2, 3, 4, 5).astype(np.float64)
    x[0, ..., 1] = 7.0  # no variance
    np.testing.assert_allclose(layer(x), normalize_instances(x, 1.0, 0.0), atol=1e-12)
    layer.gamma.assign(np.arange(5.0))
    layer.beta.assign(-np.arange(5.0))
    np.testing.assert_allclose(layer(x), normalize_instances(x, np.arange(5.0), -np.arange(5.0)), atol=1e-12)


def test_instance_normalization_has_second_derivatives():
    """The slope of the squared gradient, as a penalty of gradients needs it, by central differences."""
    layer, x = InstanceNormalization(2, dtype="float64"), tf.constant(random(1, 3, 3, 2), tf.float64)

    def penalty(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.sin(3.0 * layer(x)))
        return tf.reduce_sum(tf.square(tape.gradient(y, x)))

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = penalty(x)
    direction = tf.constant(np.random.default_rng(1).normal(size=x.shape))
    ahead, behind = (float(penalty(x + sign * 1e-6 * direction)) for sign in (1, -1))
    slope = float(tf.reduce_sum(tape.gradient(value, x) * direction))
    assert slope == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_instance_normalization_computes_in_float32(policy):
    layer = InstanceNormalization(3, dtype=policy)
    x = (300.0 * random(2, 8, 8, 3)).astype(np.float16)  # the squares are beyond float16's largest number
    y = layer(tf.cast(x, layer.compute_dtype))
    assert y.dtype == layer.compute_dtype
    assert layer.gamma.dtype == "float32"
    # Of rounded inputs: bfloat16 keeps eight bits.
    rounded = tf.cast(tf.cast(x, layer.compute_dtype), tf.float32).numpy()
    np.testing.assert_allclose(tf.cast(y, tf.float32), normalize_instances(rounded, 1.0, 0.0), rtol=1e-2, atol=4e-3)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [(Downsample, (2, 3)), (Upsample, (2, 5)), (Normalization, ()), (InstanceNormalization, (2,))],
)
def test_configuration_round_trip(kind, channels):
    layer = kind(*channels, name="layer")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    x = random(1, 4, 4, 2)
    layer(x)
    again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))
    assert again.get_config() == layer.get_config()


def test_a_policy_of_training_is_saved_as_what_it_edits_in():
    layer = Upsample(2, 5, dtype=on("CPU", "mixed_bfloat16"))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.dtype_policy.name == "float32"


@pytest.mark.parametrize("cut", [1, 3])
def test_shares_of_channels_add_up_to_the_convolution(cut):
    layer = Upsample(4, 2)
    x = tf.random.stateless_normal([2, 3, 5, 4], [1, 2])
    shares = layer.share(x[..., :cut], 0) + layer.share(x[..., cut:], cut)
    np.testing.assert_allclose(shares + layer.convolution.bias, layer(x), atol=1e-6)
