"""A small classifier of attributes: a judge of edits that is independent of the discriminators of training."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.files import atomic_directory, write_json
from elegant_tf.images import resize, to_float
from elegant_tf.model.keras_settings import keras_defaults
from elegant_tf.remote import as_path

DESCRIPTION_FILE = "classifier.json"
WEIGHTS_FILE = "weights.npz"
FEATURES = 64
SMALLEST = 16  # pixels: two at the last convolution

# Channels and strides of the 3 x 3 convolutions.
_STACK = ((24, 2), (48, 2), (96, 2), (96, 1), (96, 1))
_PIXELS_AT_ONCE = 256 * 64 * 64


class Accuracy(NamedTuple):
    """How accurate the classifier is on an attribute of held-out images.

    `plain`: the share of correct answers; `balanced`: the mean of that share among images with the attribute and among
    those without, 0.5 for guessing; `count`: the number of images.
    """

    plain: float
    balanced: float
    count: int  # type: ignore[assignment] # it takes the place of tuple.count


class AttributeClassifier:
    """Predicts the attributes of an image.

    Images are uint8 RGB; those of another size than S x S are cropped to their centred square and resized.

    Attributes:
        attributes: the n names.
        image_size: S.
        accuracies: by attribute, on held-out images; empty if not measured.
        settings: how it was trained, plain values for JSON.

    Args:
        attributes: the n names.
        image_size: S, 16 or more.

    Raises:
        UserError: `attributes` is empty or `image_size` too small.
    """

    def __init__(self, attributes: Sequence[str], image_size: int) -> None:
        if not attributes:
            raise UserError("--attributes is empty: name at least one")
        if image_size < SMALLEST:
            raise UserError(f"--image_size={image_size}: must be {SMALLEST} or more")
        self.attributes = tuple(attributes)
        self.image_size = image_size
        self.accuracies: Mapping[str, Accuracy] = {}
        self.settings: Mapping[str, Any] = {}
        self.network = _make_network(len(self.attributes), image_size)
        pixels = tf.TensorSpec([None, image_size, image_size, 3], tf.uint8)
        self._answer = tf.function(self._answer_graph, input_signature=[pixels], autograph=False)

    def probabilities(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """The probability of each attribute in each image: float64 `[N, n]` in [0, 1]."""
        return self._answers(images)[0]

    def features(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """The network's last hidden layer: float64 `[N, 64]`."""
        return self._answers(images)[1]

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes a new directory, whole or not at all: weights in float16, and the rest as JSON.

        Raises:
            UserError: it exists already or cannot be written.
        """
        check_new(directory)
        described = {
            "attributes": self.attributes,
            "image_size": self.image_size,
            "accuracies": {name: accuracy._asdict() for name, accuracy in self.accuracies.items()},
            "settings": dict(self.settings),
        }
        with atomic_directory(directory) as aside:
            write_json(aside / DESCRIPTION_FILE, described)
            np.savez_compressed(
                aside / WEIGHTS_FILE, *(value.astype(np.float16) for value in self.network.get_weights())
            )

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> AttributeClassifier:
        """Reads what `save` wrote. Raises UserError if it is missing, damaged or of another network."""
        described, weights = _read(as_path(directory))
        try:
            classifier = cls(described["attributes"], described["image_size"])
            accuracies = described["accuracies"].items()
            classifier.accuracies = {name: Accuracy(**accuracy) for name, accuracy in accuracies}
            classifier.settings = described["settings"]
            classifier.network.set_weights(weights)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{directory}: is not a classifier of this version ({error}): train it again") from None
        return classifier

    def _answers(self, images: np.ndarray | Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        at_once = max(1, _PIXELS_AT_ONCE // self.image_size**2)
        parts = [self._answer_part(images[start : start + at_once]) for start in range(0, len(images), at_once)]
        if not parts:
            return np.empty((0, len(self.attributes))), np.empty((0, FEATURES))
        logits, features = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
        return 1 / (1 + np.exp(-logits)), features

    def _answer_part(self, images: np.ndarray | Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        logits, features = self._answer(np.stack([resize(image, self.image_size) for image in images]))
        return logits.numpy(), features.numpy()

    def _answer_graph(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.network(to_float(tf.cast(images, tf.float32)), training=False)


def check_new(directory: str | os.PathLike[str]) -> None:
    """Raises UserError if something of that name exists."""
    if os.path.lexists(directory):
        raise UserError(f"--out={os.fspath(directory)}: exists already: name a new directory")


@keras_defaults()
def _make_network(attributes: int, image_size: int) -> keras.Model:
    """Images in [-1, 1] to logits and features."""
    images = x = keras.Input((image_size, image_size, 3))
    for channels, stride in _STACK:
        x = keras.layers.Conv2D(channels, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    features = keras.layers.Dense(FEATURES, activation="relu", kernel_initializer="he_normal")(x)
    return keras.Model(images, (keras.layers.Dense(attributes)(features), features))


def _read(directory: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        described = json.loads((directory / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        with (directory / WEIGHTS_FILE).open("rb") as stored, np.load(stored, allow_pickle=False) as file:
            return described, [file[name].astype(np.float32) for name in file.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{directory}: cannot read {DESCRIPTION_FILE} and {WEIGHTS_FILE} in it ({error}): "
            "give a directory that `elegant-tf train-classifier` wrote"
        ) from None
