"""Optimizers and their schedule, all of them Keras'. Adam takes one fused kernel; Muon takes convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from elegant_tf.config import Config
from elegant_tf.model.cpu_kernels import is_hidden
from elegant_tf.model.keras_versions import OptimizerBase, tf_variable

EPSILON = 1e-8

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule

# Muon's published momentum, and the size of an entry's step in units of the rate, which makes Adam's rates suit it.
MOMENTUM = 0.95
STEP_SIZE = 0.2
# `x -> a x + b x^3 + c x^5`, applied five times, takes singular values from 0.002 ... 1 to 0.68 ... 1.21.
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5
# A matrix is orthogonalized in pieces of this width where it divides into such: the cost grows with the square of the
# width, and pieces learn as well.
PIECE_COLUMNS = range(80, 161)


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """A new optimizer as `--optimizer` and its options say; make and build it in the strategy's scope."""
    options = config.optimizer
    schedule = StepDecay(
        rate=options.learning_rate,
        decay=options.learning_rate_decay,
        decay_steps=options.learning_rate_decay_steps,
        cooldown=options.learning_rate_cooldown,
        steps=config.run.steps,
        updates_per_step=config.updates_per_step,
    )
    betas = {"beta_1": options.adam_beta1, "beta_2": options.adam_beta2}
    if options.kind == "adamw":
        return keras.optimizers.AdamW(schedule, weight_decay=options.weight_decay, epsilon=EPSILON, **betas)
    return {"adam": Adam, "muon": Muon}[options.kind](schedule, **betas)


def l2_of(config: Config) -> float:
    """The factor of L2 in the gradients. AdamW decays weights itself."""
    return 0.0 if config.optimizer.kind == "adamw" else config.optimizer.weight_decay


