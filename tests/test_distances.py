from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.errors import UserError
from elegant_tf.evaluation import distances
from elegant_tf.evaluation.distances import TooFewImages, frechet_distance, kernel_distance, kernel_interval


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def with_moments(mean: np.ndarray, deviations: np.ndarray, seed: int = 0, count: int = 200) -> np.ndarray:
    """Features whose mean is exactly this and whose covariance exactly diagonal, with these deviations."""
    raw = normal(count, len(mean), seed=seed)
    centred = raw - raw.mean(axis=0)
    white = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T))).T
    return white * deviations + mean


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return float((x @ y / len(x) + 1.0) ** 3)


def plain_kernel_distance(real: np.ndarray, made: np.ndarray) -> float:
    """The estimator of Bińkowski et al. as they write it, pair by pair."""
    within = [np.mean([kernel(x, y) for x, y in itertools.permutations(images, 2)]) for images in (real, made)]
    return sum(within) - 2.0 * np.mean([kernel(x, y) for x in real for y in made])


def test_frechet_distance_of_two_known_gaussians():
    means, deviations = np.array([[1.0, 2.0, 3.0], [1.5, 0.0, 7.0]]), np.array([[1.0, 2.0, 3.0], [4.0, 0.5, 3.0]])
    real, made = (with_moments(*moments, seed=seed) for seed, moments in enumerate(zip(means, deviations, strict=True)))
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_of_a_translation_is_its_squared_length():
    real = normal(100, 8)
    assert frechet_distance(real, real + np.array([3.0, 4.0] + [0.0] * 6)) == pytest.approx(25.0, rel=1e-12)


def test_frechet_distance_of_covariances_that_do_not_commute():
    """For two dimensions `tr A^½ = (tr A + 2 (det A)^½)^½`, without any eigenvalue."""
    real, made = (
        normal(60, 2) @ np.array([[2.0, 0.3], [0.0, 1.0]]),
        normal(70, 2, seed=1) @ np.array([[1.0, 0], [5, 2]]),
    )
    first, second = np.cov(real.T), np.cov(made.T)
    product = first @ second
    root = np.sqrt(np.trace(product) + 2.0 * np.sqrt(np.linalg.det(product)))
    expected = np.square(real.mean(0) - made.mean(0)).sum() + np.trace(first) + np.trace(second) - 2.0 * root
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-12)


def test_the_root_is_the_one_of_the_products_own_eigenvalues():
    real, made = normal(200, 20) @ normal(20, 20, seed=1), normal(300, 20, seed=2) @ normal(20, 20, seed=3)
    first, second = np.cov(real.T), np.cov(made.T)
    root = np.sqrt(np.linalg.eigvals(first @ second).real).sum()
    expected = np.square(real.mean(0) - made.mean(0)).sum() + np.trace(first) + np.trace(second) - 2.0 * root
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-9)


def test_equal_sets_are_at_no_frechet_distance():
    real = normal(100, 30)
    assert 0.0 <= frechet_distance(real, real) < 1e-10
    assert 0.0 <= frechet_distance(real, real[::-1]) < 1e-10


def test_features_that_never_vary_do_not_matter():
    real, made = normal(50, 4), normal(50, 4, seed=1) + 1.0
    dead = np.zeros((50, 3))
    without = frechet_distance(real, made)
    assert frechet_distance(np.hstack([real, dead]), np.hstack([made, dead])) == pytest.approx(without, rel=1e-6)


def test_large_offsets_of_float32_features_cost_nothing():
    """Sums of a million squares of 4096 need float64: float32 would be off by far more than the distance."""
    real, made = (np.round(normal(500, 4, seed=seed) * 64) / 64 for seed in (0, 1))
    expected = frechet_distance(real, made)
    shifted = [(features + 4096.0).astype(np.float32) for features in (real, made)]
    assert frechet_distance(*shifted) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(50, 70), st.integers(50, 70), st.integers(1, 6))
def test_order_and_sides_do_not_matter(seed, real_count, made_count, features):
    random = np.random.default_rng(seed)
    real, made = random.normal(size=(real_count, features)), random.normal(1.0, 2.0, (made_count, features))
    for distance in (frechet_distance, kernel_distance):
        expected = pytest.approx(distance(real, made), rel=1e-9, abs=1e-12)
        assert distance(random.permutation(real), random.permutation(made)) == expected
        assert distance(made, real) == expected


