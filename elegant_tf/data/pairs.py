"""Batches of pairs, read and decoded beside training."""

from __future__ import annotations

import threading
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from elegant_tf.data.batches import read_ahead
from elegant_tf.data.gate import Gate, exit_gate
from elegant_tf.data.sampler import Pairs, PairSampler
from elegant_tf.data.sources import Source
from elegant_tf.errors import UserError
from elegant_tf.images import BadImage, to_float

# Distinct bad images that a run goes on with, as a share of the source's.
BAD_SHARE = 0.01


@runtime_checkable
class EncodedSource(Source, Protocol):
    """A source that has its images as JPEG or PNG files of the right size."""

    def encoded(self, index: int) -> bytes:
        """Image `index`, a file's bytes that can be decoded. Raises BadImage, a UserError, if it cannot be read."""
        ...


class BadImages:
    """The unreadable images met so far, each counted once; safe to use from several threads.

    `failure`: what a UserError said that stopped the data, if one did. TensorFlow turns it into an error of its own
    on the way through `tf.data`, so whoever iterates raises one that says this. Not the error itself: raised, it
    would hold the iterator by its traceback, and a thread of the iterator that dropped it would wait for itself.
    """

    def __init__(self, total: int) -> None:
        """`total`: the images of the source, of which at most 1 % (but always one) may be bad."""
        self.allowed = max(1, int(total * BAD_SHARE))
        self.failure = ""
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
    worker: int = 0,
    workers: int = 1,
    parallel: int | None = None,
) -> tf.data.Dataset:
    """Endless batches of pairs, beginning with batch `start`; images are read in parallel, in a fixed order.

    Each element: `a`, `b` float32 `[N, S, S, 3]` in [-1, 1]; `y_a`, `y_b` float32 `[N, n]` in {0, 1};
    `attribute` int32 `[N]`. An unreadable image is replaced by the next readable one of its pool and put down
    in `bad_images`; too many end the iteration with a `tf.errors.OpError`, whose cause is `bad_images.failure`.
    The images of an `EncodedSource` are decoded by TensorFlow. Of several workers each reads its part of every
    batch, N being the sampler's divided by `workers`: joined in their order, the parts are the batch of one worker.
    `prefetch` and `parallel`: as in `read_ahead`.

    Raises:
        UserError: the batch cannot be divided among the workers.
    """
    if sampler.batch_size % workers:
        raise UserError(f"--batch_size={sampler.batch_size}: must be a multiple of the {workers} workers")
    bad_images = bad_images if bad_images is not None else BadImages(len(source.labels))
    count = sampler.batch_size // workers
    encoded = isinstance(source, EncodedSource)
    part = slice(worker * count, (worker + 1) * count)
    loader = _Loader(source, sampler, bad_images, exit_gate(), encoded, part)
    images = (count, source.image_size, source.image_size, 3)
    labels = (count, len(source.attributes))

    def load(k: tf.Tensor) -> dict[str, tf.Tensor]:
        kind = tf.string if encoded else tf.uint8
        types = (kind, kind, tf.int8, tf.int8, tf.int32, tf.bool, tf.bool)
        # Not stateful: under op determinism tf.data would otherwise read one batch at a time.
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
    """JPEG or PNG files, strings `[N]`, as uint8 `[N, S, S, 3]`, mirrored where `flip` says so."""
    files = tf.unstack(tf.ensure_shape(data, shape[:1]))
    # In spite of its name it decodes PNG as well, by what the bytes begin with.
    images = [tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE") for file in files]
    pixels = tf.stack([tf.ensure_shape(image, shape[1:]) for image in images])
    if_flipped = tf.ensure_shape(flip, shape[:1])[:, None, None, None]
    return tf.cond(tf.reduce_any(flip), lambda: tf.where(if_flipped, pixels[:, :, ::-1], pixels), lambda: pixels)


class _Loader:
    """Batch number to NumPy arrays: pixels, or files of an `EncodedSource`."""

    def __init__(
        self, source: Source, sampler: PairSampler, bad_images: BadImages, gate: Gate, encoded: bool, part: slice
    ) -> None:
        self._source = source
        self._sampler = sampler
        self._bad_images = bad_images
        self._gate = gate
        self._encoded = encoded
        self._part = part

    def load(self, k: np.ndarray) -> tuple[np.ndarray, ...]:
        """a, b uint8 `[N, S, S, 3]`, mirrored, or bytes `[N]`; y_a, y_b int8 `[N, n]`; attribute int32, flips bool."""
        with self._gate:
            return self._load_batch(int(k))

    def _load_batch(self, k: int) -> tuple[np.ndarray, ...]:
        try:
            pairs = Pairs(*(column[self._part] for column in self._sampler.batch(k)))
            a, y_a = self._load_side(pairs.a, pairs.attribute, True, pairs.flip_a)
            b, y_b = self._load_side(pairs.b, pairs.attribute, False, pairs.flip_b)
        except UserError as error:
            self._bad_images.failure = str(error)
            raise
        return a, b, y_a, y_b, pairs.attribute, pairs.flip_a, pairs.flip_b

    def _load_side(
        self, indices: np.ndarray, attributes: np.ndarray, has: bool, flips: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        images, labels = [], []
        for index, attribute, flip in zip(indices.tolist(), attributes.tolist(), flips, strict=True):
            self._gate.check_open()
            image, index = self._load_readable(index, attribute, has)
            images.append(image[:, ::-1] if flip and not self._encoded else image)
            labels.append(self._source.labels[index])
        return np.array(images, object) if self._encoded else np.stack(images), np.stack(labels)

    def _load_readable(self, index: int, attribute: int, has: bool) -> tuple[np.ndarray | bytes, int]:
        """The image, or the next readable one of its pool; and the index of what was loaded."""
        pool = self._sampler.pool(attribute, has)
        place = int(np.searchsorted(pool, index))
        load = self._source.encoded if self._encoded else self._source.load
        for step in range(len(pool)):
            candidate = int(pool[(place + step) % len(pool)])
            try:
                return load(candidate), candidate
            except BadImage as error:
                self._bad_images.add(candidate, str(error))
        kind = "with" if has else "without"
        name = self._source.attributes[attribute]
        raise UserError(f"no readable image {kind} {name} is left: mend or remove them.\n{self._bad_images.report()}")
