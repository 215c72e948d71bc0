from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.model.elegant import Elegant, MultiScaleDiscriminator, apply_residual
from elegant_tf.model.latent import exchange

NAMES = ("Bangs", "Smiling", "Eyeglasses")


def images(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).uniform(-1, 1, shape), tf.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = Elegant(NAMES, width=2, depth=3)
    last = made.decoder.ups[-1].convolution.kernel
    last.assign(20.0 * last.numpy())  # so that residuals are large enough to tell apart
    return made


@pytest.fixture(scope="module")
def flipping(model):
    """The same, with flip test-time augmentation."""
    made = Elegant(NAMES, width=2, depth=3, flip_tta=True)
    made.set_weights(model.get_weights())
    return made


@pytest.fixture(scope="module")
def masking():
    """With a mask, and flip test-time augmentation."""
    keras.utils.set_random_seed(0)
    return Elegant(NAMES, width=2, depth=3, flip_tta=True, mask=True)


def mirrored(images):
    return images[..., ::-1, :]


def test_editing_with_weight_zero_reconstructs(model):
    x, exemplars = images(2, 16, 16, 3), images(2, 1, 16, 16, 3)
    edited, residual = model.edit(x, exemplars, tf.zeros([2, 1, 3]))
    code, skips = model.encode(x)
    np.testing.assert_allclose(residual, model.decode(code, code, skips), atol=1e-6)
    np.testing.assert_allclose(edited, tf.clip_by_value(x + residual, -1.0, 1.0), atol=1e-6)


def test_editing_exchanges_codes_and_keeps_the_images_own_skips(model):
    x, exemplars = images(2, 16, 16, 3), images(2, 3, 16, 16, 3)
    weights = images(2, 3, 3)
    edited, residual = model.edit(x, exemplars, weights)
    code, skips = model.encode(x)
    codes = tf.stack([model.encode(exemplars[:, k])[0] for k in range(3)], axis=1)
    np.testing.assert_allclose(residual, model.decode(exchange(code, codes, weights), code, skips), atol=1e-5)
    np.testing.assert_array_equal(model(x, exemplars, weights), edited)
    assert np.abs(edited - model(x, exemplars, 0 * weights)).max() > 1e-4


def test_an_image_is_edited_the_same_alone_and_in_a_batch(model):
    x, exemplars, weights = images(3, 16, 16, 3), images(3, 2, 16, 16, 3), images(3, 2, 3)
    together = model(x, exemplars, weights)
    for index in range(3):
        one = slice(index, index + 1)
        np.testing.assert_allclose(model(x[one], exemplars[one], weights[one]), together[one], atol=1e-5)


@pytest.mark.parametrize("kind", ["model", "flipping", "masking"])
def test_each_exemplar_by_itself(kind, request):
    model = request.getfixturevalue(kind)
    x, exemplars, weights = images(2, 16, 16, 3), images(2, 4, 16, 16, 3), images(2, 4, 3)
    codes = tf.stack([model.encode(exemplars[:, m])[0] for m in range(4)], axis=1)
    found = model.edit_with_each(x, codes, weights)
    for m in range(4):
        expected = model(x, exemplars[:, m : m + 1], weights[:, m : m + 1])
        np.testing.assert_allclose(found[:, m], expected, atol=1e-5)


def test_an_edit_with_flip_augmentation_is_the_mean_of_both(model, flipping):
    x, exemplars, weights = images(2, 16, 24, 3), images(2, 3, 16, 24, 3), images(2, 3, 3)
    (_, own), (_, other) = (model.edit(*inputs, weights) for inputs in ((x, exemplars), map(mirrored, (x, exemplars))))
    assert np.abs(own - mirrored(other)).max() > 1e-3
    edited, residual = flipping.edit(x, exemplars, weights)
    np.testing.assert_allclose(residual, (own + mirrored(other)) / 2, atol=1e-5)
    np.testing.assert_allclose(edited, apply_residual(x, residual), atol=1e-6)


def test_where_the_mask_is_zero_nothing_changes(masking):
    x, exemplars, weights = images(2, 16, 24, 3), images(2, 1, 16, 24, 3), images(2, 1, 3)
    assert np.abs(masking.edit(x, exemplars, weights)[1]).max() > 1e-4
    masking.decoder.ups[-1].convolution.bias.assign([1.0, 1.0, 1.0, -90.0])
    np.testing.assert_array_equal(masking(x, exemplars, weights), x)


