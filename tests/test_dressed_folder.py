"""Dressed photos written in CelebA's layout."""

from __future__ import annotations

import json

import numpy as np
import photos
import pytest
from PIL import Image

from elegant_tf.data.attributes import read_attributes, read_partition
from elegant_tf.data.celeba_layout import open_celeba
from elegant_tf.data.landmarks import read_landmarks
from elegant_tf.errors import UserError
from elegant_tf.synthetic.dressed_folder import split_photos, write_dressed
from elegant_tf.synthetic.dressing import DIRECTIONS, WEARABLE

SIZE, COUNT, PHOTOS = 48, 17, 5


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return photos.write_photos(tmp_path_factory.mktemp("photos"), PHOTOS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, given):
    out = tmp_path_factory.mktemp("out") / "dressed"
    write_dressed(out, *given, count=COUNT, image_size=SIZE, seed=3, counterfactuals=2, workers=2)
    return out


def test_celebas_layout_is_opened(folder):
    collection = open_celeba(folder)
    assert collection.table.names == WEARABLE
    assert len(collection.table.files) == COUNT
    assert not collection.missing
    assert set(collection.splits.tolist()) == {0, 1, 2}
    with Image.open(folder / "img_align_celeba" / "000001.jpg") as image:
        assert image.size == (SIZE, SIZE)
    assert set(read_attributes(folder / "list_attr_celeba.txt").labels.ravel().tolist()) == {0, 1}
    points = read_landmarks(folder / "list_landmarks_align_celeba.txt", collection.table.files)
    assert (points[:, 0, 0] < points[:, 1, 0]).all()


def test_the_same_call_writes_the_same_bytes(folder, given, tmp_path):
    again = tmp_path / "again"
    write_dressed(again, *given, count=COUNT, image_size=SIZE, seed=3, counterfactuals=2, workers=1)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((folder / file).read_bytes() == (again / file).read_bytes() for file in files)


def test_no_photo_is_in_two_splits(folder, given, tmp_path):
    """Whatever the count is: image k shows photo k mod P, and a longer set begins with the shorter one."""
    parts = list(read_partition(folder / "list_eval_partition.txt").values())
    assert all(part == parts[number % PHOTOS] for number, part in enumerate(parts))
    assert set(parts[:PHOTOS]) == {0, 1, 2}
    write_dressed(tmp_path / "few", *given, count=4, image_size=SIZE, seed=3, counterfactuals=0)
    assert not (tmp_path / "few" / "counterfactuals").exists()
    for name in ("000001.jpg", "000004.jpg"):
        path = f"img_align_celeba/{name}"
        assert (tmp_path / "few" / path).read_bytes() == (folder / path).read_bytes()


def test_photos_that_are_all_held_out_are_all_tested_on(given, tmp_path):
    write_dressed(tmp_path, *given, count=4, image_size=SIZE, seed=3, counterfactuals=PHOTOS, held_out=True)
    assert set(read_partition(tmp_path / "list_eval_partition.txt").values()) == {2}
    inputs = {path.read_bytes() for path in (tmp_path / "counterfactuals").glob("input_*.png")}
    assert len(inputs) == 9 * PHOTOS


@pytest.mark.parametrize("count", [3, 4, 9, 10, 25, 100])
def test_every_split_has_photos(count):
    sizes = np.bincount(split_photos(count), minlength=3)
    assert (sizes > 0).all()
    assert sizes[0] >= sizes[1] >= 1
    if count >= 100:
        assert sizes.tolist() == [80, 10, 10]


def test_counterfactuals_of_all_kinds_are_listed(folder):
    index = json.loads((folder / "counterfactuals" / "index.json").read_text())
    assert (index["version"], index["image_size"], index["seed"]) == (2, SIZE, 3)
    kinds = [(*entry["attributes"], entry["direction"]) for entry in index["counterfactuals"]]
    assert kinds == [(name, direction) for name in WEARABLE for direction in DIRECTIONS for _ in range(2)]
    for entry in index["counterfactuals"]:
        source, target = (
            np.asarray(Image.open(folder / "counterfactuals" / entry[role])) for role in ("input", "target")
        )
        changed = (source != target).any(axis=-1).mean()
        assert 0 < changed < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "--count=0"),
        ({"image_size": 15}, "--image_size=15"),
        ({"counterfactuals": -1}, "--counterfactuals=-1"),
        ({"attributes": ("Bangs",)}, "unknown attribute 'Bangs'"),
        ({"attributes": ()}, "--attributes is empty"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(given, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        write_dressed(tmp_path / "out", *given, **{"count": 1, "image_size": 16, "seed": 0, **options})
    assert not list(tmp_path.iterdir())


def test_too_few_photos_and_damaged_ones_leave_nothing(given, tmp_path):
    paths, points = given
    with pytest.raises(UserError, match="2 photos to dress: expected at least 3"):
        write_dressed(tmp_path / "out", paths[:2], points[:2], count=1, image_size=16, seed=0)
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(UserError, match=r"bad\.png"):
        write_dressed(tmp_path / "out", [tmp_path / "bad.png", *paths[1:]], points, count=9, image_size=16, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]
