"""Disturbances of images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from elegant_tf.data.disturbance import about_centre, blurred, compressed, jittered, known, lit, moved

SIZE = 64
MIDDLE = (SIZE - 1) / 2


def waves() -> np.ndarray:
    """Smooth, and different everywhere: uint8 [S, S, 3]."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return np.rint(127 + 90 * np.stack([np.sin(5 * x), np.cos(4 * y), np.sin(3 * (x + y))], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("options", "point", "expected"),
    [
        ({"shift": 0.25 + 0.125j}, (0, 0), (16, 8)),
        ({"scale": 0.5}, (0, MIDDLE), (MIDDLE / 2, MIDDLE)),
        ({"angle": math.pi / 2}, (MIDDLE, 0), (2 * MIDDLE, MIDDLE)),  # clockwise: from the top to the right
        ({"scale": 0.5, "angle": math.pi, "shift": 0.25}, (MIDDLE, 0), (MIDDLE + 16, MIDDLE * 1.5)),
    ],
)
def test_moves_about_the_centre(options, point, expected):
    np.testing.assert_allclose(about_centre(SIZE, **options).points(np.array(point)), expected, atol=1e-9)


def test_a_moved_image_is_known_where_it_comes_from_within():
    image, still = waves(), about_centre(SIZE)
    np.testing.assert_array_equal(moved(image, still), image)
    assert known(SIZE, still).all()
    aside = about_centre(SIZE, shift=0.25)
    np.testing.assert_array_equal(moved(image, aside)[:, 16:], image[:, :48])
    assert (moved(image, aside)[:, :16] == image[:, :1]).all()
    assert (known(SIZE, aside) == (np.arange(SIZE) >= 16)).all()
    there = about_centre(SIZE, shift=0.05 - 0.03j, scale=1.1, angle=0.2)
    back = moved(moved(image, there), there.inverse())
    both = known(SIZE, there.inverse()) & moved(
        np.repeat(known(SIZE, there)[..., None], 3, 2) * np.uint8(255), there.inverse()
    ).all(axis=-1)
    assert both.mean() > 0.5
    assert np.abs(back.astype(int) - image)[both].max() <= 3


@pytest.mark.parametrize(
    ("jitter", "options"),
    [
        ((0.02, -0.01, 0, 0), {"shift": 0.02 - 0.01j}),
        ((0, 0, 0.02, 0), {"angle": 0.04}),  # moves what is half a side from the centre by 0.02 sides
        ((0, 0, 0, -0.02), {"scale": 0.96}),
    ],
)
def test_jitter_is_measured_in_sides_of_the_image(jitter, options):
    image = waves()
    np.testing.assert_array_equal(jittered(image, np.array(jitter)), moved(image, about_centre(SIZE, **options)))


def test_compression_blur_and_light():
    image = waves()
    image[::2, ::3] = 255 - image[::2, ::3]
    errors = [np.abs(compressed(image, quality).astype(int) - image).mean() for quality in (95, 50, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]
    point = np.zeros((SIZE, SIZE, 3), np.uint8)
    point[32, 32] = 255
    spread = blurred(point, 2 / SIZE)[..., 0].astype(float)
    x = np.arange(SIZE) - 32
    assert math.sqrt((spread * x**2).sum() / spread.sum()) == pytest.approx(2, abs=0.3)
    assert lit(np.array([[[0, 101, 250]]], np.uint8), 1.5).tolist() == [[[0, 152, 255]]]
    assert lit(np.array([[[0, 101, 250]]], np.uint8), 0.5).tolist() == [[[0, 50, 125]]]
