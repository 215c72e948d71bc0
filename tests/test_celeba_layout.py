"""CelebA's variants and CelebA-HQ's folder."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from elegant_tf.data.celeba_layout import open_celeba, open_celeba_hq
from elegant_tf.data.collection import CollectionSource
from elegant_tf.data.landmarks import COLUMNS
from elegant_tf.errors import UserError


def write_celeba(root, sizes, folder="img_align_celeba", landmarks=()):
    """Writes images of these sizes, of which every other has bangs, and landmark files of these names."""
    (root / folder).mkdir(parents=True)
    files = [f"{number:06d}.jpg" for number in range(1, len(sizes) + 1)]
    for file, size in zip(files, sizes, strict=True):
        Image.new("RGB", size, "gray").save(root / folder / file)
    rows = [f"{file} {number % 2 * 2 - 1}" for number, file in enumerate(files)]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(len(files)), "Bangs", *rows]))
    for number, name in enumerate(landmarks):
        rows = [f"{file} " + " ".join(str(10 * number + k) for k in range(10)) for file in files]
        (root / name).write_text("\n".join([str(len(files)), " ".join(COLUMNS), *rows]))
    return root


BOTH = ("list_landmarks_align_celeba.txt", "list_landmarks_celeba.txt")


@pytest.mark.parametrize("folder", ["img_align_celeba", "img_celeba", "Img/img_celeba"])
@pytest.mark.parametrize(
    ("sizes", "variant", "first"),
    [([(178, 218)] * 4, "aligned", 0), ([(409, 687), (423, 600), (178, 218), (1200, 900)], "in the wild", 10)],
)
def test_the_sizes_identify_the_variant_and_its_landmarks(tmp_path, folder, sizes, variant, first):
    collection = open_celeba(write_celeba(tmp_path / "c", sizes, folder, BOTH))
    assert collection.variant == variant
    assert collection.landmarks.shape == (4, 5, 2)
    assert collection.landmarks[2, 0].tolist() == [first, first + 1]


def test_the_landmarks_of_the_other_variant_are_not_taken(tmp_path):
    wild = write_celeba(tmp_path / "c", [(409, 687), (423, 600)], landmarks=BOTH[:1])
    assert open_celeba(wild).landmarks is None


def test_a_broken_image_does_not_hide_the_variant(tmp_path):
    root = write_celeba(tmp_path / "c", [(178, 218)] * 3, landmarks=BOTH)
    (root / "img_align_celeba" / "000001.jpg").write_text("not an image")
    assert open_celeba(root).variant == "aligned"


def test_hidden_files_of_other_systems_are_not_images(tmp_path):
    root = write_celeba(tmp_path / "c", [(178, 218)] * 2)
    (root / "img_align_celeba" / "._000001.jpg").write_text("")
    assert not open_celeba(root).unlabelled


@pytest.fixture
def celeba_hq(tmp_path):
    root = tmp_path / "CelebAMask-HQ"
    (root / "CelebA-HQ-img").mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (64, 64), (50 * number,) * 3).save(root / "CelebA-HQ-img" / f"{number}.jpg")
    rows = [f"{number}.jpg  {number % 2 * 2 - 1} -1" for number in range(4)]
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text("\n".join(["4", "Bangs Bald ", *rows]) + "\n")
    return root


def test_celeba_hq(celeba_hq):
    source = CollectionSource(open_celeba_hq(celeba_hq), ["Bangs"], 32, "train")
    assert source.name == "celeba_hq"
    assert source.labels.tolist() == [[0], [1], [0], [1]]
    np.testing.assert_allclose(source.load(3), 150.0, atol=2)
    with pytest.raises(UserError, match=r"CelebA-HQ-to-CelebA-mapping.txt, so all images are for training"):
        open_celeba_hq(celeba_hq).rows("test")


def test_celeba_hq_takes_celebas_splits(celeba_hq):
    rows = [f"{number:8d} {119_613 + number:10d} {119_614 + number:06d}.jpg" for number in range(4)]
    (celeba_hq / "CelebA-HQ-to-CelebA-mapping.txt").write_text("idx  orig_idx  orig_file\n" + "\n".join(rows))
    (celeba_hq / "list_eval_partition.txt").write_text(
        "".join(f"{119_614 + number:06d}.jpg {split}\n" for number, split in enumerate([0, 0, 2, 2]))
    )
    assert open_celeba_hq(celeba_hq).splits.tolist() == [0, 0, 2, 2]
    (celeba_hq / "CelebA-HQ-to-CelebA-mapping.txt").write_text("idx\n0 1\n")
    with pytest.raises(UserError, match="line 2: expected an index"):
        open_celeba_hq(celeba_hq)


def test_celeba_hq_without_its_parts(tmp_path):
    with pytest.raises(UserError, match="has no CelebAMask-HQ-attribute-anno"):
        open_celeba_hq(tmp_path)
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("0\nBangs\n")
    with pytest.raises(UserError, match="CelebA-HQ-img"):
        open_celeba_hq(tmp_path)


def write_kaggle(root, count=10):
    """Kaggle's copy: tables with a header, and the folder of images inside another of its name."""
    inner = root / "img_align_celeba" / "img_align_celeba"
    inner.mkdir(parents=True)
    files = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    for number, file in enumerate(files):
        Image.new("RGB", (178, 218), (20 * number,) * 3).save(inner / file)
    points = "69,109,106,113,77,142,73,152,108,154"
    tables = {
        "list_attr_celeba.csv": ("image_id,Bangs,Smiling", lambda number: f"{number % 2 * 2 - 1},1"),
        "list_eval_partition.csv": ("image_id,partition", lambda number: str(number // 4)),
        "list_landmarks_align_celeba.csv": ("image_id," + ",".join(COLUMNS), lambda _: points),
        "list_bbox_celeba.csv": ("image_id,x_1,y_1,width,height", lambda _: "95,71,226,313"),
    }
    for name, (header, row) in tables.items():
        (root / name).write_text("\n".join([header, *(f"{file},{row(n)}" for n, file in enumerate(files))]) + "\n")
    return root


def test_kaggles_copy(tmp_path):
    collection = open_celeba(write_kaggle(tmp_path))
    assert collection.variant == "aligned"
    assert collection.table.names == ("Bangs", "Smiling")
    assert collection.splits.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert collection.landmarks[3, 4].tolist() == [108, 154]
    source = CollectionSource(collection, ["Bangs"], 32, "train")
    assert source.labels.ravel().tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(source.load(3), 60, atol=2)
    collection.check_landmarks()


def test_landmarks_that_training_does_not_need_do_not_stop_it(tmp_path):
    root = write_kaggle(tmp_path)
    (root / "list_landmarks_align_celeba.csv").write_text("image_id,eyes\n000001.jpg,2\n")
    collection = open_celeba(root)
    assert collection.landmarks is None
    assert "list_landmarks_align_celeba.csv, line 1: expected the columns" in collection.landmarks_problem


def test_an_empty_outer_folder_gives_way_to_one_with_images(tmp_path):
    root = write_celeba(tmp_path / "c", [(178, 218)] * 2, folder="images")
    (root / "img_align_celeba" / ".ipynb_checkpoints").mkdir(parents=True)
    assert open_celeba(root).images_from == str(root / "images")
