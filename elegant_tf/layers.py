"""The layers that ELEGANT is made of: normalization and stride-2 convolutions with the authors' padding."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from elegant_tf.normalizing import normalized, unit
from elegant_tf.patches import overlap_add, patches

KERNEL_STDDEV = 0.02
# Kernels that see or make pictures or scores have fewer channels than this on one side.
LEAST_HIDDEN_CHANNELS = 12


@keras.saving.register_keras_serializable(package="elegant_tf")
class BfloatProducts(keras.DTypePolicy):
    """float32, but the factors of the matrix products by which a CPU trains hidden kernels are rounded to bfloat16.

    A processor that multiplies such numbers (AVX512-BF16) is quicker with them at products, and at nothing else.
    """

    product_dtype = "bfloat16"

    def __init__(self) -> None:
        super().__init__("float32")

    def get_config(self) -> dict:
        return {}


def training_policy(precision: str) -> keras.DTypePolicy:
    """Keras' policy of that name to train with; for `mixed_bfloat16` on a CPU, `BfloatProducts`."""
    if precision == "mixed_bfloat16" and not _has_gpu():
        return BfloatProducts()
    return keras.dtype_policies.get(precision)


def is_hidden(kernel_shape: Sequence[int]) -> bool:
    """Whether that is a convolution's kernel `[h, w, a, b]` between hidden layers."""
    return len(kernel_shape) == 4 and min(kernel_shape[2:]) >= LEAST_HIDDEN_CHANNELS


def _trains_on_cpu(inputs: tf.Tensor, training: bool) -> bool:
    """Whether to compute in the ways that are faster to train on a CPU; export, any size and GPUs want plain layers."""
    return bool(training) and None not in inputs.shape[1:] and not _has_gpu()


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


@keras.saving.register_keras_serializable(package="elegant_tf")
class Normalization(keras.layers.Layer):
    """`y = alpha * x / max(||x||, 1e-12) + beta`, the norm taken over channels, alpha and beta scalars.

    Chosen by the authors over batch normalization, whose moving statistics swing when batches show opposite
    attributes. Computes in float32 at least, whatever the policy; input and output `[N, H, W, C]` in the
    compute dtype.
    """

    def build(self, input_shape) -> None:
        self.alpha = self.add_weight(name="alpha", shape=(1,), initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=(1,), initializer="zeros", autocast=False)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.cast(inputs, self.variable_dtype)
        if _trains_on_cpu(x, training):
            y = normalized(x, tf.convert_to_tensor(self.alpha), tf.convert_to_tensor(self.beta))
        else:
            y = unit(x) * self.alpha + self.beta
        return tf.cast(y, self.compute_dtype)


class _StridedConvolution(keras.layers.Layer):
    """What both directions share: a 3x3 kernel with stride 2, its initial values and its configuration."""

    def __init__(self, filters: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.filters = filters

    def _convolution(self, layer: type[keras.layers.Layer], input_shape) -> keras.layers.Layer:
        # PyTorch's default for biases, which the authors left in place: uniform in +-1/sqrt(fan in).
        bound = (9 * input_shape[-1]) ** -0.5
        return layer(
            self.filters,
            3,
            strides=2,
            padding="valid",
            kernel_initializer=keras.initializers.RandomNormal(0.0, KERNEL_STDDEV),
            bias_initializer=keras.initializers.RandomUniform(-bound, bound),
            dtype=self.dtype_policy,
            name="convolution",
        )

    def _product_dtype(self) -> str:
        hidden = is_hidden(self.convolution.kernel.shape)
        return getattr(self.dtype_policy, "product_dtype", self.compute_dtype) if hidden else self.compute_dtype

    def get_config(self) -> dict:
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="elegant_tf")
class Downsample(_StridedConvolution):
    """3x3 convolution, stride 2, one pixel of padding on each side: `[N, H, W, C]` to `[N, H/2, W/2, filters]`.

    Equals PyTorch's `Conv2d(C, filters, 3, stride=2, padding=1)`; Keras' "same" would pad one side only.
    """

    def build(self, input_shape) -> None:
        self.padding = keras.layers.ZeroPadding2D(1, dtype=self.dtype_policy)
        self.convolution = self._convolution(keras.layers.Conv2D, input_shape)
        self.convolution.build(input_shape)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not _trains_on_cpu(inputs, training) or inputs.shape[1] % 2 or inputs.shape[2] % 2:
            return self.convolution(self.padding(inputs))
        dtype = self._product_dtype()
        kernel = tf.reshape(tf.cast(self.convolution.kernel, dtype), [-1, self.filters])
        product = tf.cast(tf.tensordot(patches(inputs, dtype), kernel, 1), self.compute_dtype)
        return product + tf.cast(self.convolution.bias, self.compute_dtype)


@keras.saving.register_keras_serializable(package="elegant_tf")
class Upsample(_StridedConvolution):
    """3x3 transposed convolution, stride 2: `[N, H, W, C]` to `[N, 2H, 2W, filters]`.

    Equals PyTorch's `ConvTranspose2d(C, filters, 3, stride=2, padding=1, output_padding=1)`: the valid result
    without its first row and column.
    """

    def build(self, input_shape) -> None:
        self.convolution = self._convolution(keras.layers.Conv2DTranspose, input_shape)
        self.convolution.build(input_shape)
        self.cropping = keras.layers.Cropping2D(((1, 0), (1, 0)), dtype=self.dtype_policy)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not _trains_on_cpu(inputs, training):
            return self.cropping(self.convolution(inputs))
        dtype, (_, height, width, channels) = self._product_dtype(), inputs.shape
        kernel = tf.reshape(tf.cast(self.convolution.kernel, dtype), [-1, channels])
        # Not tf.tensordot, which would transpose the whole kernel at every update.
        taps = tf.matmul(tf.reshape(tf.cast(inputs, dtype), [-1, channels]), kernel, transpose_b=True)
        taps = tf.reshape(taps, [-1, height, width, 9 * self.filters])
        return overlap_add(taps, self.compute_dtype) + tf.cast(self.convolution.bias, self.compute_dtype)

    def share(self, inputs: tf.Tensor, first_channel: int) -> tf.Tensor:
        """What some of the input channels, `first_channel` and on, add to a call's result; bias not included.

        By linearity the shares of all channels and the bias add up to `call`. Inputs `[N, h, w, c]`.
        """
        kernel = tf.cast(self.convolution.kernel, self.compute_dtype)
        kernel = kernel[..., first_channel : first_channel + inputs.shape[-1]]
        count, height, width = tf.unstack(tf.shape(inputs)[:3])
        shape = [count, 2 * height + 1, 2 * width + 1, self.filters]
        return self.cropping(tf.nn.conv2d_transpose(inputs, kernel, shape, 2, "VALID"))
