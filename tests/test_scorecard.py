from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from elegant_tf.evaluation.scorecard import as_rows, mean_score, scorecard
from elegant_tf.evaluation.triples import Triples

SIZE = 16


def flat(value: int, count: int = 1) -> np.ndarray:
    return np.full((count, SIZE, SIZE, 3), value, np.uint8)


def one_triple(truth: np.ndarray, value: int = 100, adding: bool = True) -> Triples:
    return Triples(("Bangs",), flat(value), flat(0), np.array([0]), np.array([0 if adding else 1]), truth)


def half_changed() -> np.ndarray:
    """100 throughout but for the left half, which the truth raises to 150."""
    truth = flat(100)
    truth[:, :, : SIZE // 2] = 150
    return truth


def test_a_perfect_edit():
    truth = half_changed()
    (score,) = scorecard(one_triple(truth), truth)
    assert (score.realised, score.leak, score.count) == (1.0, 0.0, 1)
    assert score.ssim == pytest.approx(1.0)
    assert score.psnr == float("inf")


def test_leaving_the_input_alone():
    (score,) = scorecard(one_triple(half_changed()), flat(100))
    assert (score.realised, score.leak) == (0.0, 0.0)


def test_known_numbers():
    edited = half_changed()
    edited[:, :, : SIZE // 2] = 130  # 20 of 50 are missing where the truth changes,
    edited[:, :, SIZE // 2 :] = 107  # and 7 too much where it does not.
    (score,) = scorecard(one_triple(half_changed()), edited)
    assert score.realised == pytest.approx(1 - 20 / 50)
    assert score.leak == pytest.approx(7.0)
    assert score.psnr == pytest.approx(10 * np.log10(255**2 / ((20**2 + 7**2) / 2)), rel=1e-5)


def test_going_the_wrong_way_is_negative():
    edited = half_changed()
    edited[:, :, : SIZE // 2] = 50
    (score,) = scorecard(one_triple(half_changed()), edited)
    assert score.realised == pytest.approx(-1.0)


def test_a_pixel_counts_as_changed_in_any_channel():
    truth = flat(100)
    truth[:, 0, 0, 2] = 101
    edited = flat(100)
    edited[:, 0, 0] = [140, 100, 101]
    (score,) = scorecard(one_triple(truth), edited)
    assert score.leak == 0.0
    assert score.realised == pytest.approx(1 - 40 / 1)


def test_a_row_for_each_attribute_and_direction_there_is():
    truths = np.concatenate([half_changed()] * 3)
    triples = Triples(
        ("Bangs", "Smiling", "Mustache"),
        flat(100, 3),
        flat(0, 3),
        np.array([0, 2, 2]),
        np.array([0, 1, 1]),
        truths,
    )
    edited = np.concatenate([half_changed(), flat(100, 2)])
    scores = scorecard(triples, edited)
    assert [(s.attribute, s.direction, s.count, s.realised) for s in scores] == [
        ("Bangs", "add", 1, 1.0),
        ("Mustache", "remove", 2, 0.0),
    ]
    assert as_rows(scores) == [dataclasses.asdict(score) for score in scores]


def test_the_mean_counts_rows_alike():
    (score,) = scorecard(one_triple(half_changed()), flat(101))
    many = dataclasses.replace(score, realised=score.realised + 1, leak=score.leak + 2, count=9)
    mean = mean_score([score, many])
    assert mean.realised == pytest.approx(score.realised + 0.5)
    assert mean.leak == pytest.approx(score.leak + 1)
    assert mean.count == 10
