"""Training of the attribute classifier, and its accuracy on held-out images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.bounds import LARGEST_SEED, Bounds
from elegant_tf.data.pairs import BadImages, pair_dataset
from elegant_tf.data.parallel import Progress, cpus, map_in_order
from elegant_tf.data.sampler import PairSampler
from elegant_tf.data.source import Source
from elegant_tf.errors import UserError
from elegant_tf.evaluation.classifier import Accuracy, AttributeClassifier
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.images import BadImage
from elegant_tf.model.keras_settings import keras_defaults
from elegant_tf.model.keras_versions import as_keras_3

# Augmentation keeps the classifier from learning faint traces of editing or drawing: shifts as a share of the side, the
# rest in units of [-1, 1].
_SHIFT, _BRIGHTNESS, _CONTRAST, _NOISE = 1 / 16, 0.15, 0.2, 0.04

# Images in memory at once while accuracy is measured.
_CHUNK = 512


@dataclasses.dataclass(frozen=True)
class Training:
    """How a classifier is trained. `batch_size`: pairs of images; `seed`: of weights, batches and augmentation.

    Raises:
        UserError: a number is out of range.
    """

    steps: int = 1500
    batch_size: int = 32
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            Bounds(at_least=1).check(name, getattr(self, name))
        Bounds(above=0).check("learning_rate", float(self.learning_rate))
        Bounds(at_least=0, at_most=LARGEST_SEED).check("seed", self.seed)


@keras_defaults()
def train_classifier(source: Source, test_source: Source, training: Training | None = None) -> AttributeClassifier:
    """Trains a classifier of a source's attributes, and measures it on another of the same attributes and size.

    Batches are pairs as in ELEGANT's training: half of the images drawn for an attribute have it, and both halves are
    alike in the other attributes, so that the classifier cannot learn an attribute from those correlated with it.
    Weights are rounded to float16 before they are measured: the accuracy is that of the file that `save` writes.
    Progress goes to stderr.

    Raises:
        UserError: the sources do not go together, or too many of their images cannot be read.
    """
    training = training or Training()
    if (source.attributes, source.image_size) != (test_source.attributes, test_source.image_size):
        raise UserError("images to train on and to test on must have the same attributes and size")
    keras.utils.set_random_seed(training.seed)
    classifier = AttributeClassifier(source.attributes, source.image_size)
    _fit(classifier.network, source, training)
    network = classifier.network
    network.set_weights([value.astype(np.float16) for value in network.get_weights()])
    classifier.accuracies = measure_accuracies(classifier, test_source)
    classifier.settings = dataclasses.asdict(training)
    return classifier


def measure_accuracies(classifier: AttributeClassifier, source: Source) -> dict[str, Accuracy]:
    """The accuracy on each attribute over all readable images of a source. Raises UserError if too many are not."""
    bad_images, answers = BadImages(len(source.labels)), []
    readable = np.ones(len(source.labels), bool)

    def load(index: int) -> np.ndarray | None:
        try:
            return source.load(index)
        except BadImage as error:
            bad_images.add(index, str(error))
            readable[index] = False
            return None

    for start in range(0, len(source.labels), _CHUNK):
        indices = range(start, min(start + _CHUNK, len(source.labels)))
        images = [image for image in map_in_order(load, indices, cpus()) if image is not None]
        answers.append(classifier.probabilities(images) > 0.5)
    right = np.concatenate(answers) == source.labels[readable]
    columns = zip(classifier.attributes, right.T, source.labels[readable].T, strict=True)
    return {name: _accuracy(answered, label == 1) for name, answered, label in columns}


def accuracy_table(accuracies: Mapping[str, Accuracy]) -> str:
    """Aligned columns under their headings, a line per attribute; the mean last."""
    mean = Accuracy(*np.mean([tuple(accuracy) for accuracy in accuracies.values()], axis=0))
    rows = [
        (name, f"{accuracy.plain:.4f}", f"{accuracy.balanced:.4f}", f"{accuracy.count:.0f}")
        for name, accuracy in {**accuracies, "mean": mean}.items()
    ]
    return Table("Accuracy", "", ("attribute", "accuracy", "balanced", "n"), rows).as_text()


def _accuracy(right: np.ndarray, has: np.ndarray) -> Accuracy:
    return Accuracy(float(right.mean()), float((right[has].mean() + right[~has].mean()) / 2), len(right))


def _fit(network: keras.Model, source: Source, training: Training) -> None:
    rate = keras.optimizers.schedules.CosineDecay(training.learning_rate, training.steps)
    optimizer = as_keras_3(keras.optimizers.Adam(rate))
    optimizer.build(network.trainable_variables)

    @tf.function(autograph=False)
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
    """Each image shifted, with its edge repeated, at random brightness and contrast, with noise."""
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
