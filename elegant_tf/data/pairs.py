"""Batches of pairs: A has the attribute in turn, B has it not; batch k is a function of (seed, k) alone."""

from __future__ import annotations

import atexit
import functools
import threading
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from elegant_tf.data.sources import Source
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, to_float

SCHEDULES = ("cycle", "mixed")

# Distinct bad images that a run goes on with, as a share of the source's.
BAD_SHARE = 0.01

# Keys that keep the random streams of one seed apart.
_ORDER, _FLIPS = 0, 1


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
    shuffled anew, before any of its images comes again. Safe to call from several threads.

    Args:
        labels: int8 `[M, n]` in {0, 1}.
        batch_size: N.
        schedule: `cycle` or `mixed`.
        seed: 0 or more.
        flip: whether `flip_a` and `flip_b` mirror half of the images, by chance.

    Raises:
        UserError: another schedule, or an attribute that all images or none have.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, schedule: str, seed: int, flip: bool = False) -> None:
        if schedule not in SCHEDULES:
            raise UserError(f"--attribute_schedule={schedule}: expected one of {', '.join(SCHEDULES)}")
        self.batch_size = batch_size
        self.schedule = schedule
        self.seed = seed
        self.flip = flip
        self._pools = [_split_by_label(column) for column in labels.T]
        for attribute, pools in enumerate(self._pools):
            if not all(len(pool) for pool in pools):
                raise UserError(f"attribute {attribute} is the same for all {len(labels)} images: drop it")
        # Two epochs of every pool: a batch may span the current one and the next.
        self._order = functools.lru_cache(maxsize=4 * len(self._pools))(self._shuffle)

    def pool(self, attribute: int, has: bool) -> np.ndarray:
        """The images that have an attribute, or have it not: int32 `[m]`, ascending."""
        return self._pools[attribute][int(has)]

    def batch(self, k: int) -> Pairs:
        """The pairs of batch k."""
        n = len(self._pools)
        example = np.arange(self.batch_size)
        if self.schedule == "cycle":
            attribute = np.full(self.batch_size, k % n)
            place = k // n * self.batch_size + example
        else:
            place, attribute = np.divmod(k * self.batch_size + example, n)
        a = self._take(attribute, place, has=True)
        b = self._take(attribute, place, has=False)
        flips = np.zeros((2, self.batch_size), bool)
        if self.flip:
            flips = self._random(_FLIPS, k).integers(0, 2, flips.shape).astype(bool)
        return Pairs(a, b, attribute.astype(np.int32), *flips)

    def _take(self, attribute: np.ndarray, place: np.ndarray, has: bool) -> np.ndarray:
        """The images at these places of the attributes' endless shuffled streams."""
        images = np.empty(len(attribute), np.int64)
        for example, (i, position) in enumerate(zip(attribute.tolist(), place.tolist(), strict=True)):
            epoch, offset = divmod(position, len(self.pool(i, has)))
            images[example] = self._order(i, has, epoch)[offset]
        return images

    def _shuffle(self, attribute: int, has: bool, epoch: int) -> np.ndarray:
        return self._random(_ORDER, attribute, int(has), epoch).permutation(self.pool(attribute, has))

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def _split_by_label(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.flatnonzero(column == label).astype(np.int32) for label in (0, 1))


