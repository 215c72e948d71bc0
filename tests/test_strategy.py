from __future__ import annotations

import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.training import strategy
from elegant_tf.training.strategy import make_strategy, shared_out


@pytest.mark.parametrize("name", ["auto", "one_device", "mirrored"])
def test_one_cpu_is_one_replica(name):
    assert make_strategy(tiny.config(strategy=name)).num_replicas_in_sync == 1


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch):
    cpu = tf.config.list_logical_devices("CPU")[0]
    monkeypatch.setattr(strategy.tf.config, "list_logical_devices", lambda kind: [cpu] * 3 if kind == "GPU" else [cpu])
    with pytest.raises(UserError, match="--batch_size=4: must be a multiple of the 3 devices"):
        make_strategy(tiny.config(batch_size=4))
    assert make_strategy(tiny.config(batch_size=4, strategy="one_device")).num_replicas_in_sync == 1
    with pytest.raises(UserError, match="--truth_batch_size=4: must be a multiple of the 3 devices"):
        make_strategy(tiny.config(batch_size=3, truth_weight=1.0))


@pytest.mark.parametrize("gpu", [False, True])
def test_batches_are_shared_out_where_there_is_something_to_share(monkeypatch, gpu):
    cpu = tf.config.list_logical_devices("CPU")[0]
    monkeypatch.setattr(strategy.tf.config, "list_logical_devices", lambda kind: [cpu] if gpu or kind == "CPU" else [])
    dataset = tf.data.Dataset.range(8).batch(4)
    shared = shared_out(dataset, make_strategy(tiny.config()))
    assert (shared is dataset) != gpu
    assert [batch.numpy().tolist() for batch in shared] == [[0, 1, 2, 3], [4, 5, 6, 7]]
