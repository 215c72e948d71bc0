"""From a loss to an optimizer's step: L2, loss scaling and replicas, which are not the optimizer's business."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from elegant_tf.model.keras_versions import as_keras_3, tf_variable

FIRST_LOSS_SCALE = 2.0**15
LOSS_SCALE_GROWTH_UPDATES = 2000


class GradientStep:
    """Moves some variables down the gradient of a loss with any Keras optimizer.

    Make it inside the strategy's scope; call it in replica context. Losses are means over a replica's examples; the
    gradients of all replicas are averaged.

    With loss scaling, for float16, an update in which any replica's gradients are not finite is skipped on all of them
    and halves the scale. (Keras' LossScaleOptimizer looks at the first replica alone.)

    Args:
        variables: what to train.
        optimizer: a new one; it is built here.
        l2: factor of L2 regularization: added to the gradient, not decoupled.
        loss_scaling: whether to scale losses dynamically.
        replicas: how many replicas share a batch.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        optimizer: keras.optimizers.Optimizer,
        l2: float = 0.0,
        loss_scaling: bool = False,
        replicas: int = 1,
    ) -> None:
        self.optimizer = as_keras_3(optimizer)
        self.optimizer.build(list(variables))
        self.variables = [tf_variable(variable) for variable in variables]
        self._keras_variables = list(variables)
        self._l2 = l2
        self._replicas = replicas
        self.scale = tf.Variable(FIRST_LOSS_SCALE, trainable=False) if loss_scaling else None
        self.good_updates = tf.Variable(0, trainable=False, dtype=tf.int64) if loss_scaling else None

    @property
    def state(self) -> list[tf.Variable]:
        """What a checkpoint must hold: the optimizer's variables, and the loss scale if there is one."""
        scaling = [self.scale, self.good_updates] if self.scale is not None else []
        return [*map(tf_variable, self.optimizer.variables), *scaling]

    def __call__(self, tape: tf.GradientTape, loss: tf.Tensor) -> None:
        """Differentiates the loss, which the tape has recorded, and updates the variables."""
        self.apply(tape.gradient(loss, self.variables, output_gradients=self.share(loss)))

    def share(self, loss: tf.Tensor, parts: int = 1) -> tf.Tensor:
        """By how much a loss counts: gradients multiplied by it may be added up over replicas and parts, see `apply`.

        Args:
            loss: a mean over one part of a replica's examples, a scalar.
            parts: of equal size, how many the replica's examples have.
        """
        # Keras adds the replicas' gradients up: each gives its share of their mean.
        if self.scale is None:
            return tf.fill(loss.shape, tf.constant(1.0 / (self._replicas * parts), loss.dtype))
        return tf.cast(self.scale, loss.dtype) / (self._replicas * parts)

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Updates the variables; `gradients`: one a variable, with `share` as the slope of the loss."""
        if self.scale is None:
            self.optimizer.apply(self._with_l2(gradients), self._keras_variables)
        else:
            self._apply_if_finite([gradient / tf.cast(self.scale, gradient.dtype) for gradient in gradients])

    def _with_l2(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        if not self._l2:
            return list(gradients)
        factor = self._l2 / self._replicas
        return [g + factor * v for g, v in zip(gradients, self.variables, strict=True)]

    def _apply_if_finite(self, gradients: Sequence[tf.Tensor]) -> None:
        context = tf.distribute.get_replica_context()
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        bad = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.float32))
        # Keras' apply leaves the replica context, which it must not do inside tf.cond: the condition goes outside.
        context.merge_call(self._apply_on_all, args=(tf.equal(bad, 0.0), self._with_l2(gradients)))
        _adapt(self.scale, self.good_updates, tf.equal(bad, 0.0))

    def _apply_on_all(self, strategy: tf.distribute.Strategy, good: tf.Tensor, gradients: Sequence[tf.Tensor]) -> None:
        def apply() -> None:
            strategy.extended.call_for_each_replica(self.optimizer.apply, args=(gradients, self._keras_variables))

        tf.cond(strategy.experimental_local_results(good)[0], apply, lambda: None)


def _adapt(scale: tf.Variable, good_updates: tf.Variable, good: tf.Tensor) -> None:
    """Doubles the scale after many good updates in a row, and halves it after a bad one."""
    grown = tf.where(good_updates + 1 >= LOSS_SCALE_GROWTH_UPDATES, scale * 2.0, scale)
    scale.assign(tf.where(good, grown, tf.maximum(scale / 2.0, 1.0)))
    count = (good_updates + 1) % LOSS_SCALE_GROWTH_UPDATES
    good_updates.assign(tf.where(good, count, tf.zeros_like(count)))
