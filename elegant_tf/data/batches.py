"""Batches by their number, read ahead beside training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def read_ahead(
    read: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    start: int = 0,
    prefetch: int = 4,
    parallel: int = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Endless `read(k)`, `k` an int64 scalar, for k = `start`, `start` + 1 and so on, in this order.

    `parallel`: batches under way at a time, by default as many as there are CPUs, at most 16; beside them `prefetch`
    wait, and no others are in memory.
    """
    options = tf.data.Options()
    # TensorFlow's tuner sleeps for up to a minute at a time, and who drops the iterator waits until it wakes.
    options.autotune.enabled = False
    numbers = tf.data.Dataset.counter(start)
    batches = numbers.map(read, num_parallel_calls=parallel, deterministic=True)
    return batches.prefetch(prefetch).with_options(options)
