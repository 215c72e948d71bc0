"""CelebA as TensorFlow Datasets keeps it: a prepared directory made of drawn faces by its own writer."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from elegant_tf.data.attributes import CELEBA_ATTRIBUTES
from elegant_tf.data.collection import CollectionSource
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.data.tfds_celeba import MANUAL_FILES, open_tfds
from elegant_tf.errors import UserError
from elegant_tf.synthetic import make_face
from elegant_tf.synthetic.celeba import celeba_labels

tfds = pytest.importorskip("tensorflow_datasets")

COUNTS = {"train": 12, "validation": 4, "test": 4}


class DrawnCelebA(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The features and splits of `celeb_a` 2.1.0."""

    VERSION = tfds.core.Version("2.1.0")
    name = "celeb_a"

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(218, 178, 3), encoding_format="jpeg"),
            "landmarks": dict.fromkeys(COLUMNS, np.int64),
            "attributes": dict.fromkeys(CELEBA_ATTRIBUTES, np.bool_),
            "identity": {"Identity_No": np.int64},
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for number in range(COUNTS[split]):
            face = make_face(len(split), number)
            image = np.zeros((218, 178, 3), np.uint8)
            image[20:198] = face.draw(178)
            points = np.rint(face.landmarks(178) + [0, 20]).astype(int).ravel().tolist()
            yield (
                f"{number:06d}.jpg",
                {
                    "image": image,
                    "landmarks": dict(zip(COLUMNS, points, strict=True)),
                    "attributes": dict(zip(CELEBA_ATTRIBUTES, (celeba_labels(face) > 0).tolist(), strict=True)),
                    "identity": {"Identity_No": number},
                },
            )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    DrawnCelebA(data_dir=str(root)).download_and_prepare()
    return root


@pytest.mark.parametrize("inner", ["", "celeb_a", "celeb_a/2.1.0"])
def test_a_prepared_directory(prepared, inner):
    collection = open_tfds(prepared / inner)
    assert collection.table.names == CELEBA_ATTRIBUTES
    assert np.bincount(collection.splits).tolist() == list(COUNTS.values())
    assert collection.landmarks.shape == (20, 5, 2)
    assert collection.variant == "aligned"


def test_every_example_has_its_own_image_labels_and_landmarks(prepared):
    """Whatever order TensorFlow Datasets wrote them in."""
    collection = open_tfds(prepared)
    faces = [make_face(len(split), number) for split, count in COUNTS.items() for number in range(count)]
    images = np.stack([face.draw(178) for face in faces]).astype(int)
    found = set()
    for row in range(20):
        image = collection.read(row)
        assert image.shape == (218, 178, 3)
        nearest = int(abs(images - image[20:198]).mean(axis=(1, 2, 3)).argmin())
        face = faces[nearest]
        found.add(nearest)
        assert (collection.table.labels[row] == (celeba_labels(face) > 0)).all()
        np.testing.assert_allclose(collection.landmarks[row], face.landmarks(178) + [0, 20], atol=0.51)
        assert collection.splits[row] == np.searchsorted([12, 16], nearest, side="right")
    assert len(found) == 20


def test_it_is_a_collection_like_any_other(prepared):
    source = CollectionSource(open_tfds(prepared), ["Smiling", "Bangs"], 32, "train")
    assert source.labels.shape == (12, 2)
    assert source.load(3).shape == (32, 32, 3)


def test_a_damaged_record_is_named(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "copy")
    shard = next((tmp_path / "copy").rglob("*test*tfrecord*"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-3])
    with pytest.raises(UserError, match="damaged or cut short"):
        open_tfds(tmp_path / "copy")
    shard.write_bytes(content[: len(content) // 2] + bytes(40) + content[len(content) // 2 + 40 :])
    with pytest.raises(UserError, match="cannot be read"):
        open_tfds(tmp_path / "copy")


def test_nothing_there_names_the_files_to_put_there(tmp_path):
    with pytest.raises(UserError, match=r"neither a prepared celeb_a nor .*identity_CelebA.txt"):
        open_tfds(tmp_path)


def test_manual_files_that_are_not_celebas_are_refused(tmp_path):
    """Their checksums differ. Nothing is downloaded if the files are there."""
    for name in MANUAL_FILES:
        (tmp_path / name).write_text("no")
    with pytest.raises(UserError, match="TensorFlow Datasets cannot make celeb_a of it"):
        open_tfds(tmp_path)


def test_an_unreadable_directory(tmp_path):
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="TensorFlow Datasets cannot read it"):
        open_tfds(tmp_path)
