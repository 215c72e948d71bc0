"""Bounds of the numbers that a user gives."""

from __future__ import annotations

import math

import pytest

from elegant_tf.bounds import LARGEST_FLOAT, LARGEST_INT, Bounds
from elegant_tf.errors import UserError


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        (
            Bounds(),
            (-5, 0, LARGEST_INT, LARGEST_FLOAT),
            {LARGEST_INT + 1: "2147483647 or less", 2e30: "1e+30 or less"},
        ),
        (Bounds(at_least=1), (1, 1.0), {0: "1 or more", -(2**63): "1 or more", math.nan: "a finite number"}),
        (Bounds(at_least=0, at_most=2**63 - 1), (0, 2**63 - 1), {2**63: f"{2**63 - 1} or less"}),
        (Bounds(above=0, below=1), (0.5,), {0.0: "more than 0", 1.0: "less than 1", math.inf: "a finite number"}),
    ],
)
def test_a_number_outside_is_refused_naming_what_would_be_right(bounds, inside, outside):
    for value in inside:
        bounds.check("count", value)
    for value, right in outside.items():
        with pytest.raises(UserError) as error:
            bounds.check("count", value)
        assert str(error.value).startswith(f"--count={value}: must be {right}")
