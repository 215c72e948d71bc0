"""Which devices train, on this machine or on several, and how they share a batch."""

from __future__ import annotations

import signal
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from absl import logging

from elegant_tf.config import RunConfig
from elegant_tf.errors import UserError
from elegant_tf.files import reason
from elegant_tf.training.cluster import find_cluster
from elegant_tf.training.parts import in_parts

WAIT_SECONDS = 600

# What TensorFlow raises in the workers that are left when one is gone.
GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def make_strategy(run: RunConfig, batch_size: int) -> tf.distribute.Strategy:
    """The strategy that `--strategy` names.

    Where one machine trains, it takes every GPU, or every CPU device if there is none. With several, TensorFlow must
    not have run anything before, and the call returns when all workers have made theirs.

    Raises:
        UserError: the replicas cannot share a batch evenly, the workers or the TPU are not described or cannot be
            reached.
    """
    makers = {"one_device": _one_device, "multi_worker": _multi_worker, "tpu": _tpu}
    strategy = makers.get(run.strategy, _mirrored)(run)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        cure = "; or choose --strategy=one_device" if run.strategy in ("auto", "mirrored") else ""
        raise UserError(f"--batch_size={batch_size}: must be a multiple of the {replicas} devices that share it{cure}")
    return strategy


def _devices() -> list[str]:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def _one_device(run: RunConfig) -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy(_devices()[0])


def _mirrored(run: RunConfig) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(_devices())


def _multi_worker(run: RunConfig) -> tf.distribute.Strategy:
    cluster = find_cluster(run.cluster, run.workers, run.port)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.task,
        rpc_layer="grpc",
    )
    mine = f"worker {cluster.task} of {', '.join(cluster.workers)}"
    logging.warning("%s waits for the others; SIGALRM ends it after %d seconds", mine, WAIT_SECONDS)
    try:
        with _alarm(WAIT_SECONDS):
            return tf.distribute.MultiWorkerMirroredStrategy(resolver, _communication())
    except (RuntimeError, *GONE) as error:
        raise UserError(f"--strategy=multi_worker: {mine} cannot reach the others: {reason(error)}") from error


def _communication() -> tf.distribute.experimental.CommunicationOptions:
    """NCCL among GPUs, which TensorFlow uses between machines on request only."""
    kinds = tf.distribute.experimental.CommunicationImplementation
    gpus = tf.config.list_physical_devices("GPU")
    return tf.distribute.experimental.CommunicationOptions(implementation=kinds.NCCL if gpus else kinds.AUTO)


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    """SIGALRM ends the process if the block takes longer.

    TensorFlow waits for workers for hours and holds Python's lock meanwhile, so that no handler and no thread runs.
    """
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _tpu(run: RunConfig) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=run.tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UserError(f"--tpu={run.tpu}: cannot be used: {reason(error)}") from error


class Workers:
    """The processes that train together under a strategy; most often this one alone.

    Attributes:
        count: how many there are.
        index: which of them this is, 0 being the chief, which alone writes to the run directory.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        resolver = strategy.cluster_resolver
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.count = len(resolver.cluster_spec().job_tasks("worker")) if several else 1
        self.index = resolver.task_id if several else 0

    @property
    def is_chief(self) -> bool:
        """Whether this process writes to the run directory."""
        return self.index == 0

    def gather(self, value: int) -> list[int]:
        """Every worker's value, in their order; waits for all of them.

        Raises:
            UserError: a worker is gone.
        """
        if self.count == 1:
            return [value]
        replicas = self._strategy.num_replicas_in_sync // self.count

        def among_zeros(context: Any) -> tf.Tensor:
            worker, replica = divmod(context.replica_id_in_sync_group, replicas)
            return tf.constant(value, tf.int64) * tf.one_hot(worker, self.count, dtype=tf.int64) * int(replica == 0)

        with self.together():
            mine = self._strategy.experimental_distribute_values_from_function(among_zeros)
            return self._strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None).numpy().tolist()

    def check_alike(self, what: str, content: bytes) -> None:
        """Raises UserError unless all workers have the same content, or if one is gone."""
        sums = self.gather(zlib.crc32(content))
        if others := [index for index, value in enumerate(sums) if value != sums[0]]:
            raise UserError(
                f"{what} of worker {others[0]} differ from those of worker 0, the chief; they must be the same"
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which workers wait for each other. Raises UserError if one of several is gone."""
        try:
            yield
        except GONE as error:
            if self.count == 1:
                raise
            why = reason(error).rstrip(".:")
            raise UserError(
                f"worker {self.index} of {self.count} has lost contact with another: {why}. Start all workers again "
                "with the same commands"
            ) from error


def distribute(read: Callable[[int, int], tf.data.Dataset], strategy: tf.distribute.Strategy) -> Iterable[Any]:
    """Batches with a part for every replica.

    A process with a single CPU takes the dataset as it is: nothing is to be divided or copied to a device, and
    TensorFlow's distributed iterator would wait for a tuner when dropped (`untuned`), whatever the dataset's options
    say.

    Args:
        read: the dataset that one of several workers reads, `read(worker, workers)`: its part of each batch.
        strategy: the replicas.
    """
    workers = Workers(strategy)
    replicas = strategy.num_replicas_in_sync // workers.count
    if (
        replicas == 1
        and not tf.config.list_logical_devices("GPU")
        and not isinstance(strategy, tf.distribute.TPUStrategy)
    ):
        return read(workers.index, workers.count)

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = read(context.input_pipeline_id, context.num_input_pipelines)
        return _in_parts(dataset, context.num_replicas_in_sync // context.num_input_pipelines)

    return strategy.distribute_datasets_from_function(of_worker)


def _in_parts(dataset: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Each batch as `count` elements, for the replicas in their order."""
    if count == 1:
        return dataset
    return dataset.map(lambda batch: {name: in_parts(value, count) for name, value in batch.items()}).unbatch()
