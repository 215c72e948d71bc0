"""Which devices train, and how TensorFlow is set up for them."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.errors import UserError


def make_strategy(config: Config) -> tf.distribute.Strategy:
    """The strategy that `--strategy` names, over every GPU, or every CPU device where there is none.

    Raises:
        UserError: a batch cannot be shared evenly by the replicas.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name for device in devices]
    if config.strategy == "one_device":
        return tf.distribute.OneDeviceStrategy(names[0])
    shared = {"batch_size": config.batch_size}
    if config.truth_weight:
        shared["truth_batch_size"] = config.truth_batch_size
    for flag, size in shared.items():
        if size % len(names):
            raise UserError(
                f"--{flag}={size}: must be a multiple of the {len(names)} devices that share it; "
                "or choose --strategy=one_device"
            )
    return tf.distribute.MirroredStrategy(names)


def shared_out(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Iterable:
    """`dataset`, of each batch a part for every replica.

    A single CPU takes it as it is: nothing is to be divided or copied to a device, and TensorFlow's distributed
    iterator would have a tuner to wait for at its end (`untuned`) whatever the dataset's options say.
    """
    if strategy.num_replicas_in_sync == 1 and not tf.config.list_logical_devices("GPU"):
        return dataset
    return strategy.experimental_distribute_dataset(dataset)
