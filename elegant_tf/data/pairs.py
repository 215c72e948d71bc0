"""Batches of pairs, read and decoded while training runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from elegant_tf.data.batches import read_ahead
from elegant_tf.data.disturbance import jittered
from elegant_tf.data.sampler import Pairs, PairSampler
from elegant_tf.data.shutdown import ShutdownGuard, shutdown_guard
from elegant_tf.data.source import EncodedSource, Source
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, to_float

# The share of a source's images that may be bad.
BAD_SHARE = 0.01


class BadImages:
    """The unreadable images met so far, each counted once; safe to use from several threads.

    `failure`: the text of the UserError that stopped the data, if one did. `tf.data` replaces the error by a
    TensorFlow error, so whoever iterates raises a UserError of this text. The error itself is not kept: its traceback
    would hold the iterator, and a thread of the iterator that dropped it last would wait for itself.
    """

    def __init__(self, total: int) -> None:
        """`total`: the number of the source's images, of which 1 %, and at least one, may be bad."""
        self.allowed = max(1, int(total * BAD_SHARE))
        self.failure = ""
        self._total = total
        self._messages: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """The number of different bad images."""
        return len(self._messages)

    @property
    def messages(self) -> list[str]:
        """What was wrong with each, in the order of the images."""
        with self._lock:
            return [message for _, message in sorted(self._messages.items())]

    def add(self, index: int, message: str) -> None:
        """Counts image `index`. Raises UserError if more than `allowed` are bad."""
        with self._lock:
            self._messages[index] = message
        if self.count > self.allowed:
            raise UserError(f"too many bad images, more than {BAD_SHARE:.0%}: mend or remove them.\n{self.report()}")

    def report(self, most: int = 10) -> str:
        """The count and the first messages, for people."""
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
    worker: int = 0,
    workers: int = 1,
    parallel: int | None = None,
) -> tf.data.Dataset:
    """Yields batches of pairs without end, from batch `start` on. They are read in parallel, in a fixed order.

    Each element: `a`, `b` float32 `[N, S, S, 3]` in [-1, 1]; `y_a`, `y_b` float32 `[N, n]` in {0, 1}; `attribute`
    int32 `[N]`. An unreadable image is replaced by the next readable one of its pool and recorded in `bad_images`.
    Too many of them end the iteration with a `tf.errors.OpError`; `bad_images.failure` then has the reason.
    TensorFlow decodes the images of an `EncodedSource`, unless the sampler has jitter. Each of several workers reads
    its part of every batch, and N is the sampler's batch size divided by `workers`: concatenated, the parts are the
    batch that one worker would read. `prefetch` and `parallel`: as in `read_ahead`.

    Raises:
        UserError: the batch cannot be divided among the workers.
    """
    if sampler.batch_size % workers:
        raise UserError(f"--batch_size={sampler.batch_size}: must be a multiple of the {workers} workers")
    bad_images = bad_images if bad_images is not None else BadImages(len(source.labels))
    count = sampler.batch_size // workers
    # Pillow moves images, so it decodes them, too.
    encoded = isinstance(source, EncodedSource) and not sampler.jitter
    part = slice(worker * count, (worker + 1) * count)
    loader = _Loader(source, sampler, bad_images, shutdown_guard(), encoded, part)
    images = (count, source.image_size, source.image_size, 3)
    labels = (count, len(source.attributes))

    def load(k: tf.Tensor) -> dict[str, tf.Tensor]:
        kind = tf.string if encoded else tf.uint8
        types = (kind, kind, tf.int8, tf.int8, tf.int32, tf.bool, tf.bool)
        # Under op determinism, tf.data would read a stateful function's batches one at a time.
        a, b, y_a, y_b, attribute, *flips = tf.numpy_function(loader.load, [k], types, stateful=False)
        if encoded:
            a, b = (_decode(data, flip, images) for data, flip in zip((a, b), flips, strict=True))
        return {
            "a": to_float(tf.cast(tf.ensure_shape(a, images), tf.float32)),
            "b": to_float(tf.cast(tf.ensure_shape(b, images), tf.float32)),
            "y_a": tf.cast(tf.ensure_shape(y_a, labels), tf.float32),
            "y_b": tf.cast(tf.ensure_shape(y_b, labels), tf.float32),
            "attribute": tf.ensure_shape(attribute, images[:1]),
        }

    return read_ahead(load, start, prefetch, parallel)


