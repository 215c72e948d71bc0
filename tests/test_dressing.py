"""Dressed photos: a function of seed and number, exact in their targets."""

from __future__ import annotations

import numpy as np
import photos
import pytest

from elegant_tf.errors import UserError
from elegant_tf.synthetic.dressing import (
    DIRECTIONS,
    WEARABLE,
    DressedPhoto,
    make_dressed,
    make_dressed_counterfactuals,
)
from elegant_tf.synthetic.photo_base import make_base

SIZE = 64


@pytest.fixture(scope="module")
def bases():
    return [make_base(*photos.photograph(index), SIZE) for index in range(3)]


def test_a_number_determines_the_image(bases):
    first, again, other = (make_dressed(bases[0], 5, index).draw(SIZE) for index in (3, 3, 4))
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_unvaried_photo_is_the_frame(bases):
    plain = DressedPhoto(bases[0])
    margin = (bases[0].image.width - 2 * SIZE) // 2
    frame = bases[0].image.crop((margin, margin, margin + 2 * SIZE, margin + 2 * SIZE)).reduce(2)
    difference = np.abs(plain.draw(SIZE).astype(int) - np.asarray(frame))
    assert difference.mean() < 1.5
    np.testing.assert_allclose(plain.landmarks(SIZE), bases[0].points * SIZE - 0.5, atol=1e-4)


@pytest.mark.parametrize("name", WEARABLE)
def test_a_target_is_its_input_elsewhere(bases, name):
    """Varied alike, and equal to the byte where neither the accessory nor its shadow is."""
    for index in range(4):
        bare = make_dressed(bases[index % 3], 1, index, attributes=())
        wearer = next(
            photo
            for k in range(50)
            if getattr((photo := make_dressed(bases[1], 2, k + index)).styles, name) is not None
        )
        target = bare.wearing(wearer, [name])
        assert target.variation == bare.variation
        assert target.labels([name]) == [1]
        before, after = bare.draw(SIZE), target.draw(SIZE)
        share = (before != after).any(axis=-1).mean()
        assert 0.005 < share < 0.5
        np.testing.assert_array_equal(target.wearing(bare, [name]).draw(SIZE), before)
        np.testing.assert_array_equal(bare.landmarks(SIZE), target.landmarks(SIZE))


def test_landmarks_follow_the_variation(bases):
    """The pupils' surroundings are found again at the landmarks of every variation."""
    plain = DressedPhoto(bases[0])
    for index in range(6):
        varied = make_dressed(bases[0], 9, index, attributes=())
        points = varied.landmarks(SIZE)
        assert points[0, 0] < points[1, 0]
        assert points[3, 0] < points[4, 0]
        assert np.abs(points - plain.landmarks(SIZE)).max() < 0.15 * SIZE
        dark = varied.draw(SIZE).mean(axis=-1)
        x, y = np.rint(points[0]).astype(int)
        assert dark[y - 1 : y + 2, x - 1 : x + 2].mean() < dark[y + 6 : y + 9, x - 1 : x + 2].mean()


def test_counterfactuals_take_turns_and_are_held_apart(bases):
    pairs = list(make_dressed_counterfactuals(bases, 0, 4))
    kinds = [(pair.attributes[0], pair.direction) for pair in pairs]
    assert kinds == [(name, direction) for name in WEARABLE for direction in DIRECTIONS for _ in range(4)]
    for pair in pairs:
        has = tuple(bool(photo.labels(pair.attributes)[0]) for photo in (pair.input, pair.exemplar))
        assert has == DIRECTIONS[pair.direction]
        assert pair.input.base is not pair.exemplar.base
        assert getattr(pair.target.styles, pair.attributes[0]) == getattr(pair.exemplar.styles, pair.attributes[0])
    assert pairs[0].input.variation != make_dressed(bases[0], 0, 0).variation
    again = list(make_dressed_counterfactuals(bases, 0, 2))
    assert again[0].input.styles == pairs[0].input.styles


def test_removing_gives_the_undressed_image(bases):
    pair = next(pair for pair in make_dressed_counterfactuals(bases, 0, 1) if pair.direction == "remove")
    bare = pair.input.with_styles({pair.attributes[0]: None})
    np.testing.assert_array_equal(pair.target.draw(SIZE), bare.draw(SIZE))


def test_unknown_names_are_refused(bases):
    dressed = make_dressed(bases[0], 0, 0)
    for call in (
        lambda: make_dressed(bases[0], 0, 0, ("Bangs",)),
        lambda: dressed.wearing(dressed, ["Bangs"]),
        lambda: list(make_dressed_counterfactuals(bases, 0, 1, ("Bangs",))),
    ):
        with pytest.raises(UserError, match="unknown attribute 'Bangs'"):
            call()
