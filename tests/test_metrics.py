"""Metrics, each measured of editors for which the result is known."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.config import DataConfig
from elegant_tf.errors import UserError
from elegant_tf.evaluation.edits import DIRECTIONS, edit_all, known_people, sample_edits
from elegant_tf.evaluation.metrics.combinations import combine
from elegant_tf.evaluation.metrics.interpolation import interpolate, progress
from elegant_tf.evaluation.metrics.reconstruction import reconstruct
from elegant_tf.evaluation.metrics.style_fidelity import CANDIDATES, draw_galleries, fidelities, nearest
from elegant_tf.sources import open_source

NAMES = ("Eyeglasses", "Bangs")


class Blender:
    """An editor that blends the exemplar in, by the sum of its coefficients times `share`."""

    attributes = NAMES
    image_size = 32

    def __init__(self, share=1.0):
        self.share = share

    def edit(self, images, exemplars, coefficients):
        strength = self.share * np.asarray(coefficients).sum(axis=(1, 2))[:, None, None, None]
        mixed = images + strength * (exemplars[:, 0].astype(float) - images)
        return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


@pytest.fixture(scope="module")
def source():
    return open_source(DataConfig(faces_count=60), NAMES, 32, "test")


def test_edits_are_sampled_from_the_images_of_a_source(source):
    edits = sample_edits(source, 8, seed=1)
    assert [(name, direction, len(rows)) for name, direction, rows in edits.kinds()] == [
        (name, direction, 8) for name in NAMES for direction in DIRECTIONS
    ]
    for name, direction, rows in edits.kinds():
        expected = {"add": (0, 1), "remove": (1, 0), "restyle": (1, 1)}[direction]
        for images, label in zip((edits.inputs[rows], edits.exemplars[rows]), expected, strict=True):
            found = [next(k for k in range(60) if (source.load(k) == image).all()) for image in images]
            assert (source.labels[found, NAMES.index(name)] == label).all()
            assert len(set(found)) == len(found)
        assert not (edits.inputs[rows] == edits.exemplars[rows]).all(axis=(1, 2, 3)).any()
    assert (sample_edits(source, 8, seed=1).inputs == edits.inputs).all()
    assert (sample_edits(source, 8, seed=2).inputs != edits.inputs).any()
    with pytest.raises(UserError, match="--count=0"):
        sample_edits(source, 0)


def test_the_people_in_sampled_inputs_are_known(source):
    edits = sample_edits(source, 8, seed=1, by=("Eyeglasses", "Young"))
    for name, direction, rows in edits.kinds():
        expected = "no" if direction == "add" else "yes"
        assert name != "Eyeglasses" or (edits.people["Eyeglasses"][rows] == expected).all()
    found = [next(k for k in range(60) if (source.load(k) == image).all()) for image in edits.inputs]
    old = [source.faces[k].identity.hair.name in ("gray", "white") for k in found]
    assert any(old)
    assert edits.people["Young"].tolist() == ["no" if one else "yes" for one in old]
    assert not sample_edits(source, 2).people
    with pytest.raises(UserError, match=r"--by: unknown column 'Male'.*Known are .*Young"):
        sample_edits(source, 8, by=["Male"])


def test_a_column_of_many_values_makes_no_groups():
    assert list(known_people(["few"], lambda name: np.arange(40) % 20)) == ["few"]
    with pytest.raises(UserError, match="--by=age: has 21 different values; must have 20 at most"):
        known_people(["age"], lambda name: np.arange(21))


def test_style_fidelity_of_known_edits():
    galleries = draw_galleries(0, NAMES, 32, 2)
    assert galleries.candidates.shape == (40, CANDIDATES, 32, 32, 3)
    assert [row.rank_one for row in fidelities(galleries, galleries.candidates[:, 0])] == [1.0] * 4
    assert [row.rank_one for row in fidelities(galleries, galleries.candidates[:, 3])] == [0.0] * 4
    tied = np.zeros((1, 2, 4, 4, 3), np.uint8)
    assert nearest(np.zeros((1, 4, 4, 3), np.uint8), tied).tolist() == [1]


def test_combinations_against_their_target_and_in_either_order():
    (idle,), (half,) = (combine(Blender(share), 0, 6) for share in (0.0, 0.25))
    assert (idle.size, idle.score.count) == (2, 6)
    assert (idle.score.realised, idle.score.leak, idle.order, idle.joint) == (0.0, 0.0, 0.0, 0.0)
    assert half.order == 0.0  # The blender treats all attributes equally.
    assert half.joint > 1.0  # A quarter twice is less than a half.


def test_even_and_uneven_interpolation(source):
    edits = sample_edits(source, 2)
    even = interpolate(Blender(), edits)
    assert even.monotone == 1.0
    assert even.unevenness < 0.02
    assert even.count == len(edits)
    strip = np.zeros((2, 5, 4, 4, 3), np.uint8)
    strip[0] += np.array([0, 80, 40, 60, 80], np.uint8)[:, None, None, None]
    found = progress(strip)
    assert (found.monotone, found.count) == (0.0, 1)
    assert found.unevenness == pytest.approx(np.mean([3, 3, 0, 0]))
    assert np.isnan(progress(strip[1:]).monotone)


def test_reconstruction_is_an_edit_of_strength_zero(source):
    images = np.stack([source.load(k) for k in range(4)])
    perfect = reconstruct(Blender(), images)
    assert (perfect.psnr, perfect.ssim, perfect.count) == (100.0, pytest.approx(1.0), 4)

    class Brighter(Blender):
        def edit(self, images, exemplars, coefficients):
            assert not np.any(coefficients)
            return (images.astype(int) + np.where(images < 128, 10, -10)).astype(np.uint8)

    assert reconstruct(Brighter(), images).psnr == pytest.approx(10 * np.log10(255**2 / 100), abs=1e-3)


def test_all_edits_take_their_own_attribute(source):
    edits = sample_edits(source, 2)
    np.testing.assert_array_equal(edit_all(Blender(), edits), edits.exemplars)
    assert edits.coefficients.shape == (len(edits), 1, 2)
    assert (edits.coefficients[:, 0].argmax(axis=1) == edits.attribute).all()
    some = edits.at_most(7)
    assert len(some) == 6
    assert len(some.kinds()) == 6