@pytest.mark.parametrize("block", [7, 1024])
def test_kernel_distance_is_the_papers_estimator(block, monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK", block)
    real, made = normal(50, 5), normal(61, 5, seed=1) * 1.3 + 0.2
    assert kernel_distance(real, made) == pytest.approx(plain_kernel_distance(real, made), rel=1e-12)


def moments_distance(shift: float) -> float:
    """The kernel's true distance of N(0, 1) and N(shift, 1): `3 (Δm1)² + 3 (Δm2)² + (Δm3)²` of raw moments."""
    return 3 * shift**2 + 3 * (shift**2) ** 2 + (shift**3 + 3 * shift) ** 2


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_kernel_distance_is_right_on_average(shift):
    random = np.random.default_rng(0)
    found = [kernel_distance(random.normal(size=(50, 1)), random.normal(shift, 1, (60, 1))) for _ in range(2000)]
    error = np.std(found) / np.sqrt(2000)
    assert np.mean(found) == pytest.approx(moments_distance(shift), abs=4 * error)
    assert error < 0.15
    assert shift or np.min(found) < 0.0


def test_kernel_distance_in_float64():
    real, made = (np.round(normal(80, 3, seed=seed) * 64) / 64 + 1024.0 for seed in (0, 1))
    exact = kernel_distance(real, made)
    assert kernel_distance(real.astype(np.float32), made.astype(np.float32)) == exact


def test_the_interval_is_around_the_distance():
    real, made = normal(100, 4), normal(90, 4, seed=1) + 0.5
    low, high = kernel_interval(real, made)
    assert low < kernel_distance(real, made) < high
    assert kernel_interval(real, made, seed=1) != (low, high) == kernel_interval(real, made)


def test_images_drawn_twice_do_not_raise_the_distance():
    real, made = normal(60, 4), normal(60, 4, seed=1)
    draws = 4000
    random = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        first, second = real[random.integers(0, 60, 60)], made[random.integers(0, 60, 60)]
        found.append(kernel_distance(first, second))
    naive = np.mean(found)
    middle = np.mean(kernel_interval(real, made, draws=draws, level=1e-6))
    distance, spread = kernel_distance(real, made), np.std(found)
    assert naive > distance + 0.5 * spread
    assert middle == pytest.approx(distance, abs=0.3 * spread)


def test_intervals_hold_the_true_distance():
    random = np.random.default_rng(0)
    held, around_zero = [], []
    for _ in range(60):
        real, made = random.normal(size=(2, 200, 1))
        low, high = kernel_interval(real, made + 0.7, draws=100)
        held.append(low <= moments_distance(0.7) <= high)
        low, high = kernel_interval(real, made, draws=100)
        around_zero.append(low <= 0.0 <= high)
    # Three standard errors of 60 trials at 0.95.
    assert np.mean(held) >= 0.95 - 0.084
    assert np.mean(around_zero) >= 0.95


def test_too_few_images_for_the_frechet_distance():
    with pytest.raises(TooFewImages, match=r"100 real and 64 made.* give at least 65 .*kernel distance takes 50"):
        frechet_distance(normal(100, 64), normal(64, 64))
    with pytest.raises(TooFewImages):
        frechet_distance(normal(64, 64), normal(100, 64))
    assert frechet_distance(normal(65, 64), normal(65, 64, seed=1)) > 0


@pytest.mark.parametrize("distance", [kernel_distance, kernel_interval])
def test_too_few_images_for_the_kernel_distance(distance):
    with pytest.raises(TooFewImages, match=r"49 real and 60 made.*give at least 50"):
        distance(normal(49, 3), normal(60, 3))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, kernel_interval])
def test_features_that_are_none(distance):
    good = normal(60, 3)
    bad = good.copy()
    bad[7, 1], bad[9] = np.nan, np.inf
    with pytest.raises(UserError, match="made images: not finite for 2 of 60"):
        distance(good, bad)
    with pytest.raises(UserError, match="3 features of real and 2 of made"):
        distance(good, good[:, :2])
    with pytest.raises(UserError, match=r"real images: must be floats \[N, D\]; received float64 \[60\]"):
        distance(good[:, 0], good)
    with pytest.raises(UserError, match=r"made images: .* received int64 \[60, 3\]"):
        distance(good, good.astype(np.int64))
    with pytest.raises(UserError, match=r"received float64 \[0, 3\]"):
        distance(good, good[:0])
