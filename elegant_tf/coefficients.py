"""Edit coefficients, the `w` of `latent.exchange`: for a swap, a row of interpolations or a matrix of them.

Every function takes `known`, the run's n attributes, and returns float32 coefficients, one per exemplar and attribute.
Raises UserError on an unknown attribute, and on numbers that do not fit together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.names import find_attributes


def swap_coefficients(
    known: Sequence[str], attributes: Sequence[str], exemplars: int, strength: float | Sequence[float] = 1.0
) -> np.ndarray:
    """`[K, n]`: a single exemplar gives all attributes; as many exemplars as attributes give one each, in order.

    `strength`: one for all attributes, or one for each: 0 gives the image's reconstruction, 1 exchanges, other numbers
    inter- or extrapolate.
    """
    columns = find_attributes(attributes, known)
    if exemplars not in (1, len(columns)):
        raise UserError(
            f"{exemplars} exemplars for {len(columns)} attributes ({', '.join(attributes)}): "
            "give one exemplar for all of them, or one for each"
        )
    coefficients = np.zeros((exemplars, len(known)), np.float32)
    givers = [0] * len(columns) if exemplars == 1 else range(exemplars)
    coefficients[givers, columns] = _strengths(strength, len(columns))
    return coefficients


def linear_coefficients(known: Sequence[str], attributes: Sequence[str], exemplars: int, steps: int) -> np.ndarray:
    """`[m, K, n]`: a swap of strength t/m for t = 1 … m."""
    _check_count("steps", steps)
    full = swap_coefficients(known, attributes, exemplars)
    return np.stack([full * (t / steps) for t in range(1, steps + 1)])


def matrix_coefficients(
    known: Sequence[str], attributes: Sequence[str], exemplars: int, rows: int, cols: int
) -> np.ndarray:
    """`[rows, cols, K, n]`; a grows from 0 in the first row to 1 in the last, and b does so over the columns.

    One attribute, three exemplars: the image's reconstruction and the exemplars' edits stand in the corners, and their
    shares are (1−a)(1−b), (1−a)b, a(1−b) and ab. Two attributes, two exemplars: the first exemplar gives the first
    attribute with coefficient a, the second exemplar gives the second with b.
    """
    columns = find_attributes(attributes, known)
    a = _ramp("rows", rows)[:, None]
    b = _ramp("cols", cols)[None, :]
    coefficients = np.zeros((rows, cols, exemplars, len(known)), np.float32)
    if (len(columns), exemplars) == (1, 3):
        corners = ((1 - a) * b, a * (1 - b), a * b)
        for exemplar, share in enumerate(corners):
            coefficients[:, :, exemplar, columns[0]] = share
    elif (len(columns), exemplars) == (2, 2):
        for exemplar, share in enumerate((a, b)):
            coefficients[:, :, exemplar, columns[exemplar]] = share
    else:
        raise UserError(
            f"a matrix of {len(columns)} attributes with {exemplars} exemplars: "
            "give one attribute with three exemplars, or two attributes with two"
        )
    return coefficients


def _strengths(strength: float | Sequence[float], count: int) -> np.ndarray:
    try:
        strengths = np.asarray(strength, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"--strength={strength}: must be a number, or one for each attribute") from None
    if strengths.shape not in ((), (1,), (count,)):
        raise UserError(f"--strength={strength}: must be one number for all {count} attributes, or one for each")
    if not (np.abs(strengths) <= np.finfo(np.float32).max).all():
        raise UserError(f"--strength={strength}: must be finite")
    return np.broadcast_to(strengths, (count,))


def _ramp(name: str, count: int) -> np.ndarray:
    _check_count(name, count)
    return np.linspace(0.0, 1.0, count)


def _check_count(name: str, count: int) -> None:
    if not isinstance(count, int | np.integer) or count < 1:
        raise UserError(f"--{name}={count}: must be a whole number, 1 or more")
