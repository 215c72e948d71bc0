"""The layers that ELEGANT is made of: normalization and stride-2 convolutions with the authors' padding."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from elegant_tf.model.cpu_kernels import CpuTraining, can_downsample, downsample, normalize, unit, upsample
from elegant_tf.model.keras_versions import NOT_CAST

KERNEL_STDDEV = 0.02

# Added to the variance by instance normalization.
VARIANCE_FLOOR = 1e-5

# Keras would take it from the user's keras.json.
DATA_FORMAT = "channels_last"


@keras.saving.register_keras_serializable(package="elegant_tf")
class Normalization(keras.layers.Layer):
    """`y = alpha * x / max(||x||, 1e-12) + beta`, the norm taken over channels, alpha and beta scalars.

    Chosen by the authors over batch normalization, whose moving statistics swing when batches show opposite
    attributes. Computes in float32 at least, whatever the policy; input and output `[N, H, W, C]` in the
    compute dtype.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._on_cpu = isinstance(self.dtype_policy, CpuTraining)
        self.alpha = self.add_weight(name="alpha", shape=(1,), initializer="ones", **NOT_CAST)
        self.beta = self.add_weight(name="beta", shape=(1,), initializer="zeros", **NOT_CAST)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.cast(inputs, self.variable_dtype)
        return tf.cast(self._train(x) if training and self._on_cpu else self._normalize(x), self.compute_dtype)

    def _normalize(self, x: tf.Tensor) -> tf.Tensor:
        return unit(x) * self.alpha + self.beta

    def _train(self, x: tf.Tensor) -> tf.Tensor:
        return normalize(x, tf.convert_to_tensor(self.alpha), tf.convert_to_tensor(self.beta))


@keras.saving.register_keras_serializable(package="elegant_tf")
class InstanceNormalization(keras.layers.Layer):
    """`y = gamma * (x - mean) / sqrt(variance + 1e-5) + beta`, mean and variance over one image's places, by channel.

    Ulyanov et al., Instance Normalization, 2016, with gamma and beta `[C]`. Computes in float32 at least, whatever the
    policy; input and output `[N, H, W, C]` in the compute dtype.

    Args:
        channels: C.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones", **NOT_CAST)
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros", **NOT_CAST)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.cast(inputs, self.variable_dtype)
        # Not tf.nn.moments, whose variance has a wrong second derivative, which penalties of gradients need.
        centred = x - tf.reduce_mean(x, axis=[1, 2], keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=[1, 2], keepdims=True)
        scaled = centred * tf.math.rsqrt(variance + VARIANCE_FLOOR)
        return tf.cast(scaled * self.gamma + self.beta, self.compute_dtype)


class _StridedConvolution(keras.layers.Layer):
    """What both directions share: a 3x3 kernel with stride 2, its initial values and its configuration.

    Args:
        channels: C of the inputs.
        filters: channels of the results.
    """

    convolution_type: type[keras.layers.Layer]

    def __init__(self, channels: int, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.filters = filters
        self._on_cpu = isinstance(self.dtype_policy, CpuTraining)
        # PyTorch's default for biases, which the authors left in place: uniform in +-1/sqrt(fan in).
        bound = (9 * channels) ** -0.5
        self.convolution = self.convolution_type(
            filters,
            3,
            strides=2,
            padding="valid",
            data_format=DATA_FORMAT,
            kernel_initializer=keras.initializers.RandomNormal(0.0, KERNEL_STDDEV),
            bias_initializer=keras.initializers.RandomUniform(-bound, bound),
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.convolution.build((None, None, None, channels))
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "filters": self.filters}


@keras.saving.register_keras_serializable(package="elegant_tf")
class Downsample(_StridedConvolution):
    """3x3 convolution, stride 2, one pixel of padding on each side: `[N, H, W, C]` to `[N, H/2, W/2, filters]`.

    Equals PyTorch's `Conv2d(C, filters, 3, stride=2, padding=1)`; Keras' "same" would pad one side only.
    """

    convolution_type = keras.layers.Conv2D

    def __init__(self, channels: int, filters: int, **kwargs: Any) -> None:
        super().__init__(channels, filters, **kwargs)
        self.padding = keras.layers.ZeroPadding2D(1, DATA_FORMAT, dtype=self.dtype_policy)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training and self._on_cpu and can_downsample(inputs):
            return downsample(inputs, self.convolution.kernel, self.convolution.bias, self.dtype_policy)
        return self.convolution(self.padding(inputs))


@keras.saving.register_keras_serializable(package="elegant_tf")
class Upsample(_StridedConvolution):
    """3x3 transposed convolution, stride 2: `[N, H, W, C]` to `[N, 2H, 2W, filters]`.

    Equals PyTorch's `ConvTranspose2d(C, filters, 3, stride=2, padding=1, output_padding=1)`: the valid result
    without its first row and column.
    """

    convolution_type = keras.layers.Conv2DTranspose

    def __init__(self, channels: int, filters: int, **kwargs: Any) -> None:
        super().__init__(channels, filters, **kwargs)
        self.cropping = keras.layers.Cropping2D(((1, 0), (1, 0)), DATA_FORMAT, dtype=self.dtype_policy)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training and self._on_cpu and None not in inputs.shape[1:]:
            return upsample(inputs, self.convolution.kernel, self.convolution.bias, self.dtype_policy)
        return self.cropping(self.convolution(inputs))

    def share(self, inputs: tf.Tensor, first_channel: int) -> tf.Tensor:
        """What some of the input channels, `first_channel` and on, add to a call's result; bias not included.

        By linearity the shares of all channels and the bias add up to `call`. Inputs `[N, h, w, c]`.
        """
        kernel = tf.cast(self.convolution.kernel, self.compute_dtype)
        kernel = kernel[..., first_channel : first_channel + inputs.shape[-1]]
        count, height, width = tf.unstack(tf.shape(inputs)[:3])
        shape = [count, 2 * height + 1, 2 * width + 1, self.filters]
        return self.cropping(tf.nn.conv2d_transpose(inputs, kernel, shape, 2, "VALID"))
