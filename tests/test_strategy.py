from __future__ import annotations

import pytest
import tensorflow as tf
import tiny

from elegant_tf.errors import UserError
from elegant_tf.training import strategy
from elegant_tf.training.strategy import make_strategy


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
