"""Batches by their number, read ahead beside training."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from elegant_tf.data.parallel import cpus

# Batches under way at a time, at most, unless told otherwise: each is held in memory.
MOST_PARALLEL = 16


def read_ahead(
    read: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    start: int = 0,
    prefetch: int = 4,
    parallel: int | None = None,
) -> tf.data.Dataset:
    """Endless `read(k)`, `k` an int64 scalar, for k = `start`, `start` + 1 and so on, in this order.

    `parallel`: batches under way at a time, None: one for each CPU, at most `MOST_PARALLEL`; beside them `prefetch`
    wait, and no others are in memory.
    """
    parallel = parallel or min(cpus(), MOST_PARALLEL)
    batches = tf.data.Dataset.counter(start).map(read, num_parallel_calls=parallel, deterministic=True)
    return untuned(batches.prefetch(prefetch))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` without TensorFlow's tuner, which sleeps for up to a minute: who drops the iterator waits for it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
