from __future__ import annotations

import pytest

from elegant_tf.data.landmarks import COLUMNS, read_landmarks
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
