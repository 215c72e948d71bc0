"""Faces written in CelebA's layout."""

from __future__ import annotations

import json

import disk
import numpy as np
import pytest
from PIL import Image

from elegant_tf.data.attributes import CELEBA_ATTRIBUTES, read_attributes, read_partition
from elegant_tf.data.landmarks import COLUMNS, read_landmarks
from elegant_tf.errors import UserError
from elegant_tf.synthetic import ATTRIBUTES, draw_faces, make_counterfactuals, make_face, write_celeba


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("celeba") / "with spaces and ü"
    write_celeba(out, count=20, image_size=48, seed=4, counterfactuals=12)
    return out


def test_the_folder_holds_what_celebas_does(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "counterfactuals",
        "img_align_celeba",
        "list_attr_celeba.txt",
        "list_eval_partition.txt",
        "list_landmarks_align_celeba.txt",
    ]
    files = sorted(path.name for path in (folder / "img_align_celeba").iterdir())
    assert files == [f"{number:06d}.jpg" for number in range(1, 21)]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_images_are_the_faces(folder):
    for number in (1, 20):
        with Image.open(folder / "img_align_celeba" / f"{number:06d}.jpg") as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (48, 48))
            difference = np.asarray(image).astype(int) - make_face(4, number - 1).draw(48)
        assert np.abs(difference).mean() < 3


def test_the_label_table_is_celebas(folder):
    lines = (folder / "list_attr_celeba.txt").read_text().splitlines()
    assert lines[0] == "20"
    assert lines[1].split() == list(CELEBA_ATTRIBUTES)
    assert len(lines) == 22
    for index, line in enumerate(lines[2:]):
        name, *values = line.split()
        assert name == f"{index + 1:06d}.jpg"
        assert len(values) == 40
        assert set(values) <= {"-1", "1"}
        labels = dict(zip(CELEBA_ATTRIBUTES, map(int, values), strict=True))
        face = make_face(4, index)
        assert [labels[name] for name in ATTRIBUTES] == (2 * face.labels - 1).tolist()
        assert labels["No_Beard"] == -labels["Mustache"]
        hair = [labels[name] for name in ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")]
        assert hair.count(1) <= 1
    table = read_attributes(folder / "list_attr_celeba.txt").select(ATTRIBUTES)
    assert np.array_equal(table.labels, np.stack([make_face(4, index).labels for index in range(20)]))


def test_the_landmark_table_is_celebas(folder):
    path = folder / "list_landmarks_align_celeba.txt"
    lines = path.read_text().splitlines()
    assert lines[:2] == ["20", " ".join(COLUMNS)]
    assert lines[2].split()[1:] == np.rint(make_face(4, 0).landmarks(48)).astype(int).ravel().astype(str).tolist()
    points = read_landmarks(path, [f"{number:06d}.jpg" for number in range(1, 21)])
    assert np.abs(points - [make_face(4, index).landmarks(48) for index in range(20)]).max() <= 0.5


def test_the_partition_is_eight_one_one(folder):
    parts = read_partition(folder / "list_eval_partition.txt")
    assert list(parts) == [f"{number:06d}.jpg" for number in range(1, 21)]
    assert [list(parts.values()).count(part) for part in range(3)] == [16, 2, 2]


def test_counterfactual_images_are_listed_and_exact(folder):
    index = json.loads((folder / "counterfactuals" / "index.json").read_text())
    assert (index["version"], index["image_size"], index["seed"]) == (2, 48, 4)
    entries = index["counterfactuals"]
    pairs = make_counterfactuals(4, 12)
    assert [entry["attributes"] for entry in entries] == [list(pair.attributes) for pair in pairs]
    assert [entry["direction"] for entry in entries] == ["add"] * 5 + ["remove"] * 5 + ["add"] * 2
    for entry, pair in zip(entries, pairs, strict=True):
        for role in ("input", "exemplar", "target"):
            assert entry[role].startswith(f"{role}_")
            with Image.open(folder / "counterfactuals" / entry[role]) as image:
                assert np.array_equal(np.asarray(image), getattr(pair, role).draw(48))
    assert len(list((folder / "counterfactuals").iterdir())) == 3 * 12 + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "--count=0"),
        ({"count": -3}, "--count=-3"),
        ({"image_size": 15}, "--image_size=15"),
        ({"image_size": 100_000}, "--image_size=100000"),
        ({"counterfactuals": -1}, "-1"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        write_celeba(tmp_path / "out", **{"count": 1, "image_size": 16, "seed": 0, "counterfactuals": 1, **arguments})
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="already exists"):
        write_celeba(tmp_path, count=1, image_size=16, seed=0)
    with pytest.raises(UserError, match="already exists"):
        write_celeba(tmp_path / "mine.txt", count=1, image_size=16, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_celeba(tmp_path / "file" / "out", count=1, image_size=16, seed=0)


def test_an_empty_folder_may_be_filled_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("elegant_tf.synthetic.celeba.draw_faces", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_celeba(tmp_path / "out", count=1, image_size=16, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.undo()
    write_celeba(tmp_path / "out", count=2, image_size=16, seed=0, counterfactuals=0)
    assert (tmp_path / "out" / "list_attr_celeba.txt").exists()


def test_a_disk_without_room(tmp_path, monkeypatch):
    """Noticed before the first face is drawn; if it fills up later, nothing is left."""
    out, draw = tmp_path / "out", draw_faces
    with disk.filling() as fill:
        fill()
        monkeypatch.setattr("elegant_tf.synthetic.celeba.draw_faces", pytest.fail)
        with pytest.raises(UserError, match=r"--out=.*out: cannot be written in .*: File too large"):
            write_celeba(out, count=1, image_size=16, seed=0)
    with disk.filling() as fill:
        monkeypatch.setattr("elegant_tf.synthetic.celeba.draw_faces", lambda *options: (draw(*options), fill())[0])
        with pytest.raises(UserError, match=rf"{out}/img_align_celeba/000001.jpg: cannot be written: File too large"):
            write_celeba(out, count=1, image_size=16, seed=0)
    assert not list(tmp_path.iterdir())
