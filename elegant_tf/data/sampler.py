"""Which images make batch k: A has the attribute in turn, B has it not; a function of (seed, k) alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elegant_tf.data.matching import Matcher
from elegant_tf.data.permutation import derived_keys, shuffled
from elegant_tf.errors import UserError

SCHEDULES = ("cycle", "mixed")
MATCHES = ("none", "all")

# Keys that keep the random streams of one seed apart.
_ORDER, _FLIPS, _MATCHES = 0, 1, 2


class Pairs(NamedTuple):
    """Which images make a batch.

    `a`, `b`: int64 `[N]`, image indices; `attribute`: int32 `[N]`, which attribute a has and b has not;
    `flip_a`, `flip_b`: bool `[N]`, whether to mirror.
    """

    a: np.ndarray
    b: np.ndarray
    attribute: np.ndarray
    flip_a: np.ndarray
    flip_b: np.ndarray


class PairSampler:
    """Chooses the pairs of batch k = 0, 1, …

    Under `cycle` batch k trains attribute k mod n throughout (the authors' schedule); under `mixed` the
    attributes take turns from example to example, so that each gets N / n of a batch, remainders going round.
    The images with an attribute form a pool, those without another; every pool is used up, in an order
    shuffled anew, before any of its images comes again. With `match="all"` that holds for A, and B is drawn among
    the images without the attribute that are most like A in all others. Safe to call from several threads.

    Args:
        labels: int8 `[M, n]` in {0, 1}.
        batch_size: N.
        schedule: `cycle` or `mixed`.
        seed: 0 or more.
        flip: whether `flip_a` and `flip_b` mirror half of the images, by chance.
        match: `none` or `all`.

    Raises:
        UserError: another schedule or match, or an attribute that all images or none have.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        schedule: str,
        seed: int,
        flip: bool = False,
        match: str = "none",
    ) -> None:
        if schedule not in SCHEDULES:
            raise UserError(f"--attribute_schedule={schedule}: expected one of {', '.join(SCHEDULES)}")
        if match not in MATCHES:
            raise UserError(f"--match_attributes={match}: expected one of {', '.join(MATCHES)}")
        self.batch_size = batch_size
        self.schedule = schedule
        self.seed = seed
        self.flip = flip
        self._count = labels.shape[1]
        pools = [np.flatnonzero(column == label).astype(np.int32) for column in labels.T for label in (0, 1)]
        self._sizes = np.array([len(pool) for pool in pools])
        if not self._sizes.all():
            attribute = int(np.argmin(self._sizes)) // 2
            raise UserError(f"attribute {attribute} is the same for all {len(labels)} images: drop it")
        self._members = np.concatenate(pools)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._matcher = Matcher(labels) if match == "all" else None
        self._order_key = int(self._sequence(_ORDER).generate_state(1, np.uint64)[0])

    def pool(self, attribute: int, has: bool) -> np.ndarray:
        """The images that have an attribute, or have it not: int32 `[m]`, ascending."""
        number = 2 * attribute + int(has)
        return self._members[self._starts[number] :][: self._sizes[number]]

    def batch(self, k: int) -> Pairs:
        """The pairs of batch k."""
        n = self._count
        example = np.arange(self.batch_size)
        if self.schedule == "cycle":
            attribute = np.full(self.batch_size, k % n)
            place = k // n * self.batch_size + example
        else:
            place, attribute = np.divmod(k * self.batch_size + example, n)
        if self._matcher is None:
            a, b = np.split(self._take(np.concatenate([2 * attribute + 1, 2 * attribute]), np.tile(place, 2)), 2)
        else:
            a = self._take(2 * attribute + 1, place)
            b = self._matcher.match(a, attribute, self._random(_MATCHES, k).random(self.batch_size))
        flips = np.zeros((2, self.batch_size), bool)
        if self.flip:
            flips = self._random(_FLIPS, k).integers(0, 2, flips.shape).astype(bool)
        return Pairs(a, b, attribute.astype(np.int32), *flips)

    def _take(self, pools: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The images at these places of pools' endless shuffled streams; a pool is `2 * attribute + has`."""
        sizes = self._sizes[pools]
        epochs, offsets = np.divmod(places, sizes)
        order = shuffled(offsets, sizes, derived_keys(self._order_key, pools, epochs))
        return self._members[self._starts[pools] + order].astype(np.int64)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(self._sequence(*key))

    def _sequence(self, *key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=key)
