"""Which photos are dressed, and whose landmarks they have."""

from __future__ import annotations

import json

import numpy as np
import photos
import pytest

from elegant_tf.data.align import Face
from elegant_tf.data.landmarks import COLUMNS, POINTS
from elegant_tf.errors import UserError
from elegant_tf.images import write_image
from elegant_tf.synthetic.dressing import WEARABLE
from elegant_tf.synthetic.photo_list import list_photos

COUNT = 4


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return photos.write_photos(tmp_path_factory.mktemp("photos"), COUNT)


def name_of(path):
    return path.rpartition("/")[2]


def write_landmarks(path, paths, points):
    rows = [[name_of(one), *marks.ravel().round(3).tolist()] for one, marks in zip(paths, points, strict=True)]
    if path.suffix == ".json":
        marks = [dict(zip(POINTS, one.tolist(), strict=True)) for one in points]
        entries = [{"photo": one, "landmarks": mark} for one, mark in zip(paths, marks, strict=True)]
        path.write_text(json.dumps(entries))
    elif path.suffix == ".csv":
        path.write_text("\n".join(",".join(map(str, row)) for row in [["file", *COLUMNS], *rows]))
    else:
        path.write_text("\n".join([str(len(rows)), " ".join(COLUMNS), *(" ".join(map(str, row)) for row in rows)]))
    return path


@pytest.mark.parametrize("name", ["align.json", "points.csv", "points.txt"])
def test_landmarks_are_read(written, tmp_path, name):
    paths, points = written
    file = write_landmarks(tmp_path / name, paths[::-1], points[::-1])
    found = list_photos(paths[:3], WEARABLE, landmarks=file)
    assert found.paths == tuple(paths[:3])
    np.testing.assert_allclose(found.landmarks, points[:3], atol=1e-3)
    assert not found.left_out


def test_faces_are_found_and_failures_told(written, tmp_path):
    paths, points = written
    (tmp_path / "broken.png").write_text("no image")
    write_image(tmp_path / "turned.png", photos.photograph(9)[0])
    turned = points[0] + [[0, 0], [0, 0], [18, 0], [0, 0], [0, 0]]
    answers = iter([[Face(points[0], 9, 9)], [], [Face(turned, 9, 9)]])
    given = [paths[0], paths[1], str(tmp_path / "turned.png"), str(tmp_path / "broken.png")]
    found = list_photos(given, WEARABLE, detect=lambda image: next(answers))
    assert found.paths == (paths[0],)
    reasons = "\n".join(found.left_out)
    assert f"{paths[1]}: no face" in reasons
    assert "broken.png: is not an image" in reasons or "broken.png" in reasons
    assert "turned.png: the head turns too far" in reasons


@pytest.mark.parametrize(
    ("name", "text", "attributes", "gone"),
    [
        ("out.txt", "# hats\nperson 1.png\n\nperson 3.png\n", WEARABLE, {1, 3}),
        (
            "out.csv",
            "file,Eyeglasses,Mustache\nperson 0.png,1,0\nperson 2.png,0,1\nperson 3.png,0,0\n",
            WEARABLE,
            {0, 2},
        ),
        ("out.csv", "file,Eyeglasses,Mustache\nperson 0.png,1,0\nperson 2.png,0,1\n", ("Mustache",), {2}),
        ("out.txt", "2\nWearing_Hat Young\nperson 2.png 1 -1\nperson 1.png -1 1\n", WEARABLE, {2}),
    ],
)
def test_photos_are_left_out(written, tmp_path, name, text, attributes, gone):
    paths, points = written
    (tmp_path / name).write_text(text)
    landmarks = write_landmarks(tmp_path / "align.json", paths, points)
    found = list_photos(paths, attributes, landmarks, tmp_path / name)
    assert found.paths == tuple(path for index, path in enumerate(paths) if index not in gone)
    assert len(found.left_out) == len(gone)


@pytest.mark.parametrize(
    ("option", "name", "text", "message"),
    [
        ("landmarks", "a.json", "{}x", "is not an align.json"),
        ("landmarks", "a.json", '[{"photo": "a.png"}]', "is not an align.json"),
        ("landmarks", "a.json", "[]", r"has no line for 4 of the 4 images \(person 0.png"),
        ("landmarks", "a.csv", "file,x\na,1\n", "expected the columns lefteye_x"),
        ("landmarks", "a.txt", "1\nx y\n", "expected the columns"),
        ("landmarks", "b.txt", None, "no such file|cannot be read|No such file"),
        ("leave_out", "a.txt", "someone.png\n", "none of its 1 photos is in --input"),
        ("leave_out", "a.csv", "file,Young\nperson 0.png,1\n", "has no column Eyeglasses or"),
        ("leave_out", "b.csv", None, "no such file|cannot be read|No such file"),
    ],
)
def test_mistakes_name_flag_and_file(written, tmp_path, option, name, text, message):
    paths, points = written
    if text is not None:
        (tmp_path / name).write_text(text)
    options = {"landmarks": write_landmarks(tmp_path / "good.json", paths, points), option: tmp_path / name}
    with pytest.raises(UserError, match=rf"--{option}=.*{name}.*({message})"):
        list_photos(paths, WEARABLE, **options)


def test_equal_names_and_an_empty_list_are_refused(written, tmp_path):
    paths, points = written
    twin = str(tmp_path / name_of(paths[0]))
    landmarks = write_landmarks(tmp_path / "align.json", paths, points)
    with pytest.raises(UserError, match="have the same name"):
        list_photos([paths[0], twin], WEARABLE, landmarks)
    with pytest.raises(UserError, match=r"no photo can be dressed:\n.*no face"):
        list_photos(paths[:1], WEARABLE, detect=lambda image: [])
