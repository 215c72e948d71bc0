from __future__ import annotations

import pytest
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.training import strategy
from elegant_tf.training.strategy import distribute, make_strategy


@pytest.mark.parametrize("name", ["auto", "one_device", "mirrored"])
def test_one_cpu_is_one_replica(name):
    assert make_strategy(name, 16).num_replicas_in_sync == 1


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch):
    cpu = tf.config.list_logical_devices("CPU")[0]
    monkeypatch.setattr(strategy.tf.config, "list_logical_devices", lambda kind: [cpu] * 3 if kind == "GPU" else [cpu])
    with pytest.raises(UserError, match="--batch_size=4: must be a multiple of the 3 devices"):
        make_strategy("auto", 4)
    assert make_strategy("one_device", 4).num_replicas_in_sync == 1


@pytest.mark.parametrize("gpu", [False, True])
def test_batches_are_divided_only_among_devices(monkeypatch, gpu):
    cpu = tf.config.list_logical_devices("CPU")[0]
    monkeypatch.setattr(strategy.tf.config, "list_logical_devices", lambda kind: [cpu] if gpu or kind == "CPU" else [])
    dataset = tf.data.Dataset.range(8).batch(4)
    shared = distribute(dataset, make_strategy("auto", 4))
    assert (shared is dataset) != gpu
    assert [batch.numpy().tolist() for batch in shared] == [[0, 1, 2, 3], [4, 5, 6, 7]]
