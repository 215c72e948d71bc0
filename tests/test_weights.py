from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.errors import UserError
from elegant_tf.weights import linear_weights, matrix_weights, swap_weights

KNOWN = ("Eyeglasses", "Bangs", "Smiling")


def test_one_exemplar_gives_all_attributes():
    np.testing.assert_array_equal(swap_weights(KNOWN, ["Smiling", "Eyeglasses"], 1), [[1, 0, 1]])


def test_as_many_exemplars_as_attributes_give_one_each():
    weights = swap_weights(KNOWN, ["Smiling", "Eyeglasses"], 2, [0.5, -2.0])
    np.testing.assert_array_equal(weights, [[0, 0, 0.5], [-2, 0, 0]])


@given(st.integers(1, 50), st.sampled_from(KNOWN))
def test_linear_steps_are_equal_parts_of_a_swap(steps, attribute):
    weights = linear_weights(KNOWN, [attribute], 1, steps)
    full = swap_weights(KNOWN, [attribute], 1)
    assert weights.shape == (steps, 1, 3)
    for t in range(1, steps + 1):
        np.testing.assert_allclose(weights[t - 1], full * t / steps, rtol=1e-6)


@given(st.integers(2, 9), st.integers(2, 9))
def test_matrix_of_three_exemplars_has_bilinear_weights(rows, cols):
    weights = matrix_weights(KNOWN, ["Bangs"], 3, rows, cols)
    assert weights.shape == (rows, cols, 3, 3)
    assert not weights[..., [0, 2]].any()
    for r in range(rows):
        for c in range(cols):
            a, b = r / (rows - 1), c / (cols - 1)
            shares = [(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]
            np.testing.assert_allclose(weights[r, c, :, 1], shares[1:], atol=1e-6)
    np.testing.assert_array_equal(weights[0, 0, :, 1], [0, 0, 0])
    np.testing.assert_array_equal(weights[0, -1, :, 1], [1, 0, 0])
    np.testing.assert_array_equal(weights[-1, 0, :, 1], [0, 1, 0])
    np.testing.assert_array_equal(weights[-1, -1, :, 1], [0, 0, 1])


def test_matrix_of_two_attributes_grows_one_by_row_and_one_by_column():
    weights = matrix_weights(KNOWN, ["Smiling", "Eyeglasses"], 2, 3, 2)
    np.testing.assert_allclose(weights[:, :, 0, 2], [[0, 0], [0.5, 0.5], [1, 1]])
    np.testing.assert_allclose(weights[:, :, 1, 0], [[0, 1], [0, 1], [0, 1]])
    assert weights.sum() == pytest.approx(weights[:, :, 0, 2].sum() + weights[:, :, 1, 0].sum())


@pytest.mark.parametrize(("attributes", "exemplars"), [(["Bangs"], 3), (["Bangs", "Smiling"], 2)])
def test_matrix_of_one_cell_keeps_the_image(attributes, exemplars):
    assert not matrix_weights(KNOWN, attributes, exemplars, 1, 1).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: swap_weights(KNOWN, ["Bangs"], 2), "2 exemplars for 1 attributes"),
        (
            lambda: swap_weights(KNOWN, ["Eyeglases"], 1),
            "did you mean Eyeglasses.*Known are Eyeglasses, Bangs",
        ),
        (lambda: swap_weights(KNOWN, [], 1), "name at least one"),
        (lambda: swap_weights(KNOWN, ["Bangs", "Bangs"], 1), "twice"),
        (lambda: swap_weights(KNOWN, ["Bangs"], 1, float("nan")), "finite"),
        (lambda: swap_weights(KNOWN, ["Bangs"], 1, 1e300), "finite"),
        (lambda: swap_weights(KNOWN, ["Bangs"], 1, [1, 2]), "one number for all 1 attributes"),
        (lambda: swap_weights(KNOWN, ["Bangs"], 1, "much"), "--strength=much"),
        (lambda: linear_weights(KNOWN, ["Bangs"], 1, 0), "--steps=0"),
        (lambda: matrix_weights(KNOWN, ["Bangs"], 3, 0, 2), "--rows=0"),
        (lambda: matrix_weights(KNOWN, ["Bangs"], 3, 2, -1), "--cols=-1"),
        (lambda: matrix_weights(KNOWN, ["Bangs"], 2, 2, 2), "one attribute with three exemplars"),
        (lambda: matrix_weights(KNOWN, ["Bangs", "Smiling"], 3, 2, 2), "two attributes with two"),
    ],
)
def test_what_does_not_go_together_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
