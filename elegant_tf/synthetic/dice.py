"""Random choices that never change: they use `Random.random` alone, whose values Python guarantees."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A source of random choices, a function of `words` alone."""

    def __init__(self, *words: object) -> None:
        self._next = random.Random("/".join(map(str, words))).random

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def around(self, spread: float) -> float:
        """A bell-shaped random number within ±spread: the mean of three uniform ones."""
        return spread * (2 * (self._next() + self._next() + self._next()) / 3 - 1)

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def below(self, count: int) -> int:
        return int(self._next() * count)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]
