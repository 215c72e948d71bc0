from __future__ import annotations

from pathlib import Path

import commands
import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.evaluation.inception import FEATURES, Inception


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """With weights that let images differ: those that training begins with barely do."""
    keras.utils.set_random_seed(0)
    network = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")
    for variable in network.weights:
        if len(variable.shape) == 4:
            variable.assign(variable * 2.0)
    return network


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture(scope="module")
def inception(weights) -> Inception:
    return Inception(weights)


@pytest.fixture(scope="module")
def spare() -> keras.Model:
    return keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")


@pytest.fixture
def made_once(spare, monkeypatch):
    """For files that are refused: making the network takes most of the time of a refusal."""
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **_: spare)


def images_of(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def save_old_format(network: keras.Model, path: Path) -> None:
    """The layout of the weights that Keras publishes: layers by order, under names of their own."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in network.layers if layer.weights]
        file.attrs["layer_names"] = [f"layer_{index}".encode() for index in range(len(layers))]
        for index, layer in enumerate(layers):
            group = file.create_group(f"layer_{index}")
            group.attrs["weight_names"] = [f"weight_{place}".encode() for place in range(len(layer.weights))]
            for place, variable in enumerate(layer.weights):
                group[f"weight_{place}"] = variable.numpy()


def test_features_are_the_networks(inception, network):
    """With the preprocessing of Keras, and through batches that do not come out even."""
    images = images_of(19, 299)
    features = inception(images)
    assert (features.shape, features.dtype) == ((19, FEATURES), np.float32)
    expected = network(keras.applications.inception_v3.preprocess_input(images[:2].astype(np.float32)), training=False)
    np.testing.assert_allclose(features[:2], expected, rtol=1e-3, atol=1e-4 * np.max(expected))
    last = inception(images[-1:])
    np.testing.assert_allclose(features[-1:], last, rtol=1e-3, atol=1e-4 * last.max())


def test_images_are_told_apart(inception):
    first, second = inception(images_of(2, 32))
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()


@pytest.mark.parametrize("size", [32, 600])
def test_other_sizes_are_resized_without_aliases(inception, size):
    images = images_of(1, size)
    resized = tf.image.resize(images, [299, 299], antialias=True).numpy()
    expected = inception(np.rint(resized).astype(np.uint8))
    np.testing.assert_allclose(inception(images), expected, rtol=0.05, atol=0.02 * expected.max())


def test_no_images(inception):
    assert inception(images_of(0, 32)).shape == (0, FEATURES)


def test_the_layout_that_keras_publishes(inception, network, tmp_path):
    path = tmp_path / "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    save_old_format(network, path)
    images = images_of(1, 64)
    np.testing.assert_array_equal(Inception(str(path))(images), inception(images))


def test_a_missing_file(tmp_path):
    for path in (tmp_path / "none.weights.h5", tmp_path):
        with pytest.raises(UserError, match=f"--inception={path}: no such file"):
            Inception(path)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize(
    "name", ["noise.h5", "noise.weights.h5", "noise.txt", "other.weights.h5", "empty.h5", "other.h5"]
)
def test_a_file_of_something_else(name, tmp_path, made_once):
    path = tmp_path / name
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    if name == "other.weights.h5":
        other.save_weights(path)
    elif name == "other.h5":
        save_old_format(other, path)
    elif name == "empty.h5":
        h5py.File(path, "w").close()
    else:
        path.write_bytes(b"noise" * 100)
    with pytest.raises(UserError, match=f"--inception={path}: holds no weights of Keras' InceptionV3"):
        Inception(path)


def test_a_damaged_file(weights, tmp_path, made_once):
    data = bytearray(weights.read_bytes())
    for start in (2_000, 5_000, 100_000):
        data[start : start + 600] = np.random.default_rng(start).bytes(600)
    for name, content in (("damaged.weights.h5", data), ("cut.weights.h5", data[: len(data) // 2])):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"--inception={path}: holds no weights"):
            Inception(path)


def test_a_failed_download(tmp_path, monkeypatch):
    """In a separate process with an empty cache and without internet access."""
    settings = {"KERAS_HOME": str(tmp_path), "no_proxy": ""}
    shut = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    for name, value in (settings | shut).items():
        monkeypatch.setenv(name, value)
    done = commands.run(["-c", "from elegant_tf.evaluation.inception import Inception; Inception('keras')"])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "UserError: --inception=keras: Keras could not get its ImageNet weights (URL fetch failure" in last
    assert "give a file" in last


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 1), np.uint8)]
)
def test_images_that_are_none(inception, images):
    with pytest.raises(UserError, match=r"must be uint8 \[N, S, S, 3\].* received"):
        inception(images)
