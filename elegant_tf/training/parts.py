"""A batch in parts, computed one after another: the sums of the whole, in the memory of one part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from elegant_tf.losses.cycle import places_of_next_alike
from elegant_tf.losses.replicas import gathered
from elegant_tf.model.elegant import Elegant


def in_parts(values: tf.Tensor, count: int) -> tf.Tensor:
    """`[N, ...]` as `[count, N / count, ...]`."""
    rows = values.shape[0]
    return tf.reshape(values, [count, -1 if rows is None else rows // count, *values.shape[1:]])


def sum_over(count: int, zeros: Any, compute: Callable[[tf.Tensor], Any]) -> Any:
    """The sum of what `compute` returns for 0 to `count - 1`, in order and never two at once.

    `zeros`: the structure of tensors that it returns, of the same shapes and dtypes, filled with zeros.
    """

    def add(index: tf.Tensor, sums: Any) -> tuple[tf.Tensor, Any]:
        return index + 1, tf.nest.map_structure(tf.add, sums, compute(index))

    loop = tf.while_loop(lambda index, _: index < count, add, (tf.constant(0), zeros), parallel_iterations=1)
    return loop[1]


class SharedCodes:
    """The codes of a whole batch, for losses of a part that need those of examples in other parts.

    All codes are known before the first part is computed. What flows back to them is added up over parts and replicas
    and goes on into the encoder at the end, part by part (as in Gao et al., Scaling Deep Contrastive Learning Batch
    Size under Memory Limited Setup, 2021): the gradients are those of the whole batch.

    Args:
        generator: what encodes.
        images: this replica's, A's before B's in each part: `[P, 2N, S, S, 3]`.
        attribute: this replica's, int `[P N]`.

    Attributes:
        everyones: the codes of all R replicas' examples, to be watched by a part's tape: `[R P N, 2, h, w, C]`.
    """

    def __init__(self, generator: Elegant, images: tf.Tensor, attribute: tf.Tensor) -> None:
        self._generator, self._images = generator, images
        parts = images.shape[0]
        self._places = in_parts(places_of_next_alike(attribute), parts)
        self._codes = tf.map_fn(
            lambda mine: generator.encode(mine, training=True)[0],
            images,
            fn_output_signature=tf.as_dtype(generator.compute_dtype),
            parallel_iterations=1,
        )
        with tf.GradientTape(watch_accessed_variables=False) as self._tape:
            self._tape.watch(self._codes)
            _, pairs, *shape = self._codes.shape
            by_example = tf.reshape(self._codes, [parts, 2, -1 if pairs is None else pairs // 2, *shape])
            by_example = tf.transpose(by_example, [0, 2, 1, 3, 4, 5])
            self.everyones = gathered(tf.reshape(by_example, [-1, 2, *shape]))

    def partners(self, index: tf.Tensor) -> tf.Tensor:
        """The codes of a part's partners, see `cycle.of_next_alike`, those of A's before those of B's."""
        pairs = tf.gather(self.everyones, self._places[index])
        return tf.concat(tf.unstack(pairs, axis=1), axis=0)

    def gradients(self, slopes: tf.Tensor, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """From the slopes of `everyones`, added up over the parts, to the gradients of variables."""
        of_codes = self._tape.gradient(self.everyones, self._codes, output_gradients=slopes)

        def of_part(index: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                codes, _ = self._generator.encode(self._images[index], training=True)
            return tape.gradient(
                codes,
                variables,
                output_gradients=of_codes[index],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        return sum_over(self._images.shape[0], [tf.zeros_like(variable) for variable in variables], of_part)
