"""Choosing the pairs of batch k, a function of (seed, k): image A has the attribute in turn, image B lacks it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from elegant_tf.data.matching import Matcher
from elegant_tf.data.permutation import derived_keys, shuffled
from elegant_tf.errors import UserError

SCHEDULES = ("round_robin", "mixed")
MATCHES = ("none", "all")

# Keys that keep the random streams of one seed apart.
_ORDER, _FLIPS, _MATCHES, _JITTERS = 0, 1, 2, 3


class Pairs(NamedTuple):
    """The images of a batch.

    `a`, `b`: int64 `[N]`, image indices; `attribute`: int32 `[N]`, the attribute that a has and b lacks; `flip_a`,
    `flip_b`: bool `[N]`, whether to mirror; `jitter_a`, `jitter_b`: float64 `[N, 4]`, see `disturbance.jittered`.
    """

    a: np.ndarray
    b: np.ndarray
    attribute: np.ndarray
    flip_a: np.ndarray
    flip_b: np.ndarray
    jitter_a: np.ndarray
    jitter_b: np.ndarray


class PairSampler:
    """Chooses the pairs of batch k = 0, 1, …

    Batch k is a function of (seed, k). Under `round_robin` it trains attribute k mod n (the authors' schedule); under
    `mixed` the attributes take turns from example to example, so each gets N / n of a batch, and remainders move on to
    the next batches. The images with an attribute form one pool, those without it another. A pool is used up, in a
    newly shuffled order, before any of its images returns. With `match="all"` this holds for A, and B is drawn from
    the images without the attribute that agree with A in the most other attributes. Safe to call from several threads.

    Args:
        labels: int8 `[M, n]` in {0, 1}.
        batch_size: N.
        schedule: `round_robin` or `mixed`.
        seed: 0 or more.
        flip: whether `flip_a` and `flip_b` mirror half of the images at random.
        match: `none` or `all`.
        jitter: the bound of the numbers in `jitter_a` and `jitter_b`, which are uniform and independent; 0: none moves.

    Raises:
        UserError: an unknown schedule or match, or an attribute that all images or none have.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        schedule: str,
        seed: int,
        flip: bool = False,
        match: str = "none",
        jitter: float = 0.0,
    ) -> None:
        if schedule not in SCHEDULES:
            raise UserError(f"--attribute_schedule={schedule}: expected one of {', '.join(SCHEDULES)}")
        if match not in MATCHES:
            raise UserError(f"--match_attributes={match}: expected one of {', '.join(MATCHES)}")
        self.batch_size = batch_size
        self.schedule = schedule
        self.seed = seed
        self.flip = flip
        self.jitter = jitter
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
        """The images with an attribute (`has`), or without it: int32 `[m]`, ascending."""
        number = 2 * attribute + int(has)
        return self._members[self._starts[number] :][: self._sizes[number]]

    def batch(self, k: int) -> Pairs:
        """The pairs of batch k."""
        n = self._count
        example = np.arange(self.batch_size)
        if self.schedule == "round_robin":
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
        jitters = np.zeros((2, self.batch_size, 4))
        if self.jitter:
            jitters = self._random(_JITTERS, k).uniform(-self.jitter, self.jitter, jitters.shape)
        return Pairs(a, b, attribute.astype(np.int32), *flips, *jitters)

    def _take(self, pools: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The images at these places in the endless shuffled streams of pools, numbered `2 * attribute + has`."""
        sizes = self._sizes[pools]
        epochs, offsets = np.divmod(places, sizes)
        order = shuffled(offsets, sizes, derived_keys(self._order_key, pools, epochs))
        return self._members[self._starts[pools] + order].astype(np.int64)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(self._sequence(*key))

    def _sequence(self, *key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=key)
