"""Adam with L2, as one fused kernel a variable, and Muon, which makes the momentum of kernels orthogonal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from elegant_tf.layers import is_hidden

EPSILON = 1e-8
FIRST_LOSS_SCALE = 2.0**15
LOSS_SCALE_GROWTH_UPDATES = 2000

# Of Muon: the published momentum; the size of an entry's step in units of the rate, which makes Adam's rates do.
MOMENTUM = 0.95
STEP_SIZE = 0.2
# `x -> a x + b x^3 + c x^5`, five times over, brings what was between 0.002 and 1 to between 0.68 and 1.21.
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5
# A matrix is made orthogonal in pieces this wide if it divides into such: the cost grows with the square of the width,
# and pieces do as well.
PIECE_COLUMNS = range(80, 161)


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


class Muon(Adam):
    """Muon for the kernels between hidden layers, which learn more from each update, and Adam for all else.

    The momentum of a kernel, as the matrix `[9 * inputs, outputs]` that it is, is brought near the orthogonal matrix
    nearest to it, and so moves all directions by the same step, not those alone that gradients agree about:
    `variable -= rate * 0.2 * sqrt(max(rows, columns)) * orthogonal(g + 0.95 * (m - g))`. Keller Jordan, Muon: An
    optimizer for hidden layers in neural networks, 2024; the factor is Liu et al.'s, Muon is Scalable for LLM Training,
    2025. Keras' own takes matrices only, not the kernels of convolutions.

    Args: as Adam's, which it is for the rest; `weight_decay` is L2 for both.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        beta1: float,
        beta2: float,
        weight_decay: float,
        loss_scaling: bool = False,
    ) -> None:
        self._hidden = [is_hidden(variable.shape) for variable in variables]
        super().__init__(_where(variables, self._hidden, False), beta1, beta2, weight_decay, loss_scaling)
        self._kernels = tuple(_where(variables, self._hidden, True))
        self.momenta = [tf.Variable(tf.zeros_like(kernel), trainable=False) for kernel in self._kernels]

    def _update(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        super()._update(_where(gradients, self._hidden, False), rate)
        for kernel, momentum, gradient in zip(
            self._kernels, self.momenta, _where(gradients, self._hidden, True), strict=True
        ):
            if self._weight_decay:
                gradient = gradient + self._weight_decay * kernel
            momentum.assign_add((1.0 - MOMENTUM) * (gradient - momentum))
            kernel.assign_sub(tf.cast(rate, kernel.dtype) * _step(gradient + MOMENTUM * (momentum - gradient)))


def _where(values: Sequence, hidden: Sequence[bool], wanted: bool) -> list:
    return [value for value, found in zip(values, hidden, strict=True) if found == wanted]


def _step(kernel: tf.Tensor) -> tf.Tensor:
    """The step of a kernel `[h, w, a, b]` at rate 1, from its momentum; of many columns some at a time."""
    rows, columns = math.prod(kernel.shape[:3]), kernel.shape[3]
    pieces = next((columns // width for width in reversed(PIECE_COLUMNS) if columns % width == 0), 1)
    matrices = tf.transpose(tf.reshape(kernel, [rows, pieces, columns // pieces]), [1, 0, 2])
    steps = STEP_SIZE * max(rows, columns // pieces) ** 0.5 * orthogonal(matrices)
    return tf.reshape(tf.transpose(steps, [1, 0, 2]), kernel.shape)


def orthogonal(matrices: tf.Tensor) -> tf.Tensor:
    """`[..., m, n]` with their singular values brought near 1, to 0.68 ... 1.21; only what is next to nothing stays so.

    Newton and Schulz' iteration `X <- p(X X') X` on the smaller side's Gram matrix: all of `p` are polynomials of the
    first, and commute, so that `X` itself is multiplied once, at the end.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    norm = tf.norm(matrices, axis=[-2, -1], keepdims=True)
    x = matrices / tf.maximum(norm, tf.constant(1e-20, matrices.dtype))
    gram = tf.matmul(x, x, transpose_a=tall, transpose_b=not tall)
    identity, product = tf.eye(gram.shape[-1], dtype=x.dtype), None
    for a, b, c in NEWTON_SCHULZ:
        factor = a * identity + b * gram + c * tf.matmul(gram, gram)
        product = factor if product is None else tf.matmul(factor, product)
        gram = tf.matmul(tf.matmul(factor, factor), gram)
    return tf.matmul(x, product) if tall else tf.matmul(product, x)
