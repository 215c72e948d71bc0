from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.coefficients import linear_coefficients, matrix_coefficients, swap_coefficients
from elegant_tf.errors import UserError

KNOWN = ("Eyeglasses", "Bangs", "Smiling")


def test_one_exemplar_gives_all_attributes_several_give_one_each():
    np.testing.assert_array_equal(swap_coefficients(KNOWN, ["Smiling", "Eyeglasses"], 1), [[1, 0, 1]])
    several = swap_coefficients(KNOWN, ["Smiling", "Eyeglasses"], 2, [0.5, -2.0])
    np.testing.assert_array_equal(several, [[0, 0, 0.5], [-2, 0, 0]])


@given(st.integers(1, 50), st.sampled_from(KNOWN))
def test_linear_steps_are_equal_parts_of_a_swap(steps, attribute):
    found = linear_coefficients(KNOWN, [attribute], 1, steps)
    parts = np.arange(1, steps + 1)[:, None, None] / steps
    np.testing.assert_allclose(found, parts * swap_coefficients(KNOWN, [attribute], 1), rtol=1e-6)


@given(st.integers(2, 9), st.integers(2, 9))
def test_matrix_of_three_exemplars_is_bilinear(rows, cols):
    found = matrix_coefficients(KNOWN, ["Bangs"], 3, rows, cols)
    a, b = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, cols), indexing="ij")
    np.testing.assert_allclose(found[..., 1], np.stack([(1 - a) * b, a * (1 - b), a * b], -1), atol=1e-6)
    np.testing.assert_array_equal(found[[0, 0, -1, -1], [0, -1, 0, -1], :, 1], [[0] * 3, *np.eye(3)])
    assert not found[..., [0, 2]].any()


def test_matrix_of_two_attributes_grows_one_by_row_and_one_by_column():
    found = matrix_coefficients(KNOWN, ["Smiling", "Eyeglasses"], 2, 3, 2)
    expected = np.zeros((3, 2, 2, 3))
    expected[:, :, 0, 2] = [[0, 0], [0.5, 0.5], [1, 1]]
    expected[:, :, 1, 0] = [[0, 1], [0, 1], [0, 1]]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("attributes", "exemplars"), [(["Bangs"], 3), (["Bangs", "Smiling"], 2)])
def test_matrix_of_one_cell_keeps_the_image(attributes, exemplars):
    assert not matrix_coefficients(KNOWN, attributes, exemplars, 1, 1).any()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (swap_coefficients, (["Bangs"], 2), "2 exemplars for 1 attributes"),
        (swap_coefficients, (["Eyeglases"], 1), "did you mean Eyeglasses.*Known are Eyeglasses, Bangs"),
        (swap_coefficients, ([], 1), "name at least one"),
        (swap_coefficients, (["Bangs", "Bangs"], 1), "twice"),
        (swap_coefficients, (["Bangs"], 1, float("nan")), "finite"),
        (swap_coefficients, (["Bangs"], 1, 1e300), "finite"),
        (swap_coefficients, (["Bangs"], 1, [1, 2]), "one number for all 1 attributes"),
        (swap_coefficients, (["Bangs"], 1, "much"), "--strength=much"),
        (linear_coefficients, (["Bangs"], 1, 0), "--steps=0"),
        (matrix_coefficients, (["Bangs"], 3, 0, 2), "--rows=0"),
        (matrix_coefficients, (["Bangs"], 3, 2, -1), "--cols=-1"),
        (matrix_coefficients, (["Bangs"], 2, 2, 2), "one attribute with three exemplars"),
        (matrix_coefficients, (["Bangs", "Smiling"], 3, 2, 2), "two attributes with two"),
    ],
)
def test_what_does_not_fit_together_is_refused(make, arguments, message):
    with pytest.raises(UserError, match=message):
        make(KNOWN, *arguments)