class BadImages:
    """The unreadable images met so far, each counted once; safe to use from several threads.

    `error`: the UserError that stopped the data, if one did. TensorFlow turns it into an error of its own on
    the way through `tf.data`, so whoever iterates raises this instead.
    """

    def __init__(self, total: int) -> None:
        """`total`: the images of the source, of which at most 1 % (but always one) may be bad."""
        self.allowed = max(1, int(total * BAD_SHARE))
        self.error: UserError | None = None
        self._total = total
        self._messages: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many different images were bad."""
        return len(self._messages)

    @property
    def messages(self) -> list[str]:
        """What was wrong with each, by image index."""
        with self._lock:
            return [message for _, message in sorted(self._messages.items())]

    def add(self, index: int, message: str) -> None:
        """Counts image `index`. Raises UserError once there are more than allowed."""
        with self._lock:
            self._messages[index] = message
        if self.count > self.allowed:
            raise UserError(f"too many bad images, more than {BAD_SHARE:.0%}: mend or remove them.\n{self.report()}")

    def report(self, most: int = 10) -> str:
        """A text for people: the count and the first messages."""
        if not self.count:
            return "All images could be read."
        messages = self.messages
        more = [f"  and {len(messages) - most} more"] if len(messages) > most else []
        lines = [f"  {message}" for message in messages[:most]]
        return "\n".join([f"{len(messages)} of {self._total} images were bad and were replaced:", *lines, *more])


def pair_dataset(
    source: Source,
    sampler: PairSampler,
    start: int = 0,
    bad_images: BadImages | None = None,
    prefetch: int = 4,
) -> tf.data.Dataset:
    """Endless batches of pairs, beginning with batch `start`; images are read in parallel, in a fixed order.

    Each element: `a`, `b` float32 `[N, S, S, 3]` in [-1, 1]; `y_a`, `y_b` float32 `[N, n]` in {0, 1};
    `attribute` int32 `[N]`. An unreadable image is replaced by the next readable one of its pool and put down
    in `bad_images`; too many end the iteration with a `tf.errors.OpError`, whose cause is `bad_images.error`.
    """
    bad_images = bad_images if bad_images is not None else BadImages(len(source.labels))
    loader = _Loader(source, sampler, bad_images, _exit_gate())
    images = (sampler.batch_size, source.image_size, source.image_size, 3)
    labels = (sampler.batch_size, len(source.attributes))

    def load(k: tf.Tensor) -> dict[str, tf.Tensor]:
        types = (tf.uint8, tf.uint8, tf.int8, tf.int8, tf.int32)
        # Not stateful: under op determinism tf.data would otherwise read one batch at a time.
        a, b, y_a, y_b, attribute = tf.numpy_function(loader.load, [k], types, stateful=False)
        return {
            "a": to_float(tf.cast(tf.ensure_shape(a, images), tf.float32)),
            "b": to_float(tf.cast(tf.ensure_shape(b, images), tf.float32)),
            "y_a": tf.cast(tf.ensure_shape(y_a, labels), tf.float32),
            "y_b": tf.cast(tf.ensure_shape(y_b, labels), tf.float32),
            "attribute": tf.ensure_shape(attribute, images[:1]),
        }

    batches = tf.data.Dataset.counter(start)
    return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(prefetch)


class _Gate:
    """Sees to it that nothing is being loaded while the interpreter shuts down.

    A thread that wants to go on in Python after that never returns, and TensorFlow, dropping an iterator,
    would wait for it for ever: a process that ends by an exception would not end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._inside = 0
        self._entries = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self._entries += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def check_open(self) -> None:
        """Raises StopIteration, to TensorFlow the end of the data, once the gate is closed."""
        if self._closed:
            raise StopIteration

    def close(self) -> None:
        """Returns when nothing is inside and, the buffers of `tf.data` being full, nothing comes any more."""
        self._closed = True
        seen = -1
        while self._inside or seen != self._entries:
            seen = self._entries
            time.sleep(0.1)


@functools.cache
def _exit_gate() -> _Gate:
    gate = _Gate()
    atexit.register(gate.close)
    return gate


class _Loader:
    """Batch number to NumPy arrays."""

    def __init__(self, source: Source, sampler: PairSampler, bad_images: BadImages, gate: _Gate) -> None:
        self._source = source
        self._sampler = sampler
        self._bad_images = bad_images
        self._gate = gate

    def load(self, k: np.ndarray) -> tuple[np.ndarray, ...]:
        """a, b uint8 `[N, S, S, 3]`; y_a, y_b int8 `[N, n]`; attribute int32 `[N]`."""
        with self._gate:
            return self._load_batch(int(k))

    def _load_batch(self, k: int) -> tuple[np.ndarray, ...]:
        try:
            pairs = self._sampler.batch(k)
            a, y_a = self._load_side(pairs.a, pairs.attribute, True, pairs.flip_a)
            b, y_b = self._load_side(pairs.b, pairs.attribute, False, pairs.flip_b)
        except UserError as error:
            self._bad_images.error = error
            raise
        return a, b, y_a, y_b, pairs.attribute

    def _load_side(
        self, indices: np.ndarray, attributes: np.ndarray, has: bool, flips: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        images, labels = [], []
        for index, attribute, flip in zip(indices.tolist(), attributes.tolist(), flips, strict=True):
            self._gate.check_open()
            image, index = self._load_readable(index, attribute, has)
            images.append(image[:, ::-1] if flip else image)
            labels.append(self._source.labels[index])
        return np.stack(images), np.stack(labels)

    def _load_readable(self, index: int, attribute: int, has: bool) -> tuple[np.ndarray, int]:
        """The image, or the next readable one of its pool; and the index of what was loaded."""
        pool = self._sampler.pool(attribute, has)
        place = int(np.searchsorted(pool, index))
        for step in range(len(pool)):
            candidate = int(pool[(place + step) % len(pool)])
            try:
                return self._source.load(candidate), candidate
            except BadImage as error:
                self._bad_images.add(candidate, str(error))
        kind = "with" if has else "without"
        name = self._source.attributes[attribute]
        raise UserError(f"no readable image {kind} {name} is left: mend or remove them.\n{self._bad_images.report()}")
