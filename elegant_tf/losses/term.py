"""What a loss is: a small callable with a name and a weight that never sees an optimizer or a flag."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import tensorflow as tf

from elegant_tf.losses.replicas import WHOLE, Part, uniform
from elegant_tf.model.elegant import Elegant

Batch: TypeAlias = Mapping[str, tf.Tensor]
"""`a`, `b`: images `[N, S, S, 3]` in [-1, 1]; `y_a`, `y_b`: labels `[N, n]` in {0, 1}; `attribute`: int `[N]`, the
index that each example trains: A has it and B lacks it."""

Weight: TypeAlias = float | Callable[[tf.Tensor], tf.Tensor]
"""A number, or a function of the number of updates so far."""


class Step(NamedTuple):
    """When a term is called: `updates`, int64, before this one; `seed`, int64 `[2]`, for the term's random numbers.

    The seed differs between updates and terms, not between replicas and parts of a batch, see `uniform`; `part`: which
    part of the replica's batch the term is given.
    """

    updates: tf.Tensor
    seed: tf.Tensor
    part: Part = WHOLE

    def uniform(self, shape: Sequence[int | tf.Tensor], dtype: tf.DType = tf.float32) -> tf.Tensor:
        """Random numbers in [0, 1) of this shape `[N, ...]`, the same however the batch is divided."""
        return uniform(shape, self.seed, dtype, self.part)


class Encoded(NamedTuple):
    """Images `[M, S, S, 3]` with their codes and skips."""

    images: tf.Tensor
    codes: tf.Tensor
    skips: Sequence[tf.Tensor]


@dataclass
class Generated:
    """What the generator makes of a batch. A and B are joined on the first axis, `[2N, ...]`.

    `images`: A and B; `labels`: Y_A and Y_B; `codes` and `skips`: of A and B; `exchanged`: `[2N, n]` in {0, 1}, the
    attributes that A and B exchange; `reconstructed`: A1 and B1; `edited`: C, which is A with the attributes taken
    from B, and D, which is B with them taken from A; `edited_labels`: Y_C and Y_D; `residuals`: of C and D; `masks`: of
    C and D, if the decoder has one; `partners`: codes of each example's next one of the same attribute, where they are
    known beforehand, see `cycle.of_next_alike`.
    """

    images: tf.Tensor
    labels: tf.Tensor
    codes: tf.Tensor
    skips: Sequence[tf.Tensor]
    exchanged: tf.Tensor
    reconstructed: tf.Tensor
    edited: tf.Tensor
    edited_labels: tf.Tensor
    residuals: tf.Tensor
    masks: tf.Tensor | None = None
    partners: tf.Tensor | None = None
    _again: Encoded | None = field(default=None, init=False, repr=False)
    _carried: tf.Tensor | None = field(default=None, init=False, repr=False)

    def encode_again(self, generator: Elegant) -> Encoded:
        """C and D as inputs: no gradient flows back into the edit that made them.

        So nothing is gained by hiding the original in an edited image. Encoded once, however many terms ask.
        """
        if self._again is None:
            self._again = encode(generator, tf.stop_gradient(self.edited))
        return self._again

    def encode_carriers(self, generator: Elegant) -> tf.Tensor:
        """Codes `[N, h, w, C]` of D, which carries A's attributes; gradients flow into D. Encoded once."""
        if self._carried is None:
            self._carried, _ = generator.encode(halves(self.edited)[1], training=True)
        return self._carried


class Term(Protocol):
    """A loss, or a summand of one."""

    name: str
    weight: Weight

    def __call__(self, generator: Elegant, batch: Batch, generated: Generated, step: Step) -> tf.Tensor:
        """The unweighted loss, a scalar: a mean over the batch's examples."""
        ...


def weight_at(term: Term, updates: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The term's weight after so many updates, a scalar."""
    return tf.cast(term.weight(updates) if callable(term.weight) else term.weight, dtype)


def encode(generator: Elegant, images: tf.Tensor) -> Encoded:
    """Images as the generator sees them in training."""
    return Encoded(images, *generator.encode(images, training=True))


def halves(pairs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`[2N, ...]`, of A and B (or C and D) joined, as two of `[N, ...]`."""
    first, second = tf.split(pairs, 2)
    return first, second
