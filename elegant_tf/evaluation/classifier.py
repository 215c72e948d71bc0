"""A small classifier of attributes: what a picture shows, by another judge than the discriminators of training."""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.parallel import Progress, cpus, map_in_order
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.sources import Source
from elegant_tf.errors import UserError
from elegant_tf.export.directory import new_directory
from elegant_tf.images import BadImage, resize, to_float

DESCRIPTION_FILE = "classifier.json"
WEIGHTS_FILE = "weights.npz"
FEATURES = 64
SMALLEST = 16  # pixels: two at the last convolution

# Channels and strides of the 3 x 3 convolutions.
_STACK = ((24, 2), (48, 2), (96, 2), (96, 1), (96, 1))
_PIXELS_AT_ONCE = 256 * 64 * 64

# Augmentation, so that no faint trace of editing or drawing is learned: shifts as a share of the side, the others in
# units of [-1, 1].
_SHIFT, _BRIGHTNESS, _CONTRAST, _NOISE = 1 / 16, 0.15, 0.2, 0.04


class Accuracy(NamedTuple):
    """How well an attribute is told on held-out pictures.

    `plain`: the share of right answers; `balanced`: the mean of that share among pictures with the attribute and among
    those without, which guessing the commoner answer does not raise above 0.5; `count`: how many pictures.
    """

    plain: float
    balanced: float
    count: int


@dataclasses.dataclass(frozen=True)
class Training:
    """How a classifier is trained. `batch_size`: pairs of pictures; `seed`: of weights, batches and augmentation.

    Raises:
        UserError: a number is out of range.
    """

    steps: int = 1500
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name}={getattr(self, name)}: must be 1 or more")
        if self.learning_rate <= 0:
            raise UserError(f"--learning_rate={self.learning_rate}: must be more than 0")
        if self.seed < 0:
            raise UserError(f"--seed={self.seed}: must be 0 or more")


