"""Batches by their number."""

from __future__ import annotations

import threading

import pytest
import tensorflow as tf

from elegant_tf.data import batches
from elegant_tf.data.batches import read_ahead


def numbers(dataset, count):
    return [int(element["k"]) for element in dataset.take(count)]


def test_in_order_from_the_first_on():
    assert numbers(read_ahead(lambda k: {"k": k * 10}), 4) == [0, 10, 20, 30]
    assert numbers(read_ahead(lambda k: {"k": k * 10}, start=7), 3) == [70, 80, 90]


@pytest.mark.parametrize(("cpus", "told", "parallel"), [(1, None, 1), (2, None, 2), (1, 2, 2), (2, 1, 1)])
def test_reads_as_many_at_a_time_as_it_is_told_or_as_there_are_cpus(monkeypatch, cpus, told, parallel):
    monkeypatch.setattr(batches, "cpus", lambda: cpus)
    together, over = threading.Barrier(2), threading.Event()
    met = []

    def read(k):
        if over.is_set():
            return k
        try:
            together.wait(60 if parallel == 2 else 0.2)
            met.append(int(k))
        except threading.BrokenBarrierError:
            if not over.is_set():
                together.reset()
        return k

    def load(k):
        return {"k": tf.ensure_shape(tf.numpy_function(read, [k], tf.int64, stateful=False), [])}

    iterator = iter(read_ahead(load, parallel=told))
    assert [int(next(iterator)["k"]) for _ in range(2)] == [0, 1]
    assert {0, 1} <= set(met) if parallel == 2 else not met
    over.set()
    together.abort()  # A thread that still waits for another need not: the iterator, when dropped, waits for it.


def test_datasets_made_of_it_lack_the_tuner_that_delays_dropping_an_iterator():
    one, other = read_ahead(lambda k: {"k": k}), read_ahead(lambda k: {"n": k}, start=3)
    both = tf.data.Dataset.zip((one, other)).map(lambda a, b: {**a, **b})
    for dataset in (one, both):
        assert dataset.options().autotune.enabled is False
