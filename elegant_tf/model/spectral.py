"""Spectral normalization: layers whose kernels are divided by their largest singular value.

Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018. A kernel is the matrix
`W [fan in, filters]`, a convolution's too. `direction` is a unit vector u `[filters]` that power iteration turns
towards the right singular vector of the largest singular value, which so is `||W u||`. Its slope with respect to W is
`v u'`, v the unit vector of `W u`, as published.

u is state: `iterate` moves it, once an update, and calls only read it. It is a function of the weights and of its
former value alone, so that replicas with the same weights have the same u.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from elegant_tf.model.cpu_kernels import SQUARED_NORM_FLOOR, CpuTraining, can_downsample, downsample, unit
from elegant_tf.model.keras_versions import NOT_CAST
from elegant_tf.model.layers import DATA_FORMAT, KERNEL_STDDEV

STEPS = 10
"""Of power iteration in an update. The authors take one. Muon moves kernels faster: in 40 updates of small
discriminators, singular values were underestimated by up to 40 % with one step, and by up to 20 % with ten."""


class Spectral(keras.layers.Layer):
    """A kernel, which is divided by its largest singular value, and a bias, which is not.

    Args:
        shape: of the kernel, its filters last.
        bias: initial values of the bias.
    """

    def __init__(self, shape: Sequence[int], bias: keras.initializers.Initializer | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        filters = shape[-1]
        weights = keras.initializers.RandomNormal(0.0, KERNEL_STDDEV)
        start = keras.initializers.Constant(filters**-0.5)
        # Not cast to float16 before the norm is known.
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=weights, **NOT_CAST)
        self.bias = self.add_weight(name="bias", shape=(filters,), initializer=bias, **NOT_CAST)
        self.direction = self.add_weight(
            name="direction", shape=(filters,), initializer=start, trainable=False, **NOT_CAST
        )
        self.built = True

    def iterate(self) -> None:
        """Moves the direction by `STEPS` steps of power iteration."""
        matrix, direction = self._matrix(), tf.convert_to_tensor(self.direction)
        for _ in range(STEPS):
            image = unit(tf.linalg.matvec(matrix, direction))
            direction = unit(tf.linalg.matvec(matrix, image, transpose_a=True))
        self.direction.assign(direction)

    def normalized_kernel(self) -> tf.Tensor:
        """The kernel divided by `||W u||`, in the variables' dtype."""
        image = tf.linalg.matvec(self._matrix(), tf.convert_to_tensor(self.direction))
        return self.kernel * tf.math.rsqrt(tf.maximum(tf.reduce_sum(tf.square(image)), SQUARED_NORM_FLOOR))

    def _matrix(self) -> tf.Tensor:
        return tf.reshape(self.kernel, [-1, self.kernel.shape[-1]])


@keras.saving.register_keras_serializable(package="elegant_tf")
class SpectralDownsample(Spectral):
    """`layers.Downsample` with spectral normalization: `[N, H, W, C]` to `[N, H/2, W/2, filters]`.

    Args:
        channels: C of the inputs.
        filters: channels of the results.
    """

    def __init__(self, channels: int, filters: int, **kwargs: Any) -> None:
        bound = (9 * channels) ** -0.5
        super().__init__((3, 3, channels, filters), keras.initializers.RandomUniform(-bound, bound), **kwargs)
        self.channels, self.filters = channels, filters
        self._on_cpu = isinstance(self.dtype_policy, CpuTraining)
        self.padding = keras.layers.ZeroPadding2D(1, DATA_FORMAT, dtype=self.dtype_policy)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "filters": self.filters}

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        kernel = self.normalized_kernel()
        if training and self._on_cpu and can_downsample(inputs):
            return downsample(inputs, kernel, self.bias, self.dtype_policy)
        result = tf.nn.conv2d(self.padding(inputs), tf.cast(kernel, self.compute_dtype), 2, "VALID")
        return result + tf.cast(self.bias, self.compute_dtype)


@keras.saving.register_keras_serializable(package="elegant_tf")
class SpectralDense(Spectral):
    """A dense layer with spectral normalization: `[N, C]` to `[N, units]`.

    Args:
        channels: C of the inputs.
        units: channels of the results.
    """

    def __init__(self, channels: int, units: int, **kwargs: Any) -> None:
        super().__init__((channels, units), "zeros", **kwargs)
        self.channels, self.units = channels, units

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "units": self.units}

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel, bias = (tf.cast(value, self.compute_dtype) for value in (self.normalized_kernel(), self.bias))
        return tf.matmul(inputs, kernel) + bias
