from __future__ import annotations

import numpy as np
import pytest

from elegant_tf.errors import UserError
from elegant_tf.evaluation.bootstrap import central, confidence_interval, resamples


def mean_interval(values: np.ndarray, **options) -> tuple[float, float]:
    return confidence_interval(len(values), lambda chosen: values[chosen].mean(), **options)


def test_an_interval_of_a_mean_is_about_two_standard_errors_to_either_side():
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    low, high = mean_interval(values, draws=4000)
    error = values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.1 * error)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_hold_the_true_mean_as_often_as_their_level(level):
    random = np.random.default_rng(1)
    intervals = [mean_interval(random.normal(3.0, 1.0, 60), draws=200, level=level) for _ in range(400)]
    held = np.mean([low <= 3.0 <= high for low, high in intervals])
    # Four standard errors of 400 trials at 0.8 are 0.08; percentiles of few observations cover slightly less.
    assert held == pytest.approx(level, abs=0.06)


def test_a_seed_decides():
    values = np.random.default_rng(2).normal(size=30)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_a_wider_level_is_wider():
    values = np.random.default_rng(3).normal(size=30)
    (low, high), (lower, higher) = mean_interval(values, level=0.5), mean_interval(values, level=0.99)
    assert lower < low < high < higher


def test_the_interval_of_equal_observations_is_a_point():
    assert mean_interval(np.full(10, 7.0)) == (7.0, 7.0)


def test_resamples_draw_with_replacement():
    draws = list(resamples(50, 20, np.random.default_rng(4)))
    assert [draw.shape for draw in draws] == [(50,)] * 20
    assert all(draw.min() >= 0 and draw.max() < 50 and len(set(draw)) < 50 for draw in draws)


def test_the_central_part():
    assert central(range(101), 0.9) == pytest.approx((5.0, 95.0))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"count": 0}, "0 observations"),
        ({"draws": 0}, "0 draws"),
        ({"level": 0.0}, "level 0.0"),
        ({"level": 1.0}, "level 1.0"),
        ({"level": 95}, "level 95"),
    ],
)
def test_refusals(options, what):
    with pytest.raises(UserError, match=what):
        confidence_interval(**{"count": 5, "statistic": np.mean, **options})
