"""Where accessories are drawn on a photo, and in what light."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from elegant_tf.data.similarity import target_points
from elegant_tf.synthetic.accessories import PhotoCanvas, dress
from elegant_tf.synthetic.canvas import UNMOVED
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.photo_base import make_base
from elegant_tf.synthetic.shapes import ellipse
from elegant_tf.synthetic.styles import Mustache, Styles, make_style

SKIN, HAIR = (200, 160, 130), (80, 64, 52)


def photo(points, gain=1.0):
    """A base of plain skin with these landmarks, in fractions of the image."""
    image = np.full((128, 128, 3), np.array(SKIN) * gain, np.uint8)
    image[-1] = 255 * gain
    return make_base(image, points * 128, 64)


def changed(base, **styles):
    """The rows and columns, as fractions, that dressing a base changes by more than a soft shadow does."""
    image = Image.new("RGB", (200, 200), SKIN)
    dress(image, base, Styles(**styles), UNMOVED)
    strong = np.abs(np.asarray(image).astype(int) - SKIN).max(axis=-1) > 60
    return [(np.flatnonzero(strong.any(axis=1 - axis)) + 0.5) / 200 for axis in (0, 1)]


@pytest.mark.parametrize("turn", [0.0, 0.04, -0.04])
def test_everything_is_where_it_belongs(turn):
    points = target_points(1)
    points[2, 0] += turn
    base, dice = photo(points), Dice("place")
    eyes, nose, mouth = base.points[:2].mean(axis=0), base.points[2], base.points[3:].mean(axis=0)
    rows, columns = changed(base, Eyeglasses=make_style("Eyeglasses", dice))
    assert rows.min() > eyes[1] - 0.2
    assert rows.max() < nose[1] + 0.02
    assert columns.min() < base.points[0, 0] - 0.05
    assert columns.max() > base.points[1, 0] + 0.05
    rows, columns = changed(base, Mustache=Mustache("chevron", 0.12, 1.0, (40, 30, 20)))
    assert nose[1] < rows.min()
    assert rows.max() < mouth[1] + 0.06
    assert (columns.min() + columns.max()) / 2 == pytest.approx(0.3 * nose[0] + 0.7 * mouth[0], abs=0.015)
    rows, _ = changed(base, Wearing_Hat=make_style("Wearing_Hat", dice))
    assert rows.min() < 0.05
    assert rows.max() < eyes[1]


def test_shadows_darken_hair_as_they_darken_skin():
    """The shadow of pale skin would be lighter than dark hair."""
    image = Image.new("RGB", (64, 64), SKIN)
    image.paste(HAIR, (0, 0, 32, 64))
    before = np.asarray(image).astype(int)
    canvas = PhotoCanvas(image, UNMOVED, SKIN, width=0.4)
    canvas.soft([ellipse(0.5, 0.5, 0.5, 0.3)], (100, 80, 65), 1.0, 0.02)
    after = np.asarray(image)
    assert (after <= before).all()
    np.testing.assert_allclose(after[32, [20, 44]] / before[32, [20, 44]], 0.5, atol=0.06)
    assert (after[:, :3] == before[:, :3]).all(), "a shadow falls beside the head"


def test_a_dark_photo_gets_dark_accessories():
    style = make_style("Wearing_Hat", Dice("light"))
    means = []
    for gain in (1.0, 0.5):
        image = Image.new("RGB", (96, 96), SKIN)
        dress(image, photo(target_points(1), gain), Styles(Wearing_Hat=style), UNMOVED)
        means.append(np.asarray(image)[:8].mean())
    assert means[1] < 0.9 * means[0]
