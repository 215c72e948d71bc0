"""What is measured on a photo."""

from __future__ import annotations

import numpy as np
import photos
import pytest

from elegant_tf.data.similarity import align, target_points
from elegant_tf.errors import UserError
from elegant_tf.images import write_image
from elegant_tf.synthetic.photo_base import DETAIL, MARGIN, eyes_frame, load_photos, make_base, turn_of

SIZE = 64


@pytest.fixture(scope="module")
def base():
    image, points = photos.photograph(0)
    return make_base(image, points, SIZE)


def test_the_frame_is_the_aligned_image(base):
    image, points = photos.photograph(0)
    margin = round(MARGIN * DETAIL * SIZE)
    frame = base.image.crop((margin, margin, base.image.width - margin, base.image.width - margin))
    aligned, similarity = align(image, points, SIZE)
    difference = np.abs(np.asarray(frame.reduce(DETAIL)).astype(int) - aligned)
    assert difference.mean() < 5
    np.testing.assert_allclose(base.points * SIZE - 0.5, similarity.points(points), atol=0.02)


@pytest.mark.parametrize("brighter", [0, 1])
def test_the_light_is_where_the_brighter_cheek_is(brighter):
    image, points = photos.photograph(1)
    half = image.shape[1] // 2
    columns = slice(half) if brighter == 1 else slice(half, None)
    image[:, columns] = image[:, columns] * 0.6
    base = make_base(image, points, SIZE)
    assert (base.light > 0.2) if brighter else (base.light < -0.2)
    assert (base.mirrored().light > 0) == (base.light < 0)


def test_a_mirror_image_is_measured_alike(base):
    twice = base.mirrored().mirrored()
    assert twice.image.tobytes() == base.image.tobytes()
    np.testing.assert_allclose(twice.points, base.points)
    assert (twice.cheeks, twice.temples, twice.head) == (base.cheeks, base.temples, base.head)
    assert base.mirrored().turn == pytest.approx(-base.turn)


def test_the_turn_follows_the_nose():
    points = target_points(100)
    assert abs(turn_of(points)) < 0.05
    points[2, 0] += 6
    assert turn_of(points) > 0.3
    frontal, turned = (eyes_frame(one)[0] for one in (target_points(100), points))
    assert np.linalg.norm(turned[1]) > np.linalg.norm(frontal[1])


def test_skin_and_head_are_found():
    """A pale disc of a face, with a dark band of hair that hides the left temple, on green."""
    image = np.full((200, 200, 3), (40, 160, 60), np.uint8)
    y, x = np.mgrid[:200, :200]
    image[np.hypot((x - 100) / 68, (y - 100) / 110) < 1] = (225, 180, 150)
    image[(np.hypot((x - 100) / 68, (y - 100) / 110) < 1) & (x < 52)] = (30, 20, 20)
    base = make_base(image, target_points(200), SIZE)
    assert base.skin == pytest.approx((225, 180, 150), abs=2)
    assert base.temples[0] < 0.26 < base.temples[1]
    assert all(0.24 < reach < 0.36 for reach in base.head)


def test_mistakes_name_the_photo(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: landmarks .*apart from each other"):
        load_photos([tmp_path / "a.png"], np.ones((1, 5, 2)), SIZE)
    with pytest.raises(UserError, match=r"b\.png: no such file"):
        load_photos([tmp_path / "b.png"], target_points(8)[None], SIZE)
