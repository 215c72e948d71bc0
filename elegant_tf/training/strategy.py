"""Which devices train, and how they share a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from elegant_tf.errors import UserError


def make_strategy(name: str, batch_size: int) -> tf.distribute.Strategy:
    """The strategy that `--strategy` names, over every GPU, or every CPU device if there is none.

    Raises:
        UserError: the replicas cannot share a batch evenly.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(names[0])
    if batch_size % len(names):
        raise UserError(
            f"--batch_size={batch_size}: must be a multiple of the {len(names)} devices that share it; "
            "or choose --strategy=one_device"
        )
    return tf.distribute.MirroredStrategy(names)


def distribute(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Iterable[Any]:
    """`dataset`, with a part of each batch for every replica.

    A single CPU takes it as it is: nothing is to be divided or copied to a device, and TensorFlow's distributed
    iterator would wait for a tuner when dropped (`untuned`), whatever the dataset's options say.
    """
    if strategy.num_replicas_in_sync == 1 and not tf.config.list_logical_devices("GPU"):
        return dataset
    return strategy.experimental_distribute_dataset(dataset)