def _decode(data: tf.Tensor, flip: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Decodes JPEG or PNG files, strings `[N]`, to uint8 `[N, S, S, 3]`, mirrored where `flip` is true."""
    files = tf.unstack(tf.ensure_shape(data, shape[:1]))
    # Despite its name, it also decodes PNG: it looks at the first bytes.
    images = [tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE") for file in files]
    pixels = tf.stack([tf.ensure_shape(image, shape[1:]) for image in images])
    if_flipped = tf.ensure_shape(flip, shape[:1])[:, None, None, None]
    return tf.cond(tf.reduce_any(flip), lambda: tf.where(if_flipped, pixels[:, :, ::-1], pixels), lambda: pixels)


class _Loader:
    """Loads a batch by its number as NumPy arrays: pixels, or the files of an `EncodedSource`."""

    def __init__(
        self,
        source: Source,
        sampler: PairSampler,
        bad_images: BadImages,
        guard: ShutdownGuard,
        encoded: bool,
        part: slice,
    ) -> None:
        self._source = source
        self._sampler = sampler
        self._bad_images = bad_images
        self._guard = guard
        self._encoded = encoded
        self._read: Callable[[int], Any] = (
            source.encoded if encoded and isinstance(source, EncodedSource) else source.load
        )
        self._part = part

    def load(self, k: np.ndarray) -> tuple[np.ndarray, ...]:
        """a, b uint8 `[N, S, S, 3]`, mirrored, or bytes `[N]`; y_a, y_b int8 `[N, n]`; attribute int32; flips bool."""
        with self._guard:
            return self._load_batch(int(k))

    def _load_batch(self, k: int) -> tuple[np.ndarray, ...]:
        try:
            pairs = Pairs(*(column[self._part] for column in self._sampler.batch(k)))
            a, y_a = self._load_side(pairs.a, pairs.attribute, True, pairs.flip_a, pairs.jitter_a)
            b, y_b = self._load_side(pairs.b, pairs.attribute, False, pairs.flip_b, pairs.jitter_b)
        except UserError as error:
            self._bad_images.failure = str(error)
            raise
        return a, b, y_a, y_b, pairs.attribute, pairs.flip_a, pairs.flip_b

    def _load_side(
        self, indices: np.ndarray, attributes: np.ndarray, has: bool, flips: np.ndarray, jitters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        images, labels = [], []
        rows = zip(indices.tolist(), attributes.tolist(), flips, jitters, strict=True)
        for index, attribute, flip, jitter in rows:
            self._guard.check_open()
            image, index = self._load_readable(index, attribute, has)
            if not self._encoded:
                image = image[:, ::-1] if flip else image
                image = jittered(image, jitter) if self._sampler.jitter else image
            images.append(image)
            labels.append(self._source.labels[index])
        return np.array(images, object) if self._encoded else np.stack(images), np.stack(labels)

    def _load_readable(self, index: int, attribute: int, has: bool) -> tuple[Any, int]:
        """The image, or its file, or the next readable one of its pool, and its index."""
        pool = self._sampler.pool(attribute, has)
        place = int(np.searchsorted(pool, index))
        for step in range(len(pool)):
            candidate = int(pool[(place + step) % len(pool)])
            try:
                return self._read(candidate), candidate
            except BadImage as error:
                self._bad_images.add(candidate, str(error))
        kind = "with" if has else "without"
        name = self._source.attributes[attribute]
        raise UserError(f"no readable image {kind} {name} is left: mend or remove them.\n{self._bad_images.report()}")