def test_training_does_not_flip(model, flipping):
    x, exemplars, weights = images(2, 16, 16, 3), images(2, 16, 16, 3), images(2, 1, 3)

    def edit(made):
        code, skips = made.encode(x, training=True)
        exemplar_code, _ = made.encode(exemplars, training=True)
        return made.edit_encoded(x, code, skips, exemplar_code[:, None], weights, training=True)[1]

    np.testing.assert_array_equal(edit(flipping), edit(model))


@pytest.mark.parametrize("size", [16, 64])
def test_code_shape(model, flipping, size):
    for made in (model, flipping):
        assert made.encode(images(1, size, size, 3))[0].shape[1:] == made.code_shape(size)


@pytest.mark.parametrize("size", [8, 24, 64, 128])
def test_any_size_whatever_it_was_built_for(model, size):
    edited = model(images(1, size, size, 3), images(1, 1, size, size, 3), tf.ones([1, 1, 3]))
    assert edited.shape == (1, size, size, 3)
    assert np.abs(edited).max() <= 1


def test_one_graph_for_all_sizes_and_numbers_of_exemplars(model):
    spec = [
        tf.TensorSpec([None, None, None, 3]),
        tf.TensorSpec([None, None, None, None, 3]),
        tf.TensorSpec([None, None, 3]),
    ]
    graph = tf.function(lambda *arguments: model.edit(*arguments)[0], input_signature=spec)
    for size, count in ((16, 1), (24, 2)):
        arguments = images(2, size, size, 3), images(2, count, size, size, 3), images(2, count, 3)
        np.testing.assert_allclose(graph(*arguments), model(*arguments), atol=1e-5)


def test_residuals_are_clipped_to_the_images_range():
    x = tf.constant([[-0.5, 0.5, 0.5]])
    np.testing.assert_allclose(apply_residual(x, tf.constant([[-1.0, 1.0, 0.25]])), [[-1.0, 1.0, 0.75]])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_edits_in_float32(policy):
    made = Elegant(NAMES, width=2, depth=3, dtype=policy)
    edited, residual = made.edit(images(1, 16, 16, 3), images(1, 1, 16, 16, 3), tf.ones([1, 1, 3]))
    assert edited.dtype == residual.dtype == tf.float32


def test_discriminators_see_the_image_and_its_half():
    judge = MultiScaleDiscriminator(64, 2, width=2)
    x, labels = images(2, 64, 64, 3), tf.constant([[[0.0, 1.0]], [[1.0, 1.0]]])
    full, half = judge(x, labels)
    assert full.shape == half.shape == (2, 1)
    pooled = x.numpy().reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(full, judge.full(x, labels), atol=1e-6)
    np.testing.assert_allclose(half, judge.half(tf.constant(pooled), labels), atol=1e-5)
    assert judge.full.dense.kernel.shape == (4 * 4 * 16, 1)
    assert judge.half.dense.kernel.shape == (2 * 2 * 16, 1)


@pytest.mark.parametrize("kind", ["model", "flipping"])
def test_configuration_and_weights_round_trip(kind, tmp_path, request):
    model = request.getfixturevalue(kind)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.attributes == NAMES
    assert again.get_config() == model.get_config()
    assert again.built
    model.save_weights(tmp_path / "elegant.weights.h5")
    again.load_weights(tmp_path / "elegant.weights.h5")
    arguments = images(1, 16, 16, 3), images(1, 1, 16, 16, 3), images(1, 1, 3)
    np.testing.assert_array_equal(again(*arguments), model(*arguments))


@pytest.mark.parametrize("conditioning", ["planes", "projection"])
def test_discriminator_round_trip(conditioning, tmp_path):
    judge = MultiScaleDiscriminator(32, 2, 2, conditioning)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(judge))
    assert again.get_config() == judge.get_config()
    judge.save_weights(tmp_path / "judge.weights.h5")
    again.load_weights(tmp_path / "judge.weights.h5")
    x, labels = images(1, 32, 32, 3), tf.ones([1, 1, 2])
    for first, second in zip(judge(x, labels), again(x, labels), strict=True):
        np.testing.assert_array_equal(first, second)
