"""Adam with L2, as one fused kernel a variable."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

EPSILON = 1e-8
FIRST_LOSS_SCALE = 2.0**15
LOSS_SCALE_GROWTH_UPDATES = 2000


class Adam(tf.Module):
    """Adam whose weight decay is L2: added to the gradient, not decoupled.

    The update is PyTorch 0.3's (and Keras', with epsilon 1e-8):
    `variable -= rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + 1e-8)`.
    Keras' own Adam makes a dozen passes over every variable; `ResourceApplyAdam` makes one.

    Make it inside the strategy's scope; call `apply` in replica context. With `loss_scaling`, losses are
    multiplied by `scale` before differentiation, and an update whose reduced gradients are not finite is
    skipped on every replica alike (Keras' LossScaleOptimizer looks at the first replica only).

    Args:
        variables: what to train, each `tf.Variable`.
        beta1, beta2: decays of the moments.
        weight_decay: factor of L2.
        loss_scaling: whether to scale losses dynamically, for float16.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        beta1: float,
        beta2: float,
        weight_decay: float,
        loss_scaling: bool = False,
    ) -> None:
        super().__init__(name="adam")
        self._trained = tuple(variables)
        self._betas = (beta1, beta2)
        self._weight_decay = weight_decay
        self._loss_scaling = loss_scaling
        dtype = self._trained[0].dtype
        self.means = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._trained]
        self.squares = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._trained]
        self.beta_powers = [tf.Variable(tf.constant(b, dtype), trainable=False) for b in self._betas]
        if loss_scaling:
            self.scale = tf.Variable(FIRST_LOSS_SCALE, trainable=False)
            self.good_updates = tf.Variable(0, trainable=False, dtype=tf.int64)

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """The loss to differentiate."""
        return loss * self.scale if self._loss_scaling else loss

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        """Adds the replicas' gradients up and updates the variables, at learning rate `rate` (a scalar)."""
        gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        if not self._loss_scaling:
            self._update(gradients, rate)
            return
        gradients = [gradient / self.scale for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        tf.cond(finite, lambda: self._update(gradients, rate), lambda: None)
        self._adapt_scale(finite)

    def _update(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        dtype = self._trained[0].dtype
        beta1, beta2 = (tf.constant(beta, dtype) for beta in self._betas)
        power1, power2 = (power.read_value() for power in self.beta_powers)
        for variable, mean, square, gradient in zip(self._trained, self.means, self.squares, gradients, strict=True):
            if self._weight_decay:
                gradient = gradient + self._weight_decay * variable
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=power1,
                beta2_power=power2,
                lr=tf.cast(rate, dtype),
                beta1=beta1,
                beta2=beta2,
                epsilon=tf.constant(EPSILON, dtype),
                grad=gradient,
            )
        self.beta_powers[0].assign(power1 * beta1)
        self.beta_powers[1].assign(power2 * beta2)

    def _adapt_scale(self, finite: tf.Tensor) -> None:
        grown = tf.where(self.good_updates + 1 >= LOSS_SCALE_GROWTH_UPDATES, self.scale * 2.0, self.scale)
        self.scale.assign(tf.where(finite, grown, tf.maximum(self.scale / 2.0, 1.0)))
        good = (self.good_updates + 1) % LOSS_SCALE_GROWTH_UPDATES
        self.good_updates.assign(tf.where(finite, good, tf.zeros_like(good)))
