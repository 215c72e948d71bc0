"""Blocks whose activations are computed again for their gradients, instead of kept: less memory, more time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from elegant_tf.model.keras_versions import with_values


def recomputed(
    block: Callable[..., tf.Tensor],
    layers: Sequence[keras.layers.Layer],
    inputs: Sequence[tf.Tensor],
) -> tf.Tensor:
    """`block(*inputs)`, of which inputs and result alone are kept until gradients are computed; differentiable twice.

    Not `tf.recompute_grad`: it cannot be differentiated twice, as penalties of gradients need it, and in a graph
    nothing keeps the second computation from running at once, beside the first. XLA merges the two in any case.

    Args:
        block: a function of tensors alone but for the layers' weights.
        layers: what it calls.
        inputs: tensors.
    """
    weights = [weight for layer in layers for weight in layer.variables]
    count = len(inputs)

    def compute(*tensors: tf.Tensor) -> tf.Tensor:
        # The weights as tensors: a custom gradient cannot see replicated variables.
        with with_values(zip(weights, tensors[count:], strict=True)):
            return block(*tensors[:count])

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradients(slopes: tf.Tensor) -> list[tf.Tensor]:
            # Not before the slopes are known: else all would be computed again at once, and kept.
            with tf.control_dependencies([slopes]):
                again = [tf.identity(tensor) for tensor in tensors]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(again)
                result = compute(*again)
            return tape.gradient(result, again, output_gradients=slopes)

        return compute(*tensors), gradients

    return run(*inputs, *(tf.convert_to_tensor(weight) for weight in weights))
