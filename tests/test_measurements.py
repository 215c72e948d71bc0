"""What is measured, each by editors whose answer is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.data.faces import make_combinations, make_restyles
from elegant_tf.data.sources import open_source
from elegant_tf.errors import UserError
from elegant_tf.evaluation.combinations import evaluate_combinations
from elegant_tf.evaluation.edits import DIRECTIONS, edit_all, sample_edits
from elegant_tf.evaluation.interpolation import evaluate_interpolation, interpolation
from elegant_tf.evaluation.lineups import CANDIDATES, draw_lineups, fidelities, nearest
from elegant_tf.evaluation.reconstruction import evaluate_reconstruction

NAMES = ("Eyeglasses", "Bangs")


class Blender:
    """An editor that mixes the exemplar in, by the sum of weights, as far as it is told to."""

    attributes = NAMES
    image_size = 32

    def __init__(self, share=1.0):
        self.share = share

    def edit(self, images, exemplars, weights):
        strength = self.share * np.asarray(weights).sum(axis=(1, 2))[:, None, None, None]
        mixed = images + strength * (exemplars[:, 0].astype(float) - images)
        return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


@pytest.fixture(scope="module")
def source():
    return open_source("faces", "", NAMES, 32, 0, 60, "test")


def test_edits_are_drawn_from_what_there_is(source):
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


def test_restyles_and_combinations_are_what_they_say():
    for pair in make_restyles(3, 10, NAMES):
        (name,) = pair.attributes
        styles = [getattr(face.styles, name) for face in (pair.input, pair.exemplar, pair.truth)]
        assert styles[0] is not None
        assert styles[2] == styles[1]
        assert styles[0] != styles[1]
    pairs = make_combinations(3, 20, 2)
    assert len({pair.attributes for pair in pairs}) == 10
    for pair in pairs:
        for name in pair.attributes:
            assert (getattr(pair.input.styles, name), getattr(pair.exemplar.styles, name)) != (None, None)
            assert getattr(pair.truth.styles, name) == getattr(pair.exemplar.styles, name)


def test_a_lineup_is_won_by_its_own_truth_and_lost_by_anything_else():
    lineups = draw_lineups(0, NAMES, 32, 2)
    assert lineups.candidates.shape == (40, CANDIDATES, 32, 32, 3)
    assert [row.rank_one for row in fidelities(lineups, lineups.candidates[:, 0])] == [1.0] * 4
    assert [row.rank_one for row in fidelities(lineups, lineups.candidates[:, 3])] == [0.0] * 4
    tied = np.zeros((1, 2, 4, 4, 3), np.uint8)
    assert nearest(np.zeros((1, 4, 4, 3), np.uint8), tied).tolist() == [1]


def test_combinations_against_their_truth_and_in_either_order():
    idle, half = (evaluate_combinations(Blender(share), 0, NAMES, 32, 6) for share in (0.0, 0.25))
    assert [row.size for row in idle] == [2]
    assert (idle[0].score.realised, idle[0].score.leak, idle[0].order, idle[0].joint) == (0.0, 0.0, 0.0, 0.0)
    assert half[0].order == 0.0  # The blender does not know which attribute it is.
    assert half[0].joint > 1.0  # A quarter twice is less than a half.


def test_even_and_uneven_interpolation(source):
    edits = sample_edits(source, 2)
    even = evaluate_interpolation(Blender(), edits)
    assert even.monotone == 1.0
    assert even.unevenness < 0.02
    assert even.count == len(edits)
    strip = np.zeros((2, 5, 4, 4, 3), np.uint8)
    strip[0] += np.array([0, 80, 40, 60, 80], np.uint8)[:, None, None, None]
    found = interpolation(strip)
    assert (found.monotone, found.count) == (0.0, 1)
    assert found.unevenness == pytest.approx(np.mean([3, 3, 0, 0]))
    assert np.isnan(interpolation(strip[1:]).monotone)


def test_reconstruction_is_an_edit_of_strength_zero(source):
    images = np.stack([source.load(k) for k in range(4)])
    perfect = evaluate_reconstruction(Blender(), images)
    assert (perfect.psnr, perfect.ssim, perfect.count) == (100.0, pytest.approx(1.0), 4)

    class Brighter(Blender):
        def edit(self, images, exemplars, weights):
            assert not np.any(weights)
            return (images.astype(int) + np.where(images < 128, 10, -10)).astype(np.uint8)

    assert evaluate_reconstruction(Brighter(), images).psnr == pytest.approx(10 * np.log10(255**2 / 100), abs=1e-3)


def test_all_edits_take_their_own_attribute(source):
    edits = sample_edits(source, 2)
    np.testing.assert_array_equal(edit_all(Blender(), edits), edits.exemplars)
    assert edits.weights.shape == (len(edits), 1, 2)
    assert (edits.weights[:, 0].argmax(axis=1) == edits.attribute).all()
