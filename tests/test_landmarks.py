"""The landmarks of faces, and the conventions in which other programs write them."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.data.landmarks import COLUMNS, check_convention, check_points, read_landmarks
from elegant_tf.data.similarity import target_points
from elegant_tf.errors import UserError

HEAD = "2\n" + " ".join(COLUMNS) + "\n"


def test_points_of_the_files_asked_for(tmp_path):
    path = tmp_path / "points.txt"
    path.write_text(HEAD + "a b.jpg  1 2 3 4 5 6 7 8 9 10\r\nc.jpg 69 109 106 113 77 142 73 152 108 154.5\r\n")
    points = read_landmarks(path, ["c.jpg", "a b.jpg"])
    assert points.shape == (2, 5, 2)
    assert points[0, 4].tolist() == [108, 154.5]
    assert points[1, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "a.jpg 1 2 3\n", "line 3: expected a file name and ten numbers"),
        (HEAD + "a.jpg 1 2 3 4 5 6 7 8 9 ten\n", "line 3"),
        (HEAD + "a.jpg 1 2 3 4 5 6 7 8 9 10\na.jpg 1 2 3 4 5 6 7 8 9 10\n", "line 4: 'a.jpg' was already on line 3"),
        (HEAD.replace("nose_x", "chin_x") + "a.jpg 1 2 3 4 5 6 7 8 9 10\n", "line 2: expected the columns lefteye_x"),
        (HEAD + "b.jpg 1 2 3 4 5 6 7 8 9 10\n", "no line for 1 of the 1 images"),
    ],
)
def test_malformed_files_are_named(tmp_path, text, expected):
    path = tmp_path / "points.txt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_landmarks(path, ["a.jpg"])
    assert expected in str(error.value)
    assert str(path) in str(error.value)


def test_the_header_tells_the_order(tmp_path):
    path = tmp_path / "points.txt"
    path.write_text("1\n" + " ".join(reversed(COLUMNS)) + "\na.jpg 10 9 8 7 6 5 4 3 2 1\n")
    assert read_landmarks(path, ["a.jpg"])[0].tolist() == np.arange(1, 11).reshape(5, 2).tolist()


WIDTH, HEIGHT = 178, 218


def faces(count=12, turn=15):
    """Landmarks `[count, 5, 2]` of faces of 80 to 110 pixels near the middle of images, turned a little."""
    random = np.random.default_rng(0)
    points = target_points(1.0) - 0.5 + random.normal(0, 0.015, (count, 5, 2))
    angles = np.radians(random.uniform(-turn, turn, count))
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=1).reshape(-1, 2, 2)
    sizes, middles = random.uniform(80, 110, (count, 1, 1)), random.normal(0, 5, (count, 1, 2)) + [WIDTH / 2, 110]
    return points @ turns * sizes + middles


def check(points):
    check_convention(points, [(WIDTH, HEIGHT)] * len(points))


def exchanged(*order):
    return lambda points: points[:, list(order)]


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        (exchanged(1, 0, 2, 4, 3), "left and right exchanged"),
        (lambda points: [WIDTH, 0] + points * [-1, 1], "left and right exchanged"),
        (exchanged(1, 0, 2, 3, 4), "the eyes exchanged"),
        (exchanged(0, 1, 2, 4, 3), "the corners of the mouth exchanged"),
        (lambda points: points[..., ::-1], "x and y exchanged"),
        (lambda points: [0, HEIGHT] + points * [1, -1], "y upwards"),
        (exchanged(2, 0, 1, 3, 4), "look like nose, lefteye, righteye, leftmouth, rightmouth"),
        (exchanged(0, 2, 1, 3, 4), "look like lefteye, nose, righteye, leftmouth, rightmouth"),
        (lambda points: points / [WIDTH, HEIGHT], "divided by the size"),
        (lambda points: points / [WIDTH, HEIGHT] * 2 - 1, "divided by the size"),
        (lambda points: points / [WIDTH, HEIGHT] * 100, "per cent"),
        (lambda points: points / 2, "smaller images"),
        (lambda points: points * 2.5, "larger images"),
        (lambda points: points - [50, 50], "bounding box"),
        (lambda points: points / 20 + [90, 110], "tiny faces"),
        (lambda points: np.stack([HEIGHT - points[..., 1], points[..., 0]], axis=-1) * 0.8, "turned by 90 degrees"),
        (lambda points: [WIDTH, HEIGHT] - points, "turned by 180 degrees"),
        (lambda points: points * 0 + 90, "coincide"),
    ],
)
def test_other_conventions_are_recognized(convention, expected):
    points = faces(turn=0 if "turned" in expected else 15)
    check(points)
    with pytest.raises(UserError) as error:
        check(convention(points))
    assert expected.removesuffix("90 degrees") in str(error.value)
    assert "\n" not in str(error.value)


def test_profiles_and_gaps_are_not_a_convention():
    points = faces(turn=40)
    check((points - [90, 110]) * [0.4, 1] + [90, 110])
    points[3] = np.nan
    check(points)
    check(np.full((3, 5, 2), np.nan))


def test_one_image():
    points = faces(1)[0]
    check_points(points, (WIDTH, HEIGHT))
    check_points([WIDTH, HEIGHT] - points, (WIDTH, HEIGHT))  # upside down
    for odd, expected in (
        (points * np.nan, "has no landmarks"),
        (points + 200, "lie outside its 178 x 218 pixels"),
        (points[[1, 0, 2, 4, 3]], "have left and right exchanged"),
        (points / 300, "divided by the size"),
    ):
        with pytest.raises(UserError, match=expected):
            check_points(odd, (WIDTH, HEIGHT))
