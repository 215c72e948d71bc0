"""Leakage of edits by a classifier whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.evaluation.metrics.leakage import leakage_matrix, off_diagonal

NAMES = ("Bangs", "Smiling", "Mustache")


class ByColour:
    """Red is Mustache, green Bangs, blue Smiling, each as probable as it is bright; Wearing_Hat has probability 0."""

    attributes = ("Mustache", "Bangs", "Wearing_Hat", "Smiling")
    image_size = 8

    def probabilities(self, images):
        assert images.shape[1:] == (8, 8, 3)
        red, green, blue = images.mean(axis=(1, 2)).T / 255
        return np.stack([red, green, 0 * red, blue], axis=1)


def flat(*colours, size=8) -> np.ndarray:
    return np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])


def test_known_numbers():
    before = flat((0, 0, 0), (51, 255, 102), (0, 0, 255))
    after = flat((51, 204, 0), (51, 51, 0), (255, 51, 255))
    matrix = leakage_matrix(ByColour(), NAMES, before, after, np.array([0, 0, 2]))
    # Bangs are green, smiles blue, mustaches red.
    np.testing.assert_allclose(matrix, [[0.8, 0.2, 0.1], [np.nan] * 3, [0.2, 0.0, 1.0]], atol=1e-9)
    assert matrix.dtype == np.float64
    assert off_diagonal(matrix) == pytest.approx((0.2 + 0.1 + 0.2 + 0.0) / 4)


def test_against_the_target_only_unwanted_changes_count():
    target = flat((0, 255, 0))
    matrix = leakage_matrix(ByColour(), NAMES, target, target, [0])
    assert (matrix[0] == 0).all()
    assert off_diagonal(matrix) == 0


def test_some_attributes_of_the_classifiers():
    matrix = leakage_matrix(ByColour(), ["Smiling"], flat((0, 0, 0)), flat((0, 0, 255)), [0])
    assert matrix.tolist() == [[1.0]]
    assert np.isnan(off_diagonal(matrix))


def test_images_of_another_size_are_resized():
    matrix = leakage_matrix(ByColour(), NAMES, flat((0, 0, 0), size=20), flat((0, 102, 0), size=20), [0])
    np.testing.assert_allclose(matrix[0], [0.4, 0, 0])


def test_no_edits():
    none = np.empty((0, 20, 20, 3), np.uint8)
    matrix = leakage_matrix(ByColour(), NAMES, none, none, np.array([], int))
    assert matrix.shape == (3, 3)
    assert np.isnan(matrix).all()
    assert np.isnan(off_diagonal(matrix))


def test_mistakes():
    one = flat((0, 0, 0))
    with pytest.raises(UserError, match=r"does not know Male, only Mustache, .*train-classifier --run"):
        leakage_matrix(ByColour(), ["Male", "Bangs"], one, one, [0])
    with pytest.raises(UserError, match="1 images before, 2 after and 1 edits"):
        leakage_matrix(ByColour(), NAMES, one, flat((0, 0, 0), (0, 0, 0)), [0])