@keras.saving.register_keras_serializable(package="elegant_tf")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`rate * decay ** floor(step / decay_steps)`, steps counted from 0: the authors' schedule, in float64.

    With a cooldown, also times `min(1, (steps - step) / cooldown)`.

    Args:
        rate: the initial rate.
        decay: the factor after every `decay_steps` steps.
        decay_steps: 1 or more.
        cooldown: number of final steps over which the rate falls linearly to zero; 0: none.
        steps: the last step.
        updates_per_step: how many updates count as a step.
    """

    def __init__(
        self,
        rate: float,
        decay: float,
        decay_steps: int,
        cooldown: int = 0,
        steps: int = 0,
        updates_per_step: int = 1,
    ) -> None:
        self._arguments = {
            "rate": rate,
            "decay": decay,
            "decay_steps": decay_steps,
            "cooldown": cooldown,
            "steps": steps,
            "updates_per_step": updates_per_step,
        }
        self._rate, self._decay, self._decay_steps = rate, decay, decay_steps
        self._cooldown, self._steps, self._updates_per_step = cooldown, steps, updates_per_step

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate, float64, at an update, an integer counted from 0 (Keras calls it a step)."""
        step = tf.convert_to_tensor(step) // self._updates_per_step
        decays = tf.cast(step // self._decay_steps, tf.float64)
        rate = self._rate * tf.pow(tf.constant(self._decay, tf.float64), decays)
        if self._cooldown:
            rate *= tf.clip_by_value(tf.cast(self._steps - step, tf.float64) / self._cooldown, 0.0, 1.0)
        return rate

    def get_config(self) -> dict[str, Any]:
        return dict(self._arguments)


@keras.saving.register_keras_serializable(package="elegant_tf")
class Adam(OptimizerBase):
    """Adam in one fused kernel per variable, where Keras' own makes a dozen passes over memory.

    PyTorch 0.3's update, and Keras' with this epsilon:
    `variable -= rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + 1e-8)`.

    Args:
        learning_rate: a number or a schedule.
        beta_1, beta_2: decay rates of the moments.
    """

    def __init__(self, learning_rate: Rate = 2e-4, beta_1: float = 0.5, beta_2: float = 0.999, **kwargs: Any) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, variables: Sequence[tf.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.means, self.squares = (
            [self.add_variable_from_reference(variable, name=name) for variable in variables]
            for name in ("mean", "square")
        )

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        index = self._get_variable_index(variable)  # as Keras' own guide to custom optimizers has it
        self._adam_step(gradient, variable, learning_rate, self.means[index], self.squares[index])

    def _adam_step(
        self,
        gradient: tf.Tensor,
        variable: tf.Variable,
        learning_rate: tf.Tensor,
        mean: tf.Variable,
        square: tf.Variable,
    ) -> None:
        dtype = variable.dtype
        beta1, beta2 = (tf.constant(beta, dtype) for beta in (self.beta_1, self.beta_2))
        count = tf.cast(tf_variable(self.iterations) + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=tf_variable(mean).handle,
            v=tf_variable(square).handle,
            beta1_power=tf.pow(beta1, count),
            beta2_power=tf.pow(beta2, count),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta1,
            beta2=beta2,
            epsilon=tf.constant(EPSILON, dtype),
            grad=tf.cast(gradient, dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


@keras.saving.register_keras_serializable(package="elegant_tf")
class Muon(Adam):
    """Muon for the kernels between hidden layers, Adam for every other variable.

    The momentum of a kernel, as the matrix `[9 * inputs, outputs]`, is brought close to the nearest orthogonal matrix,
    so that the step moves all directions alike, and not only those on which gradients agree:
    `variable -= rate * 0.2 * sqrt(max(rows, columns)) * orthogonal(g + 0.95 * (m - g))`. Keller Jordan, Muon: An
    optimizer for hidden layers in neural networks, 2024; the factor is Liu et al.'s, Muon is Scalable for LLM
    Training, 2025. Keras' own Muon takes matrices, not the kernels of convolutions.

    Args: Adam's.
    """

    def build(self, variables: Sequence[tf.Variable]) -> None:
        if self.built:
            return
        OptimizerBase.build(self, variables)
        self.means: list[tf.Variable | None] = []
        self.squares: list[tf.Variable | None] = []
        self.momenta: list[tf.Variable | None] = []
        for variable in variables:
            hidden = is_hidden(variable.shape)
            for slots, name, used in (
                (self.means, "mean", not hidden),
                (self.squares, "square", not hidden),
                (self.momenta, "momentum", hidden),
            ):
                slots.append(self.add_variable_from_reference(variable, name=name) if used else None)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        momentum = self.momenta[self._get_variable_index(variable)]
        if momentum is None:
            super().update_step(gradient, variable, learning_rate)
            return
        gradient = tf.cast(gradient, variable.dtype)
        self.assign_add(momentum, (1.0 - MOMENTUM) * (gradient - tf_variable(momentum)))
        step = _muon_step(gradient + MOMENTUM * (tf_variable(momentum) - gradient))
        self.assign_sub(variable, tf.cast(learning_rate, variable.dtype) * step)


def _muon_step(kernel: tf.Tensor) -> tf.Tensor:
    """Muon's step of a kernel `[h, w, a, b]` at rate 1, from its momentum; a wide kernel is split by columns."""
    rows, columns = math.prod(kernel.shape[:3]), kernel.shape[3]
    pieces = next((columns // width for width in reversed(PIECE_COLUMNS) if columns % width == 0), 1)
    matrices = tf.transpose(tf.reshape(kernel, [rows, pieces, columns // pieces]), [1, 0, 2])
    steps = STEP_SIZE * max(rows, columns // pieces) ** 0.5 * orthogonal(matrices)
    return tf.reshape(tf.transpose(steps, [1, 0, 2]), kernel.shape)


def orthogonal(matrices: tf.Tensor) -> tf.Tensor:
    """Matrices `[..., m, n]` with their singular values brought close to 1, between 0.68 and 1.21; zero stays zero.

    The Newton-Schulz iteration `X <- p(X X') X`, on the Gram matrix of the smaller side: all its factors are
    polynomials of the first Gram matrix and commute, so `X` itself is multiplied once, at the end.
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
