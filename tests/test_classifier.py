"""The attribute classifier: training, accuracy, and a round trip through files."""

from __future__ import annotations

import json

import disk
import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.evaluation.classifier import Accuracy, AttributeClassifier
from elegant_tf.evaluation.classifier_training import Training, accuracy_table, measure_accuracies, train_classifier
from elegant_tf.images import BadImage, resize
from elegant_tf.synthetic.source import FacesSource

SIZE = 32
ATTRIBUTES = ("Wearing_Hat", "Mustache")
TRAINING = Training(steps=80, batch_size=16)


@pytest.fixture(scope="module")
def sources() -> tuple[FacesSource, FacesSource]:
    return FacesSource(ATTRIBUTES, SIZE, 0, 256), FacesSource(ATTRIBUTES, SIZE, 0, 100, "test")


@pytest.fixture(scope="module")
def trained(sources) -> AttributeClassifier:
    return train_classifier(*sources, TRAINING)


def images_of(source, count=20) -> np.ndarray:
    return np.stack([source.load(index) for index in range(count)])


def test_it_learns(trained):
    assert tuple(trained.accuracies) == ATTRIBUTES
    assert min(accuracy.balanced for accuracy in trained.accuracies.values()) > 0.7
    assert {accuracy.count for accuracy in trained.accuracies.values()} == {100}


def test_a_seed_trains_the_same_again(trained, sources):
    images = images_of(sources[1])
    again = train_classifier(*sources, TRAINING)
    np.testing.assert_allclose(again.probabilities(images), trained.probabilities(images), atol=0.1)


def test_answers(trained, sources):
    images = images_of(sources[1])
    probabilities, features = trained.probabilities(images), trained.features(images)
    assert (probabilities.shape, probabilities.dtype) == ((20, 2), np.float64)
    assert (features.shape, features.dtype) == ((20, 64), np.float64)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    np.testing.assert_allclose(trained.probabilities(images[3:4])[0], probabilities[3], atol=1e-5)
    assert trained.probabilities(images[:0]).shape == (0, 2)


def test_images_of_other_sizes_are_resized(trained, sources):
    large = np.stack([face.draw(70) for face in sources[1].faces[:4]])
    small = [resize(image, SIZE) for image in large]
    np.testing.assert_allclose(trained.probabilities(large), trained.probabilities(small), atol=1e-6)


def test_a_size_that_halving_does_not_fit():
    images = np.zeros((2, 50, 50, 3), np.uint8)
    assert AttributeClassifier(["Bangs"], 50).probabilities(images).shape == (2, 1)


def test_it_survives_a_round_trip(trained, sources, tmp_path):
    out = tmp_path / "new" / "mein Prüfer"
    trained.save(out)
    assert sum(path.stat().st_size for path in out.iterdir()) < 600_000
    loaded = AttributeClassifier.load(out)
    images = images_of(sources[1])
    # Weights were rounded before they were measured, so rounding them for the file changes nothing.
    np.testing.assert_allclose(loaded.probabilities(images), trained.probabilities(images), atol=1e-6)
    assert (loaded.attributes, loaded.image_size) == (ATTRIBUTES, SIZE)
    assert loaded.accuracies == trained.accuracies
    assert loaded.settings == trained.settings
    assert loaded.settings["steps"] == TRAINING.steps
    with pytest.raises(UserError, match="exists already"):
        trained.save(out)


def test_accuracies_of_both_kinds():
    class Hats:
        """Nine images: the first three show hats, and one cannot be read."""

        attributes, image_size = ("Wearing_Hat",), SIZE
        labels = np.array([[1]] * 3 + [[0]] * 6, np.int8)

        def load(self, index):
            if index == 8:
                raise BadImage("broken")
            return np.full((SIZE, SIZE, 3), index, np.uint8)

    class OnlyTheFirst(AttributeClassifier):
        def probabilities(self, images):
            return np.array([[0.9 if image[0, 0, 0] == 0 else 0.1] for image in images])

    accuracy = measure_accuracies(OnlyTheFirst(["Wearing_Hat"], SIZE), Hats())["Wearing_Hat"]
    assert accuracy == (pytest.approx(6 / 8), pytest.approx((1 / 3 + 1) / 2), 8)


def test_the_table_is_aligned():
    table = accuracy_table({"Bangs": Accuracy(0.5, 1.0, 10), "5_o_Clock_Shadow": Accuracy(1.0, 0.5, 10)})
    assert table.splitlines() == [
        "attribute         accuracy  balanced   n",
        "Bangs               0.5000    1.0000  10",
        "5_o_Clock_Shadow    1.0000    0.5000  10",
        "mean                0.7500    0.7500  10",
    ]


def test_what_cannot_be_trained(sources):
    with pytest.raises(UserError, match="same attributes and size"):
        train_classifier(sources[0], FacesSource(ATTRIBUTES, 16, 0, 16, "test"), TRAINING)
    for options, expected in (
        ({"steps": 0}, "--steps=0"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"learning_rate": 0.0}, "--learning_rate=0.0"),
        ({"seed": -1}, "--seed=-1"),
    ):
        with pytest.raises(UserError, match=expected):
            Training(**options)
    with pytest.raises(UserError, match="--image_size=15"):
        AttributeClassifier(["Bangs"], 15)
    with pytest.raises(UserError, match="--attributes is empty"):
        AttributeClassifier([], SIZE)


def test_images_that_cannot_be_read_end_the_training(sources):
    class Broken(FacesSource):
        def load(self, index):
            raise BadImage(f"{index}.png: is empty")

    with pytest.raises(UserError, match="too many bad images"):
        train_classifier(Broken(ATTRIBUTES, SIZE, 0, 16), sources[1], TRAINING)


def test_what_cannot_be_loaded(trained, tmp_path):
    with pytest.raises(UserError, match=r"nowhere: cannot read classifier\.json"):
        AttributeClassifier.load(tmp_path / "nowhere")
    trained.save(tmp_path / "saved")
    description = tmp_path / "saved" / "classifier.json"
    described = json.loads(description.read_text())
    for damaged in ({**described, "attributes": ["Bangs"]}, {"image_size": 32}, [1]):
        description.write_text(json.dumps(damaged))
        with pytest.raises(UserError, match="saved: is not a classifier of this version"):
            AttributeClassifier.load(tmp_path / "saved")
    (tmp_path / "saved" / "weights.npz").write_bytes(b"PK half")
    with pytest.raises(UserError, match="saved: cannot read"):
        AttributeClassifier.load(tmp_path / "saved")


def test_a_disk_without_room_leaves_nothing(trained, tmp_path):
    with disk.full(), pytest.raises(UserError, match=r"saved.*: cannot be written: File too large"):
        trained.save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())
