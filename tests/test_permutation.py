"""Orders that are computed place by place are random permutations."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.data.permutation import derived_keys, shuffled


def permutations(size: int, keys: np.ndarray) -> np.ndarray:
    """int64 `[len(keys), size]`."""
    places = np.tile(np.arange(size), len(keys))
    return shuffled(places, np.full(len(places), size), np.repeat(keys, size)).reshape(-1, size)


def keys(count: int) -> np.ndarray:
    return derived_keys(0, np.arange(count))


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_every_number_comes_once(size, key):
    (order,) = permutations(size, np.array([key], np.uint64))
    assert sorted(order) == list(range(size))


@given(st.lists(st.tuples(st.integers(1, 2**31), st.floats(0, 1, exclude_max=True), st.integers(0, 2**64 - 1))))
def test_a_place_does_not_depend_on_its_neighbours(rows):
    sizes = np.array([size for size, _, _ in rows], np.int64)
    places = np.array([int(size * share) for size, share, _ in rows], np.int64)
    some_keys = np.array([key for _, _, key in rows], np.uint64)
    together = shuffled(places, sizes, some_keys)
    assert ((together >= 0) & (together < sizes)).all()
    for n in range(len(rows)):
        one = slice(n, n + 1)
        assert shuffled(places[one], sizes[one], some_keys[one]) == together[one]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_all_orders_are_equally_likely(size):
    count = Counter(map(tuple, permutations(size, keys(4000))))
    expected = 4000 / len(list(itertools.permutations(range(size))))
    assert max(abs(number - expected) for number in count.values()) < 4.5 * expected**0.5


def test_numbers_go_anywhere_and_neighbours_part():
    orders = permutations(20, keys(8000))
    counts = np.array([np.bincount(column, minlength=20) for column in orders.T])
    assert abs(counts - 400).max() < 100  # five standard deviations
    steps = np.bincount((orders[:, 1:] - orders[:, :-1]).ravel() + 19, minlength=39)
    expected = 8000 * 19 * (20 - abs(np.arange(-19, 20))) / 380
    expected[19] = 0
    assert (abs(steps - expected) <= 5 * np.sqrt(expected)).all()


def test_large_orders_have_no_trend():
    order, other = permutations(100_000, keys(2))
    for first, second in ((np.arange(100_000), order), (order[1:], order[:-1]), (order, other)):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 100_000**0.5


def test_keys_of_rows_differ():
    columns = np.meshgrid(np.arange(80), np.arange(200))
    some = derived_keys(1, *(column.ravel() for column in columns))
    assert len(set(some.tolist())) == 80 * 200
    assert not set(some.tolist()) & set(derived_keys(2, *(column.ravel() for column in columns)).tolist())
