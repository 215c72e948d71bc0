"""Shuffled orders, computed place by place: nothing is stored, and every place costs the same.

Own code: the orders of `tf.random.experimental.index_shuffle` are correlated between seeds, hence between epochs, and
a run must resume in the same order with any version of TensorFlow.
"""

from __future__ import annotations

import numpy as np

# Twice the number after which statistics of 100,000 numbers no longer show any order.
_ROUNDS = 24
_MULTIPLIERS = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT, _TOP_BIT, _LOWER_HALF = np.uint64(32), np.uint64(63), np.uint64(2**32 - 1)
_ROUND_KEYS = np.arange(1, _ROUNDS + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)


def shuffled(places: np.ndarray, sizes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Maps each place by the random permutation of `range(size)` that its key determines.

    A swap-or-not network: every round divides all numbers into pairs and tosses a coin for each pair (Hoang, Morris
    and Rogaway, An Enciphering Scheme Based on a Card Shuffle, 2012).

    Args:
        places: integers `[N]`, each at least 0 and below its size.
        sizes: integers `[N]`, 1 to 2^31.
        keys: uint64 `[N]`.

    Returns:
        int64 `[N]`; for equal size and key, different places become different numbers.
    """
    numbers, sizes = np.array(places, np.int64), np.asarray(sizes, np.int64)
    round_keys = _mix(keys ^ _ROUND_KEYS)
    sums = ((round_keys & _LOWER_HALF) * sizes.astype(np.uint64) >> _SHIFT).astype(np.int64)
    for key, pair_sum in zip(round_keys, sums, strict=True):
        partners = pair_sum - numbers
        partners += sizes * (partners < 0)
        coins = _mix(np.maximum(numbers, partners).astype(np.uint64) ^ key) >> _TOP_BIT
        numbers = np.where(coins, partners, numbers)
    return numbers


def derived_keys(key: int, *numbers: np.ndarray) -> np.ndarray:
    """Derives a key for every row of the columns `numbers`, integers `[N]`, from one key: uint64 `[N]`."""
    keys = np.array(key, np.uint64)
    for column in numbers:
        keys = _mix(_mix(np.asarray(column, np.uint64) + _ROUND_KEYS[0]) ^ keys)
    return keys


def _mix(values: np.ndarray) -> np.ndarray:
    """The finalizer of MurmurHash3 (Appleby): every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> _SHIFT)) * _MULTIPLIERS[0]
    return (values ^ (values >> _SHIFT)) * _MULTIPLIERS[1]
