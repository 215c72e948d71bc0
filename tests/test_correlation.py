"""Correlated attributes."""

from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.data.correlation import CELL, correlations, draw_heat_map, pair_differences


def test_correlations_are_numpys():
    labels = np.random.default_rng(0).integers(0, 2, (200, 5)).astype(np.int8)
    labels[:, 4] = 1 - labels[:, 0]
    matrix = correlations(labels)
    np.testing.assert_allclose(matrix, np.corrcoef(labels.T), atol=1e-12)
    assert matrix[0, 4] == pytest.approx(-1.0)


def test_an_attribute_that_never_varies_has_none():
    labels = np.array([[0, 1, 1], [1, 1, 0], [1, 1, 0]], np.int8)
    matrix = correlations(labels)
    assert np.isnan(matrix[1]).all()
    assert np.isnan(matrix[:, 1]).all()
    assert matrix[0, 2] == pytest.approx(-1.0)


def test_heat_map_shows_values_as_colours():
    image = draw_heat_map(np.array([[1.0, -1.0], [0.0, np.nan]]), ["A", "Long name"])
    assert image.dtype == np.uint8
    height, width = image.shape[:2]
    assert height == width
    end = width - 12  # the margin
    middles = [end - 2 * CELL + CELL // 2, end - CELL // 2]
    colours = [image[y, x].tolist() for y in middles for x in middles]
    assert colours == [[178, 24, 43], [33, 102, 172], [255, 255, 255], [205, 205, 205]]


def test_pairs_differ_in_correlated_attributes_unless_matched():
    random = np.random.default_rng(0)
    male = random.random(4000) < 0.4
    labels = np.stack([male & (random.random(4000) < 0.1), male, random.random(4000) < 0.5, male < 2], axis=1)
    labels = labels.astype(np.int8)
    free, matched = (pair_differences(labels, match) for match in (False, True))
    has, lacks = labels[labels[:, 0] == 1], labels[labels[:, 0] == 0]
    np.testing.assert_allclose(free[0], has.mean(axis=0) - lacks.mean(axis=0), atol=1e-12)
    assert free[0, 1] > 0.5
    np.testing.assert_allclose(matched[0], [1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.diag(matched)[:3], 1)
    assert np.isnan(free[3]).all()
    assert np.isnan(matched[3]).all()


def test_no_pairs_where_nothing_varies():
    assert np.isnan(pair_differences(np.ones((3, 2), np.int8), True)).all()
