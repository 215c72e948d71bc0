"""Batches by their number, read ahead while training runs."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from elegant_tf.data.parallel import cpus

# The default limit of batches read at a time: each of them is in memory.
MOST_PARALLEL = 16


def read_ahead(
    read: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    start: int = 0,
    prefetch: int = 4,
    parallel: int | None = None,
) -> tf.data.Dataset:
    """Yields `read(k)`, `k` an int64 scalar, for k = `start`, `start` + 1, … without end, in this order.

    `parallel`: the number of batches read at a time; None: one per processor, at most `MOST_PARALLEL`. `prefetch`: the
    number of finished batches that wait. No others are in memory.
    """
    parallel = parallel or min(cpus(), MOST_PARALLEL)
    batches = tf.data.Dataset.counter(start).map(read, num_parallel_calls=parallel, deterministic=True)
    options = tf.data.Options()
    # Else the iterator has a thread per processor, which a read holds while it waits for a disk or a worker process.
    options.threading.private_threadpool_size = max(parallel, cpus())
    return untuned(batches.prefetch(prefetch).with_options(options))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` without TensorFlow's tuner, which sleeps for up to a minute while whoever drops the iterator waits."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
