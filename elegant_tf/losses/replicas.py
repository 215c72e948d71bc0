"""What replicas that share a batch learn of each other, so that they compute what one replica computes alone.

Outside a strategy, and with one replica, nothing is exchanged. A replica may compute its share in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Part:
    """The part `index` of the `count` parts that a replica computes one after another; by default all at once."""

    index: int | tf.Tensor = 0
    count: int = 1


WHOLE = Part()


def gathered(values: tf.Tensor) -> tf.Tensor:
    """Every replica's `[N, ...]`, joined in their order: `[R N, ...]`. Gradients flow back to all of them.

    A sum of each one's values among zeros: TPUs and eager execution have no gradient of `all_gather`.
    """
    context = _context()
    if not context:
        return values
    replicas = context.num_replicas_in_sync
    mine = tf.equal(tf.range(replicas), context.replica_id_in_sync_group)
    mine = tf.reshape(mine, [replicas, *[1] * len(values.shape)])
    among_zeros = tf.where(mine, values[None], tf.zeros([], values.dtype))
    joined = tf.reshape(among_zeros, tf.concat([[-1], tf.shape(values)[1:]], axis=0))
    return context.all_reduce(tf.distribute.ReduceOp.SUM, joined)


def own_rows(values: tf.Tensor, part: Part = WHOLE) -> tf.Tensor:
    """This replica's and part's `[N, ...]` of values of the whole batch, `[R P N, ...]` with R replicas of P parts."""
    place, places = _place(part)
    if places == 1:
        return values
    count = tf.shape(values)[0] // places
    return values[place * count :][:count]


def uniform(
    shape: Sequence[int | tf.Tensor], seed: tf.Tensor, dtype: tf.DType = tf.float32, part: Part = WHOLE
) -> tf.Tensor:
    """Uniform random numbers in [0, 1) of this shape `[N, ...]`: this part's rows of one draw for the whole batch.

    `seed`: int64 `[2]`, the same on all replicas and for all parts, as `Step.seed` is.
    """
    _, places = _place(part)
    return own_rows(tf.random.stateless_uniform([places * shape[0], *shape[1:]], seed, dtype=dtype), part)


def _place(part: Part) -> tuple[int | tf.Tensor, int]:
    """Which part of the whole batch this is, of how many."""
    context = _context()
    if not context:
        return part.index, part.count
    return context.replica_id_in_sync_group * part.count + part.index, context.num_replicas_in_sync * part.count


def _context() -> tf.distribute.ReplicaContext | None:
    """The replica's context if there are others."""
    context = tf.distribute.get_replica_context()
    return context if context and context.num_replicas_in_sync > 1 else None