class AttributeClassifier:
    """Tells which attributes a picture shows.

    Pictures are uint8 RGB; those of another size than S x S are cut to their centred square and resized.

    Attributes:
        attributes: the n names.
        image_size: S.
        accuracies: by attribute, on held-out pictures; empty if not measured.
        settings: how it was made, plain values for JSON.

    Args:
        attributes: the n names.
        image_size: S, 16 at least.

    Raises:
        UserError: no attribute or too small an image size.
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
        self._answer = tf.function(self._answer_graph, input_signature=[pixels])

    def probabilities(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """How likely each picture is to have each attribute: float64 `[N, n]` in [0, 1]."""
        return self._answers(images)[0]

    def features(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """What the answers are drawn from: float64 `[N, 64]`."""
        return self._answers(images)[1]

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes a new directory, whole or not at all: weights in float16, and JSON with all else.

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
        with new_directory(directory) as aside:
            (aside / DESCRIPTION_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
            weights = [value.astype(np.float16) for value in self.network.get_weights()]
            np.savez_compressed(aside / WEIGHTS_FILE, *weights)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> AttributeClassifier:
        """Reads what `save` wrote. Raises UserError if there is none, or it is damaged or of another network."""
        described, weights = _read(Path(directory))
        try:
            classifier = cls(described["attributes"], described["image_size"])
            accuracies = described["accuracies"].items()
            classifier.accuracies = {name: Accuracy(**accuracy) for name, accuracy in accuracies}
            classifier.settings = described["settings"]
            classifier.network.set_weights(weights)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{directory}: is no classifier of this version ({error}): train it again") from None
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


def train_classifier(source: Source, test_source: Source, training: Training | None = None) -> AttributeClassifier:
    """Trains a classifier of a source's attributes, and measures it on another of the same attributes and size.

    Batches are pairs as ELEGANT's training draws them: each attribute is there in half of the pictures that are drawn
    for it, and the other attributes are alike in both halves, so that none is learned from what goes along with it.
    Weights are rounded to float16 before they are measured, so what is measured is what `save` writes. Progress goes
    to stderr.

    Raises:
        UserError: the sources do not go together, or too many of their pictures cannot be read.
    """
    training = training or Training()
    if (source.attributes, source.image_size) != (test_source.attributes, test_source.image_size):
        raise UserError("pictures to learn from and to test on must have the same attributes and size")
    keras.utils.set_random_seed(training.seed)
    classifier = AttributeClassifier(source.attributes, source.image_size)
    _fit(classifier.network, source, training)
    network = classifier.network
    network.set_weights([value.astype(np.float16) for value in network.get_weights()])
    classifier.accuracies = measure(classifier, test_source)
    classifier.settings = dataclasses.asdict(training)
    return classifier


def measure(classifier: AttributeClassifier, source: Source) -> dict[str, Accuracy]:
    """The accuracy for each attribute on all readable pictures of a source. Raises UserError if too many are not."""
    bad_images, chunk, answers = BadImages(len(source.labels)), 512, []
    readable = np.ones(len(source.labels), bool)

    def load(index: int) -> np.ndarray | None:
        try:
            return source.load(index)
        except BadImage as error:
            bad_images.add(index, str(error))
            readable[index] = False
            return None

    for start in range(0, len(source.labels), chunk):
        indices = range(start, min(start + chunk, len(source.labels)))
        images = [image for image in map_in_order(load, indices, cpus()) if image is not None]
        answers.append(classifier.probabilities(images) > 0.5)
    right = np.concatenate(answers) == source.labels[readable]
    columns = zip(classifier.attributes, right.T, source.labels[readable].T, strict=True)
    return {name: _accuracy(answered, label == 1) for name, answered, label in columns}


def accuracy_table(accuracies: Mapping[str, Accuracy]) -> str:
    """One line an attribute under a line of headings, in aligned columns; the mean last."""
    mean = Accuracy(*np.mean(list(accuracies.values()), axis=0))
    rows = {**accuracies, "mean": mean._replace(count=int(mean.count))}
    width = max(map(len, (*rows, "attribute")))
    lines = [f"{name:<{width}}  {plain:8.4f}  {balanced:8.4f}  {n:6}" for name, (plain, balanced, n) in rows.items()]
    return "\n".join([f"{'attribute':<{width}}  accuracy  balanced       n", *lines])


def check_new(directory: str | os.PathLike[str]) -> None:
    """Raises UserError if there is something of that name."""
    if os.path.lexists(directory):
        raise UserError(f"--out={os.fspath(directory)}: exists already: name a new directory")


def _accuracy(right: np.ndarray, has: np.ndarray) -> Accuracy:
    return Accuracy(float(right.mean()), float((right[has].mean() + right[~has].mean()) / 2), len(right))


def _make_network(attributes: int, image_size: int) -> keras.Model:
    """Images in [-1, 1] to logits and features; any size would do, as all places are averaged."""
    images = x = keras.Input((image_size, image_size, 3))
    for channels, stride in _STACK:
        x = keras.layers.Conv2D(channels, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    features = keras.layers.Dense(FEATURES, activation="relu", kernel_initializer="he_normal")(x)
    return keras.Model(images, (keras.layers.Dense(attributes)(features), features))


def _fit(network: keras.Model, source: Source, training: Training) -> None:
    rate = keras.optimizers.schedules.CosineDecay(training.learning_rate, training.steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(network.trainable_variables)

    @tf.function
    def update(batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> None:
        images = _augment(tf.concat([batch["a"], batch["b"]], axis=0), seed)
        labels = tf.concat([batch["y_a"], batch["y_b"]], axis=0)
        with tf.GradientTape() as tape:
            logits, _ = network(images, training=True)
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    bad_images, progress = BadImages(len(source.labels)), Progress("steps", training.steps)
    sampler = PairSampler(source.labels, training.batch_size, "mixed", training.seed, flip=True, match="all")
    try:
        for step, batch in enumerate(pair_dataset(source, sampler, 0, bad_images).take(training.steps)):
            update(batch, tf.constant([training.seed, step]))
            progress.add()
    except tf.errors.OpError as error:
        raise UserError(bad_images.failure or str(error)) from error
    progress.close()


def _augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Each image shifted, its edge repeated, and made a little brighter or darker, harder or softer, and noisy."""
    count, size = tf.shape(images)[0], images.shape[1]
    shift, bright, contrast, noise = (tf.random.fold_in(seed, number) for number in range(4))
    most = round(size * _SHIFT)
    shifts = tf.random.stateless_uniform([2, count, 1], shift, -most, most + 1, tf.int32)
    rows, columns = tf.unstack(tf.clip_by_value(tf.range(size) + shifts, 0, size - 1))
    images = tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
    each = [count, 1, 1, 1]
    images *= tf.random.stateless_uniform(each, contrast, 1 - _CONTRAST, 1 + _CONTRAST)
    images += tf.random.stateless_uniform(each, bright, -_BRIGHTNESS, _BRIGHTNESS)
    return images + tf.random.stateless_normal(tf.shape(images), noise, stddev=_NOISE)


def _read(directory: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        described = json.loads((directory / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        with np.load(directory / WEIGHTS_FILE, allow_pickle=False) as file:
            return described, [file[name].astype(np.float32) for name in file.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{directory}: cannot read {DESCRIPTION_FILE} and {WEIGHTS_FILE} in it ({error}): "
            "give a directory that `elegant-tf train-classifier` wrote"
        ) from None
