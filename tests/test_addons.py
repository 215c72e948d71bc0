"""The page that says what replaces Addons: its code computes what Addons computed."""

from __future__ import annotations

import re
import types
from typing import Any

import addons
import keras
import numpy as np
import pytest
import tensorflow as tf

CASES, SYMBOLS = addons.load()
ROWS = addons.rows()
TEXT = addons.PAGE.read_text("utf-8")

# Both sides compute in float32 and sum in different orders. Some computations magnify that: systems of equations, and
# RectifiedAdam's difference of two numbers near 2,000.
TOLERANCE = 1e-5
MAGNIFIED = {
    "tfa.image.interpolate_spline": 1e-3,
    "tfa.image.sparse_image_warp": 1e-3,
    "tfa.optimizers.RectifiedAdam": 1e-4,
}


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the code of the page defines."""
    module = types.ModuleType("page")
    exec(compile(addons.page_code(), str(addons.PAGE), "exec"), module.__dict__)
    return module.__dict__


@pytest.mark.parametrize(
    ("left", "inputs", "expected"), CASES, ids=[f"{number} {left}" for number, (left, _, _) in enumerate(CASES)]
)
def test_the_replacement_computes_what_addons_did(left, inputs, expected, page):
    found = addons.run(left, ROWS[left], page, inputs)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        tolerance = 1e-9 if value.dtype == np.float64 else MAGNIFIED.get(left.partition("(")[0], TOLERANCE)
        assert (found[key].shape, found[key].dtype) == (value.shape, value.dtype), key
        if np.issubdtype(value.dtype, np.integer):
            np.testing.assert_array_equal(found[key], value, key)
        else:
            largest = max(1.0, float(np.max(np.abs(value), initial=0)))
            np.testing.assert_allclose(found[key], value, rtol=0, atol=tolerance * largest, err_msg=key)


def test_every_row_of_code_has_values():
    assert len(ROWS) > 60
    assert len(ROWS) == len(re.findall(r"^\| `tfa\.\w+\.\w+\(", TEXT, re.M))
    assert set(ROWS) == {left for left, _, _ in CASES}


@pytest.mark.parametrize("room", SYMBOLS)
def test_the_page_names_all_that_addons_had(room):
    assert len(SYMBOLS[room]) > 2
    named = set(re.findall(rf"^\| `tfa\.{room}\.(\w+)", TEXT, re.M))
    for cell in re.findall(r"^\|([^|]*)\|", TEXT, re.M):
        named |= set(re.findall(r"`(\w+)`", cell))
    assert [name for name in SYMBOLS[room] if name not in named] == []


def test_what_the_page_defines_is_in_its_tables(page):
    defined = {name for name, value in page.items() if getattr(value, "__module__", None) == "page"}
    helpers = {"Moments", "ConfusionMetric", "padded", "pixels", "pairwise_distances", "same_label", "pair_mask"}
    helpers |= {"largest", "soft_cross_entropy"}
    tables = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    assert {name for name in defined - helpers if not re.search(rf"\b{name}\b", tables)} == set()


@pytest.mark.parametrize("decay", [0.9, 0.5])
def test_keras_own_average_differs_from_addons_as_the_page_says(decay, page):
    weight = keras.Variable([1.0, -2.0])
    start = weight.numpy()
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=decay)
    callback = page["MovingAverage"](decay)
    callback.set_model(types.SimpleNamespace(trainable_weights=[weight]))
    callback.on_train_begin()
    first = None
    for step in range(1, 6):
        optimizer.apply_gradients([(tf.constant([1.0, step]), weight)])
        callback.on_train_batch_end(0)
        first = weight.numpy() if first is None else first
        keras_average = weight.numpy()
        ours = callback.averages[0].numpy()
    optimizer.finalize_variable_values([weight])
    keras_average = weight.numpy()
    np.testing.assert_allclose(keras_average - ours, decay**5 * (first - start), rtol=1e-5, atol=1e-7)


def test_adam_differs_from_a_lazy_one_as_the_page_says():
    adam, adagrad = (moved_by(optimizer) for optimizer in (keras.optimizers.Adam(0.1), keras.optimizers.Adagrad(0.1)))
    assert adam[0] != 0
    assert adagrad[0] == 0


def moved_by(optimizer: keras.optimizers.Optimizer) -> np.ndarray:
    """How far rows of an embedding go in an update that uses the second one only."""
    rows = keras.Variable([[1.0], [2.0]])
    optimizer.apply_gradients([(tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([0]), tf.constant([2, 1])), rows)])
    before = rows.numpy()
    optimizer.apply_gradients([(tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([1]), tf.constant([2, 1])), rows)])
    return (rows.numpy() - before)[:, 0]


def test_keras_sparsemax_is_wrong_as_the_page_says(page):
    x = tf.constant([0.1, 0.2, 0.05])
    np.testing.assert_allclose(page["sparsemax"](x), [0.3167, 0.4167, 0.2667], atol=1e-4)
    # Fails once Keras has mended it: then the page may name Keras' own, from that version on.
    np.testing.assert_allclose(keras.activations.sparsemax(x), [0.15, 0.25, 0.1], atol=1e-4)


def test_random_cutout_masks_rectangles_everywhere_inside(page):
    images = tf.ones([400, 6, 8, 1])
    masked = 1 - page["random_cutout"](images, [2, 4], seed=1).numpy()[..., 0]
    assert (masked.sum((1, 2)) == 8).all()
    assert (masked.sum(0) > 0).tolist() == [[row < 5 and column < 7 for column in range(8)] for row in range(6)]
    assert not page["random_cutout"](images, 8).numpy().any()


def test_a_resampler_is_zero_outside(page):
    images = tf.constant([[[[1.0], [2.0]], [[3.0], [5.0]]]])
    points = tf.constant([[[0.0, 0.0], [1.0, 0.0], [0.5, 1.0], [-0.5, 0.0], [-1.0, 0.0], [7.0, 7.0]]])
    np.testing.assert_allclose(page["resampler"](images, points)[0, :, 0], [1, 2, 4, 0.5, 0, 0])


@pytest.mark.parametrize("eagerly", [True, False])
def test_models_with_the_pages_layers_and_callbacks_train_and_load(eagerly, page, tmp_path):
    layers = [page["WeightNormalization"](keras.layers.Conv2D(4, 3)), page["FilterResponseNormalization"]()]
    layers += [page["TLU"](), page["Snake"](), page["AdaptivePooling2D"]((2, 3)), page["Maxout"](2)]
    model = keras.Sequential([keras.Input((6, 8, 3)), *layers, keras.layers.Flatten()])
    model.compile(page["LAMB"](0.01, decay=0.1), page["triplet_semihard_loss"], run_eagerly=eagerly)
    average, slow = page["MovingAverage"](0.5), page["Lookahead"](2)
    before = model.get_weights()
    x, labels = addons.random("x", (8, 6, 8, 3)), np.arange(8) % 3
    model.fit(x, labels, 4, epochs=3, verbose=0, callbacks=[slow, average, page["TimeStopping"](0)])
    assert average.step == 2
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    trained = [weight.numpy() for weight in model.trainable_weights]
    average.swap()
    assert any((a != b.numpy()).any() for a, b in zip(trained, model.trainable_weights, strict=True))
    model.save_weights(tmp_path / "model.weights.h5")
    expected = model.predict(x, verbose=0)
    model.set_weights(before)
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(model.predict(x, verbose=0), expected)
