"""The sources: a folder in CelebA's layout, with everything that can be wrong in it, and drawn faces."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from elegant_tf.config import DataConfig
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage
from elegant_tf.sources import open_collection, open_source
from elegant_tf.synthetic import ATTRIBUTES, make_face
from elegant_tf.synthetic.source import FacesSource, face_index

NAMES = ("Bangs", "Male", "Smiling")
LABELS = np.array([[0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]])
FILES = tuple(f"{number:06d}.jpg" for number in range(1, 7))
PARTITION = (0, 0, 0, 0, 1, 1)


def write_labels(root, files=FILES, labels=LABELS, names=NAMES):
    rows = [
        f"{file} " + " ".join("1" if label else "-1" for label in row) for file, row in zip(files, labels, strict=True)
    ]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(len(rows)), " ".join(names), *rows]) + "\n", "utf-8")


@pytest.fixture
def celeba(tmp_path):
    """Six 178 × 218 images, image k of grey 40·k, in a folder with a name that asks for trouble."""
    root = tmp_path / "my célèbres 顔"
    (root / "img_align_celeba").mkdir(parents=True)
    for number, file in enumerate(FILES):
        Image.new("RGB", (178, 218), (40 * number,) * 3).save(root / "img_align_celeba" / file)
    write_labels(root)
    lines = [f"{file} {split}" for file, split in zip(FILES, PARTITION, strict=True)]
    (root / "list_eval_partition.txt").write_text("\n".join(lines))
    return root


def read(root, attributes=("Bangs",), size=32, split="train"):
    return open_source(DataConfig(kind="celeba", data_dir=str(root)), attributes, size, split)


def test_celeba_train_split(celeba):
    source = read(celeba, ["Smiling", "Bangs"])
    assert (source.name, source.image_size) == ("celeba", 32)
    assert source.attributes == ("Smiling", "Bangs")
    assert source.files == FILES[:4]
    assert source.labels.dtype == np.int8
    assert source.labels.tolist() == LABELS[:4, [2, 0]].tolist()
    for index in range(4):
        image = source.load(index)
        assert image.dtype == np.uint8
        assert image.shape == (32, 32, 3)
        np.testing.assert_allclose(image, 40.0 * index, atol=2)


def test_celeba_other_splits(celeba):
    source = read(celeba, split="validation")
    assert source.files == FILES[4:]
    np.testing.assert_allclose(source.load(1), 200.0, atol=2)
    with pytest.raises(UserError, match="puts no image in the test split"):
        read(celeba, split="test")


def test_celeba_cuts_the_centred_square(celeba):
    pixels = np.full((218, 178, 3), 255, np.uint8)
    pixels[20:198] = 0  # the centred 178 × 178
    Image.fromarray(pixels).save(celeba / "img_align_celeba" / FILES[0], quality=100)
    assert read(celeba, size=64).load(0).max() < 40


def test_celeba_without_partition_is_all_for_training(celeba):
    (celeba / "list_eval_partition.txt").unlink()
    assert read(celeba).files == FILES
    with pytest.raises(UserError, match="has no list_eval_partition"):
        read(celeba, split="test")


@pytest.mark.parametrize("folder", ["images", "Img/img_align_celeba", "align_5p"])
def test_celeba_as_downloads_nest_it(celeba, folder):
    (celeba / "Img").mkdir()
    (celeba / "img_align_celeba").rename(celeba / folder)
    for name, home in (("list_attr_celeba.txt", "Anno"), ("list_eval_partition.txt", "Eval")):
        (celeba / home).mkdir()
        (celeba / name).rename(celeba / home / name)
    source = read(celeba)
    assert source.files == FILES[:4]
    assert source.load(1).shape == (32, 32, 3)


def test_celeba_ignores_other_files(celeba):
    (celeba / "img_align_celeba" / "Thumbs.db").write_text("")
    (celeba / "img_align_celeba" / "notes.txt").write_text("")
    assert len(read(celeba).files) == 4


def test_celeba_bad_image_is_found_on_loading(celeba):
    (celeba / "img_align_celeba" / FILES[2]).write_text("not an image")
    source = read(celeba)
    with pytest.raises(BadImage, match=FILES[2]):
        source.load(2)
    assert source.load(3).shape == (32, 32, 3)


def empty_images_folder(root):
    shutil.rmtree(root / "img_align_celeba")
    (root / "img_align_celeba").mkdir()


def lose_images(root):
    for file in FILES[1:]:
        (root / "img_align_celeba" / file).unlink()


NONE_IN_SPLIT_HAS_BANGS = LABELS * ([[0, 1, 1]] * 4 + [[1, 1, 1]] * 2)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (shutil.rmtree, ["--data_dir", "no such directory"]),
        (lambda root: (root / "list_attr_celeba.txt").unlink(), ["--data_dir", "has no list_attr_celeba.txt"]),
        (lambda root: shutil.rmtree(root / "img_align_celeba"), ["--data_dir", "img_align_celeba"]),
        (empty_images_folder, ["img_align_celeba", "holds no images"]),
        (lose_images, ["lacks 5 of the 6 images", "000002.jpg, 000003.jpg, 000004.jpg, …"]),
        (
            lambda root: write_labels(root, FILES[:4], LABELS[:4]),
            ["no labels for 2 of the 6 images", "(000005.jpg, 000006.jpg)"],
        ),
        (
            lambda root: (root / "list_eval_partition.txt").write_text("000001.jpg 0\n"),
            ["list_eval_partition.txt", "no line for 5 of the 6"],
        ),
        (lambda root: write_labels(root, labels=np.maximum(LABELS, [1, 0, 0])), ["no image without Bangs among 4"]),
        (lambda root: write_labels(root, labels=NONE_IN_SPLIT_HAS_BANGS), ["no image with Bangs among 4"]),
    ],
)
def test_celeba_disorder_is_found_at_once(celeba, damage, expected):
    damage(celeba)
    with pytest.raises(UserError) as error:
        read(celeba)
    for text in expected:
        assert text in str(error.value)


def test_celeba_polarities_are_the_splits_own(celeba):
    labels = LABELS.copy()
    labels[4:, 0] = 1
    write_labels(celeba, labels=labels)
    assert read(celeba).labels.sum() == 2
    with pytest.raises(UserError, match="validation split: no image without Bangs"):
        read(celeba, split="validation")


def test_celeba_unknown_attribute_and_split(celeba):
    with pytest.raises(UserError, match="did you mean Smiling"):
        read(celeba, ["smile"])
    with pytest.raises(UserError, match="train, validation, test"):
        read(celeba, split="dev")


@pytest.fixture(scope="module")
def drawn() -> FacesSource:
    return FacesSource(["Smiling", "Bangs"], 32, seed=3, count=24, workers=1)


def test_faces_source(drawn):
    assert drawn.attributes == ("Smiling", "Bangs")
    assert drawn.labels.shape == (24, 2)
    assert drawn.labels.dtype == np.int8
    columns = [ATTRIBUTES.index(name) for name in drawn.attributes]
    for index in (0, 7, 23):
        face = make_face(3, face_index("train", index))
        assert (drawn.labels[index] == face.labels[columns]).all()
        assert (drawn.load(index) == face.draw(32)).all()


def test_faces_are_the_same_again_and_others_for_other_seeds(drawn):
    again = FacesSource(["Smiling"], 32, seed=3, count=24, workers=1)
    other = FacesSource(["Smiling"], 32, seed=4, count=24, workers=1)
    assert (again.load(5) == drawn.load(5)).all()
    assert (other.load(5) != drawn.load(5)).any()


def test_splits_of_faces_are_disjoint(drawn):
    numbers = [{face_index(split, index) for index in range(1000)} for split in ("train", "validation", "test")]
    assert len(set.union(*numbers)) == 3000
    held_out = FacesSource(["Smiling"], 32, seed=3, count=24, split="test", workers=1)
    images = {held_out.load(index).tobytes() for index in range(24)}
    assert not images & {drawn.load(index).tobytes() for index in range(24)}


def test_faces_source_mistakes():
    with pytest.raises(UserError, match="unknown attribute 'Male'") as error:
        FacesSource(["Male"], 32, seed=0, count=8)
    assert ", ".join(ATTRIBUTES) in str(error.value)
    with pytest.raises(UserError, match="1 faces of seed 0"):
        FacesSource(["Smiling"], 32, seed=0, count=1)
    with pytest.raises(UserError, match="unknown split"):
        FacesSource(["Smiling"], 32, seed=0, count=8, split="dev")


def test_open_source_draws_faces():
    source = open_source(DataConfig(faces_count=24), ["Smiling", "Bangs"], 32, "test", seed=3)
    again = FacesSource(["Smiling", "Bangs"], 32, seed=3, count=24, split="test", workers=1)
    assert (source.name, source.attributes, source.image_size) == ("faces", ("Smiling", "Bangs"), 32)
    assert (source.images == again.images).all()


def test_open_collection_mistakes():
    with pytest.raises(UserError, match="--data=celebs: expected celeba, celeba_hq, tfds, folder, records"):
        open_collection("celebs", "somewhere")
    with pytest.raises(UserError, match="--data=celeba needs --data_dir"):
        open_collection("celeba", "")
