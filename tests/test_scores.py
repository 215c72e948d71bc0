from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from elegant_tf.evaluation.counterfactuals import Counterfactuals
from elegant_tf.evaluation.metrics.scores import best_first, mean_score, scorecard

SIZE = 16


def flat(value: int, count: int = 1) -> np.ndarray:
    return np.full((count, SIZE, SIZE, 3), value, np.uint8)


def one(target: np.ndarray, value: int = 100) -> Counterfactuals:
    return Counterfactuals(("Bangs",), flat(value), flat(0), np.array([0]), np.array([0]), target)


def half_changed() -> np.ndarray:
    """100, and 150 in the left half, which the target changes."""
    target = flat(100)
    target[:, :, : SIZE // 2] = 150
    return target


@pytest.mark.parametrize(
    ("left", "right", "realised", "leak"),
    [
        (150, 100, 1.0, 0.0),  # a perfect edit
        (100, 100, 0.0, 0.0),  # the unedited input
        (130, 107, 1 - 20 / 50, 7.0),  # 20 of 50 are missing where the target differs, and 7 too much elsewhere
        (50, 100, -1.0, 0.0),  # a change in the wrong direction
    ],
)
def test_known_numbers(left, right, realised, leak):
    edited = flat(right)
    edited[:, :, : SIZE // 2] = left
    (score,) = scorecard(one(half_changed()), edited)
    assert (score.realised, score.leak, score.count) == (pytest.approx(realised), pytest.approx(leak), 1)
    error = ((150 - left) ** 2 + (100 - right) ** 2) / 2
    assert score.psnr == pytest.approx(10 * np.log10(255**2 / error) if error else np.inf, rel=1e-5)
    assert (score.ssim == pytest.approx(1.0)) == (error == 0)


def test_a_pixel_counts_as_changed_in_any_channel():
    target = flat(100)
    target[:, 0, 0, 2] = 101
    edited = flat(100)
    edited[:, 0, 0] = [140, 100, 101]
    (score,) = scorecard(one(target), edited)
    assert score.leak == 0.0
    assert score.realised == pytest.approx(1 - 40 / 1)


def test_rows_are_the_attributes_and_directions_that_occur():
    edits = Counterfactuals(
        ("Bangs", "Smiling", "Mustache"),
        flat(100, 3),
        flat(0, 3),
        np.array([0, 2, 2]),
        np.array([0, 1, 1]),
        np.concatenate([half_changed()] * 3),
    )
    edited = np.concatenate([flat(120), flat(100), half_changed()])
    assert [(s.attribute, s.direction, s.count, s.realised) for s in scorecard(edits, edited)] == [
        ("Bangs", "add", 1, pytest.approx(0.4)),
        ("Mustache", "remove", 2, 0.5),
    ]
    assert best_first(edits, edited).tolist() == [2, 0, 1]


def test_the_mean_counts_rows_equally():
    (score,) = scorecard(one(half_changed()), flat(101))
    many = dataclasses.replace(score, realised=score.realised + 1, leak=score.leak + 2, count=9)
    mean = mean_score([score, many])
    assert mean.realised == pytest.approx(score.realised + 0.5)
    assert mean.leak == pytest.approx(score.leak + 1)
    assert mean.count == 10
