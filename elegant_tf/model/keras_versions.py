"""What differs between Keras 2 and Keras 3. No other module asks which one is there.

The package is written with Keras 3's names, or where it can with those that both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf

from elegant_tf.errors import UserError

KERAS_2 = keras.__version__.startswith("2.")

# For `add_weight`: computing in another dtype does not cast the weight.
NOT_CAST = {"experimental_autocast" if KERAS_2 else "autocast": False}


def tf_variable(variable: Any) -> tf.Variable:
    """The TensorFlow variable in one of Keras' variables, which Keras 2 does not have."""
    return variable if KERAS_2 else variable.value


def with_values(pairs: Iterator[tuple[Any, tf.Tensor]]) -> AbstractContextManager[Any]:
    """Inside, variables have these values, for all that layers compute. Raises UserError with Keras 2."""
    if KERAS_2:
        raise UserError("--recompute: needs Keras 3, which comes with TensorFlow 2.16 and newer; leave it out")
    return keras.StatelessScope(pairs)


def check_optimizer(optimizer: Any, argument: str) -> None:
    """Raises UserError, naming the argument that it was passed as, unless the optimizer is one of this Keras."""
    kinds = (keras.optimizers.Optimizer, *([keras.optimizers.legacy.Optimizer] if KERAS_2 else []))
    if not isinstance(optimizer, kinds):
        _refuse(optimizer, "optimizer", argument)


def check_layer(layer: Any, argument: str) -> None:
    """Raises UserError, naming the argument that it was passed as, unless the layer is one of this Keras."""
    if not isinstance(layer, keras.layers.Layer):
        _refuse(layer, "layer", argument)


def _refuse(made: Any, kind: str, argument: str) -> None:
    raise UserError(
        f"{argument}: {type(made).__module__}.{type(made).__name__} is no {kind} of Keras {keras.__version__}, which "
        "is installed. tensorflow-addons needs an environment of its own, of Python 3.10 or 3.11: pip install "
        "'elegant-tf[addons]', which installs TensorFlow 2.15"
    )


class _Keras2Optimizer:
    """An optimizer of Keras 2, `original`, new or old as tensorflow-addons' are, with the methods of Keras 3's."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self._is_old = isinstance(original, keras.optimizers.legacy.Optimizer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def build(self, variables: Sequence[tf.Variable]) -> None:
        # Private: an old optimizer has no other way to make its variables before the first step.
        (self.original._create_all_weights if self._is_old else self.original.build)(variables)

    def apply(self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> None:
        self.original.apply_gradients(zip(gradients, variables, strict=True))

    @property
    def variables(self) -> list[tf.Variable]:
        # An old optimizer around another one has both optimizers' variables as its weights only.
        return list(self.original.weights if self._is_old else self.original.variables)


def as_keras_3(optimizer: Any) -> Any:
    """The optimizer with Keras 3's `build`, `apply` and `variables`; with Keras 2 it is the result's `original`."""
    return _Keras2Optimizer(optimizer) if KERAS_2 else optimizer


def state_name(optimizer: Any) -> str:
    """What checkpoints call the state of `as_keras_3`'s result: but for our own, each Keras has an order of its own."""
    alike = not KERAS_2 or isinstance(optimizer.original, OptimizerBase)
    return "optimizer_state" if alike else "optimizer_state_of_keras_2"


class _Keras2OptimizerBase(keras.optimizers.Optimizer):
    """Keras 3's way to write an optimizer, on Keras 2, whose own way uses private names."""

    def __init__(self, learning_rate: Any, name: str = "optimizer", **kwargs: Any) -> None:
        super().__init__(name=name, **{"weight_decay": None, "jit_compile": False, **kwargs})
        self._learning_rate = self._build_learning_rate(learning_rate)
        if isinstance(self._learning_rate, tf.Variable):
            self._variables.append(self._learning_rate)  # as Keras 3 has it
        self.built = False

    def build(self, variables: Sequence[tf.Variable]) -> None:
        super().build(variables)
        self.built = True

    def add_variable_from_reference(self, reference: tf.Variable, name: str) -> tf.Variable:
        return super().add_variable_from_reference(reference, name)

    def _get_variable_index(self, variable: tf.Variable) -> int:
        return self._index_dict[self._var_key(variable)]

    def _update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        self.update_step(gradient, variable, self.learning_rate)

    def assign_add(self, variable: tf.Variable, value: tf.Tensor) -> None:
        variable.assign_add(value)

    def assign_sub(self, variable: tf.Variable, value: tf.Tensor) -> None:
        variable.assign_sub(value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "learning_rate": self._serialize_hyperparameter(self._learning_rate)}


OptimizerBase: Any = _Keras2OptimizerBase if KERAS_2 else keras.optimizers.Optimizer
"""What to derive optimizers from, with the methods of Keras 3's."""
