"""`elegant-tf dress`."""

from __future__ import annotations

import json

import photos
import pytest

from elegant_tf.cli.main import main
from elegant_tf.data.landmarks import POINTS
from elegant_tf.evaluation.counterfactuals import read_counterfactuals


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a folder of photos and their landmarks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    paths, points = photos.write_photos(tmp_path / "photos", 4)
    marks = [dict(zip(POINTS, one.tolist(), strict=True)) for one in points]
    entries = [{"photo": path, "landmarks": mark} for path, mark in zip(paths, marks, strict=True)]
    (tmp_path / "align.json").write_text(json.dumps(entries))
    return tmp_path


LINE = "dress --input photos --landmarks align.json --out out --image_size 32 --count 6"


def test_photos_become_a_data_set_with_targets(place, capsys):
    (place / "worn.txt").write_text("person 2.png\n")
    (place / "photos" / "README.md").write_text("not a photo")
    line = f"{LINE} --attributes Eyeglasses,Mustache --counterfactuals 2 --leave_out worn.txt"
    assert main(line.split()) == 0
    said = capsys.readouterr()
    assert said.out == "out: 6 images of 3 photos, 1 left out\n"
    assert "left out: photos/person 2.png: is in worn.txt" in said.err
    assert (place / "out" / "list_attr_celeba.txt").read_text().splitlines()[1] == "Eyeglasses Mustache"
    edits = read_counterfactuals(place / "out", ("Mustache",), 32, count=9)
    assert [(name, direction, len(rows)) for name, direction, rows in edits.kinds()] == [
        ("Mustache", direction, 2) for direction in ("add", "remove", "restyle")
    ]


def test_faces_are_found_without_landmarks(place, monkeypatch, capsys):
    from elegant_tf.data.align import Face

    found = iter([[Face(photos.photograph(index)[1], 9, 9)] for index in range(3)] + [[]])
    monkeypatch.setattr("elegant_tf.data.align.make_detector", lambda: lambda image: next(found))
    line = f"{LINE} --counterfactuals 0".replace("--landmarks align.json", "")
    assert main(line.split()) == 0
    assert "left out: photos/person 3.png: no face was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--attributes Bangs", "unknown attribute 'Bangs'"),
        ("--out align.json", "--out=align.json: exists already"),
        ("--count 0", "--count=0"),
        ("--landmarks nothing.json", "--landmarks=nothing.json"),
        ("--leave_out nothing.txt", "--leave_out=nothing.txt"),
        ("--input nowhere", "nowhere"),
    ],
)
def test_mistakes_end_with_a_line(place, capsys, options, message):
    assert main([*LINE.split(), *options.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (place / "out").exists()
