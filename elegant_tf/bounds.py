"""Bounds of the numbers that a user gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from elegant_tf.errors import UserError

LARGEST_INT, LARGEST_FLOAT = 2**31 - 1, 1e30
"""No sensible number is larger, and TensorFlow computes in 32 bits in places."""

LARGEST_SEED = 2**32 - 1
"""NumPy's limit."""

LARGEST_VERSION = 2**63 - 1
"""TF Serving's limit for the version of a model."""


@dataclass(frozen=True)
class Bounds:
    """What a number may be; None: no bound but `LARGEST_INT` and `LARGEST_FLOAT`."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    def check(self, flag: str, value: float) -> None:
        """Raises UserError, naming the flag, unless the number is finite and within the bounds."""
        if isinstance(value, float) and not math.isfinite(value):
            raise wrong_value(flag, value, "a finite number")
        if self.at_least is not None and value < self.at_least:
            raise wrong_value(flag, value, f"{self.at_least} or more")
        if self.above is not None and value <= self.above:
            raise wrong_value(flag, value, f"more than {self.above}")
        if self.below is not None and value >= self.below:
            raise wrong_value(flag, value, f"less than {self.below}")
        if value > (most := self._most(value)):
            raise wrong_value(flag, value, f"{most} or less")

    def _most(self, value: float) -> float:
        general = LARGEST_FLOAT if isinstance(value, float) else LARGEST_INT
        return general if self.at_most is None else self.at_most


def wrong_value(flag: str, value: object, right: str) -> UserError:
    """The error for a flag's value; it names the value received and the values allowed."""
    return UserError(f"--{flag}={value}: must be {right}")
