"""How much of a number is chance: the percentile bootstrap (Efron and Tibshirani, 1993)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from elegant_tf.errors import UserError

DRAWS = 1000
LEVEL = 0.95


def confidence_interval(
    count: int,
    statistic: Callable[[np.ndarray], float],
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """The low and high end between which a statistic of observations lies, as far as these can tell; NaN of one alone.

    Args:
        count: how many observations there are.
        statistic: what they are summed up to, given which of them count: int64 `[count]`, drawn with replacement.
            A statistic of pairs must leave out pairs of an observation with itself; `distances.kernel_interval`
            does.
        draws: how often to draw.
        level: the probability to lie between, above 0 and below 1.
        seed: 0 or more; equal seeds draw alike.

    Raises:
        UserError: no observation, no draws, or another level.
    """
    if count == 1:
        return float("nan"), float("nan")
    draw = resamples(count, draws, np.random.default_rng(seed))
    return central([statistic(chosen) for chosen in draw], level)


def resamples(count: int, draws: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """As often as `draws` says, `count` of `count` observations with replacement: int64 `[count]`.

    Raises UserError on fewer than two observations or no draws.
    """
    if count < 2:
        raise UserError(f"{count} observations: an interval needs 2 at least")
    if draws < 1:
        raise UserError(f"{draws} draws: an interval needs 1 at least")
    return (random.integers(0, count, count) for _ in range(draws))


def central(values: Sequence[float] | np.ndarray, level: float) -> tuple[float, float]:
    """The ends of the central part of values that holds `level` of them. Raises UserError on another level."""
    if not 0.0 < level < 1.0:
        raise UserError(f"level {level}: must be above 0 and below 1")
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
