"""From photos to aligned faces. MTCNN, if it is installed, also finds drawn faces, whose points are known."""

from __future__ import annotations

import json

import dirty
import numpy as np
import pytest

from elegant_tf.cli.main import main
from elegant_tf.data.align import Face, align_faces, align_photos, find_largest, make_detector
from elegant_tf.data.landmarks import POINTS
from elegant_tf.data.similarity import align, target_points
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, write_image
from elegant_tf.synthetic import make_face

SIZE = 64


def party(places=((20, 30, 90), (150, 10, 140))) -> tuple[np.ndarray, list[np.ndarray]]:
    """An image with drawn faces at these x, y and of these sizes, and their points."""
    image, points = np.full((180, 320, 3), 90, np.uint8), []
    for number, (x, y, size) in enumerate(places):
        face = make_face(0, number)
        image[y : y + size, x : x + size] = face.draw(size)
        points.append(face.landmarks(size) + [x, y])
    return image, points


def knows(points, sizes=(90, 140)):
    """A detector that finds these faces, the largest first."""
    faces = [Face(part, size, size) for part, size in zip(points, sizes, strict=True)]
    return lambda image: sorted(faces, key=lambda face: -face.width)


def test_which_faces():
    image, points = party()
    detect = knows(points)
    for which, expected in (("largest", [1]), ("0", [1]), ("1", [0]), ("all", [1, 0])):
        found = align_faces(image, SIZE, detect, which)
        assert [np.array_equal(face.points, points[number]) for face, number in zip(found, expected, strict=True)]
        for face, number in zip(found, expected, strict=True):
            assert (face.image == align(image, points[number], SIZE)[0]).all()
    assert (find_largest(image, detect) == points[1]).all()
    with pytest.raises(UserError, match="--faces=2: 2 faces were found"):
        align_faces(image, SIZE, detect, "2")


def test_no_face():
    for which in ("largest", "all", "0"):
        with pytest.raises(UserError, match="no face was found in 320 x 180 pixels"):
            align_faces(party()[0], SIZE, lambda image: [], which)


def test_large_images_are_reduced_and_points_are_those_of_the_whole():
    sizes = []

    def detect(image):
        sizes.append(image.shape[:2])
        scale = image.shape[1] / 3000
        return [Face((target_points(1000) + 0.5) * scale - 0.5, 1000 * scale, 1000 * scale)]

    points = find_largest(np.zeros((2000, 3000, 3), np.uint8), detect)
    assert sizes == [(500, 750)]
    np.testing.assert_allclose(points, target_points(1000), atol=1e-6)


def test_faces_too_small_in_the_reduced_image_are_found_in_the_whole():
    points = target_points(100)
    found = find_largest(
        np.zeros((2000, 3000, 3), np.uint8), lambda image: [Face(points, 50, 50)] if image.shape[1] == 3000 else []
    )
    assert (found == points).all()


@pytest.fixture
def photos(tmp_path):
    image, points = party()
    paths = [tmp_path / "photos" / name for name in ("a b.png", "ç.png")]
    for path in paths:
        write_image(path, image)
    return paths, image, points


def test_files_and_their_index(photos, tmp_path):
    paths, image, points = photos
    entries = align_photos(paths, tmp_path / "out", SIZE, detect=knows(points))
    assert json.loads((tmp_path / "out" / "align.json").read_text()) == entries
    assert [(entry["file"], entry["photo"]) for entry in entries] == [
        ("a b.png", str(paths[0])),
        ("ç.png", str(paths[1])),
    ]
    face, similarity = align(image, points[1], SIZE)
    assert (read_image(tmp_path / "out" / "ç.png") == face).all()
    assert list(entries[0]["landmarks"]) == list(POINTS)
    matrix = np.array(entries[0]["matrix"])
    np.testing.assert_allclose(points[1] @ matrix[:, :2].T + matrix[:, 2], similarity.points(points[1]))


def test_all_faces_get_numbers(photos, tmp_path):
    paths, _, points = photos
    entries = align_photos(paths[:1], tmp_path / "out", SIZE, "all", knows(points))
    assert [entry["file"] for entry in entries] == ["a b_0.png", "a b_1.png"]


def test_bad_photos_are_all_named_and_the_others_written(photos, tmp_path):
    paths, _, points = photos
    good, bad = dirty.write(tmp_path / "dirty")
    files = [tmp_path / "dirty" / name for name in (*bad, "wrong extension.jpg")]
    with pytest.raises(UserError) as error:
        align_photos([*files, *paths], tmp_path / "out", SIZE, detect=knows(points))
    assert f"{len(bad)} of {len(bad) + 3} photos were not aligned:" in str(error.value)
    for name in bad:
        assert str(tmp_path / "dirty" / name) in str(error.value)
    assert good
    entries = json.loads((tmp_path / "out" / "align.json").read_text())
    assert [entry["file"] for entry in entries] == ["wrong extension.png", "a b.png", "ç.png"]


def test_mistakes(photos, tmp_path):
    paths, _, points = photos
    detect = knows(points)
    for arguments, expected in (
        ((paths, tmp_path / "out", SIZE, "best"), "--faces=best"),
        ((paths, tmp_path / "out", 3, "largest"), "--image_size=3"),
        (([paths[0], tmp_path / "a b.jpg"], tmp_path / "out", SIZE, "largest"), "would both become a b.png"),
    ):
        with pytest.raises(UserError, match=expected):
            align_photos(*arguments, detect=detect)
    assert not (tmp_path / "out").exists()
    align_photos(paths, tmp_path / "out", SIZE, detect=detect)
    with pytest.raises(UserError, match="holds aligned faces already"):
        align_photos(paths, tmp_path / "out", SIZE, detect=detect)


@pytest.fixture(scope="module")
def detect():
    pytest.importorskip("mtcnn")
    return make_detector()


def test_drawn_faces_are_found(detect):
    """Pupils are found within 5 px if they are 60 px apart; in photos, more exactly."""
    for number in range(4):
        face = make_face(0, number)
        points = find_largest(face.draw(256), detect)
        exact = face.landmarks(256)
        scale = 60 / np.hypot(*(exact[1] - exact[0]))
        assert np.hypot(*(points - exact)[:2].T).max() * scale < 5


def test_images_without_faces(detect):
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    for image in (np.zeros((200, 300, 3), np.uint8), noise, noise[:1, :1], noise[:, :3]):
        with pytest.raises(UserError, match="no face was found"):
            find_largest(image, detect)


def test_the_command(detect, tmp_path, capsys):
    write_image(tmp_path / "photos" / "one.png", make_face(0, 3).draw(200))
    words = ["align", "--input", str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--image_size", "128"]
    assert main(words) == 0
    assert "1 faces from 1 photos" in capsys.readouterr().out
    assert read_image(tmp_path / "out" / "one.png").shape == (128, 128, 3)
    write_image(tmp_path / "empty.png", np.zeros((100, 100, 3), np.uint8))
    assert main(["align", "--input", str(tmp_path / "empty.png"), "--out", str(tmp_path / "more")]) == 2
    assert "empty.png: no face was found" in capsys.readouterr().err


def test_without_mtcnn(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mtcnn", None)
    with pytest.raises(UserError, match=r"elegant-tf\[align\]"):
        make_detector()
