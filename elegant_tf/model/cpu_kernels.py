"""The fastest way to train on a CPU: convolutions as matrix products, normalization in few passes over memory.

A 3x3 stride-2 convolution and its transpose are `down(x) = patches(x) K` and `up(x) = overlap_add(x K')`, where
`patches` and `overlap_add` are each other's transpose, so each is the other's gradient. oneDNN's transposed
convolution and its gradients are far slower. GPUs, export and editing use plain layers.

Which of the two trains is decided once, by `training_policy`; layers read the answer off their dtype policy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# The floor of `max(||x||, 1e-12)`, squared.
SQUARED_NORM_FLOOR = 1e-24

# Kernels that see or make images or scores have fewer channels than this on one side.
LEAST_HIDDEN_CHANNELS = 12


@keras.saving.register_keras_serializable(package="elegant_tf")
class CpuTraining(keras.mixed_precision.Policy):
    """A dtype policy whose layers train with the kernels of this module.

    Args:
        name: Keras' name of the policy, such as `float32`.
        product_dtype: dtype of the factors of hidden kernels' matrix products; None: the policy's compute dtype.
    """

    def __init__(self, name: str = "float32", product_dtype: str | None = None) -> None:
        super().__init__(name)
        self._product_dtype = product_dtype or self.compute_dtype

    def product_dtype(self, kernel: tf.Tensor) -> str:
        """The dtype of the factors of a matrix product with this kernel `[3, 3, a, b]`."""
        return self._product_dtype if is_hidden(kernel.shape) else self.compute_dtype

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def training_policy(precision: str, gpu: bool | None = None) -> keras.mixed_precision.Policy:
    """The dtype policy to train networks with: Keras' own on a GPU or a TPU, else `CpuTraining`.

    On a CPU, `mixed_bfloat16` is float32 with bfloat16 factors in hidden kernels' products: a processor with
    AVX512-BF16 is faster at products of such numbers, and at nothing else.

    Args:
        precision: a name that Keras knows.
        gpu: whether a GPU or a TPU trains; None: whether there is one.
    """
    if gpu is None:
        gpu = bool(tf.config.list_physical_devices("GPU") or tf.config.list_logical_devices("TPU"))
    if gpu:
        return keras.mixed_precision.Policy(precision)
    if precision == "mixed_bfloat16":
        return CpuTraining("float32", product_dtype="bfloat16")
    return CpuTraining(precision)


def is_hidden(kernel_shape: Sequence[int]) -> bool:
    """Whether that is the shape `[h, w, a, b]` of a convolution between hidden layers."""
    return len(kernel_shape) == 4 and min(kernel_shape[2:]) >= LEAST_HIDDEN_CHANNELS


def can_downsample(images: tf.Tensor) -> bool:
    """Whether `downsample` takes images `[N, H, W, C]`: all sizes but N are known, height and width even."""
    return None not in images.shape[1:] and not images.shape[1] % 2 and not images.shape[2] % 2


def downsample(images: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, policy: CpuTraining) -> tf.Tensor:
    """A 3x3 convolution, stride 2, one pixel of padding on each side: `[N, 2h, 2w, C]` to `[N, h, w, F]`."""
    dtype = policy.product_dtype(kernel)
    factor = tf.reshape(tf.cast(kernel, dtype), [-1, kernel.shape[3]])
    product = tf.cast(tf.tensordot(patches(images, dtype), factor, 1), policy.compute_dtype)
    return product + tf.cast(bias, policy.compute_dtype)


def upsample(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, policy: CpuTraining) -> tf.Tensor:
    """The transposed convolution with a kernel `[3, 3, F, C]`: `[N, h, w, C]`, sizes known, to `[N, 2h, 2w, F]`."""
    dtype, (_, height, width, channels) = policy.product_dtype(kernel), inputs.shape
    factor = tf.reshape(tf.cast(kernel, dtype), [-1, channels])
    # Not tf.tensordot, which would transpose the whole kernel at every update.
    taps = tf.matmul(tf.reshape(tf.cast(inputs, dtype), [-1, channels]), factor, transpose_b=True)
    taps = tf.reshape(taps, [-1, height, width, 9 * kernel.shape[2]])
    return overlap_add(taps, policy.compute_dtype) + tf.cast(bias, policy.compute_dtype)


def unit(x: tf.Tensor) -> tf.Tensor:
    """`x / max(||x||, 1e-12)`, the norm taken over channels, the last axis: plainly."""
    # This form, not tf.norm: its gradient is finite at zero, and TFLite fuses it to L2_NORMALIZATION.
    return x * _inverse_length(_over_channels(x * x))


# A function of its own: what the gradient uses again is lost where a condition's branch is differentiated twice.
@tf.function(autograph=False)
def normalize(x: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """`alpha * unit(x) + beta` in fewer passes over memory, most of all backward; alpha and beta `[1]`.

    For a shape that is known, but for N, when the graph is made.
    """
    return _normalized(x, alpha, beta)


@tf.custom_gradient
def _normalized(x: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    squares = _over_channels(x * x)

    def gradient(slopes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        products = _over_channels(x * slopes)
        of_alpha = tf.reduce_sum(products * _inverse_length(squares))
        of_x = _backward(x, squares, products, alpha, slopes)
        return of_x, tf.reshape(of_alpha, [1]), tf.reshape(tf.reduce_sum(slopes), [1])

    return _forward(x, squares, alpha, beta), gradient


# XLA makes one pass of each of these; sums over channels it is slow at.
@tf.function(jit_compile=True, autograph=False)
def _forward(x: tf.Tensor, squares: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    return x * (_inverse_length(squares) * alpha) + beta


@tf.function(jit_compile=True, autograph=False)
def _backward(x: tf.Tensor, squares: tf.Tensor, products: tf.Tensor, alpha: tf.Tensor, slopes: tf.Tensor) -> tf.Tensor:
    scale = _inverse_length(squares)
    # Below the floor the result is proportional to x: nothing is lost along it.
    along = tf.where(squares > SQUARED_NORM_FLOOR, products * scale * scale, tf.zeros_like(products))
    return slopes * (scale * alpha) - x * (along * scale * alpha)


def _over_channels(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(x, axis=-1, keepdims=True)


def _inverse_length(squares: tf.Tensor) -> tf.Tensor:
    return tf.math.rsqrt(tf.maximum(squares, SQUARED_NORM_FLOOR))


def patches(images: tf.Tensor, dtype: tf.DType | str | None = None) -> tf.Tensor:
    """What the kernel sees at each place, with a zero pixel of padding: `[N, 2h, 2w, C]` to `[N, h, w, 9C]`.

    Height, width and channels must be known when the graph is made; the nine taps go row by row.

    `dtype`: of the result, if not that of the images.
    """

    @tf.custom_gradient
    def transposable(images: tf.Tensor) -> tf.Tensor:
        return _patches(tf.cast(images, dtype or images.dtype)), lambda taps: overlap_add(taps, images.dtype)

    return transposable(images)


def overlap_add(taps: tf.Tensor, dtype: tf.DType | str | None = None) -> tf.Tensor:
    """The transpose of `patches`, which adds up what each pixel gets: `[N, h, w, 9C]` to `[N, 2h, 2w, C]`.

    `dtype`: of the sums, if not that of the taps.
    """

    @tf.custom_gradient
    def transposable(taps: tf.Tensor) -> tf.Tensor:
        return _overlap_add(taps, tf.as_dtype(dtype or taps.dtype)), lambda images: patches(images, taps.dtype)

    return transposable(taps)


def _patches(images: tf.Tensor) -> tf.Tensor:
    _, height, width, channels = images.shape
    pixels = tf.pad(tf.reshape(images, [-1, height * width, channels]), [[0, 0], [0, 1], [0, 0]])
    # One gather: nine strided slices would cost more than the matrix product.
    gathered = tf.gather(pixels, _pixel_numbers(height, width), axis=1)
    return tf.reshape(gathered, [-1, height // 2, width // 2, 9 * channels])


@functools.lru_cache
def _pixel_numbers(height: int, width: int) -> np.ndarray:
    """The pixel under each tap of each patch, int32 `[h * w * 9]`; `height * width` is the padding."""
    row, column, i, j = np.meshgrid(*map(np.arange, (height // 2, width // 2, 3, 3)), indexing="ij")
    y, x = (
        2 * row + i - 1,
        2 * column + j - 1,
    )  # Sizes are even: only the first row and column of padding are seen.
    return np.where((y < 0) | (x < 0), height * width, y * width + x).astype(np.int32).ravel()


# XLA makes one pass of all these sums; it would slow down the gather above, and the update as a whole.
@tf.function(jit_compile=True, autograph=False)
def _overlap_add(taps: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    _, height, width, depth = taps.shape
    channels, taps = depth // 9, tf.cast(taps, dtype)
    tap = [tf.split(row, 3, axis=-1) for row in tf.split(taps, 3, axis=-1)]

    def from_below(x: tf.Tensor) -> tf.Tensor:
        return tf.pad(x[:, 1:], [[0, 0], [0, 1], [0, 0], [0, 0]])

    def from_right(x: tf.Tensor) -> tf.Tensor:
        return tf.pad(x[:, :, 1:], [[0, 0], [0, 0], [0, 1], [0, 0]])

    even_row = [tap[1][1], tap[1][2] + from_right(tap[1][0])]
    odd_row = [
        tap[2][1] + from_below(tap[0][1]),
        tap[2][2] + from_right(tap[2][0]) + from_below(tap[0][2] + from_right(tap[0][0])),
    ]
    rows = tf.stack([tf.stack(even_row, axis=3), tf.stack(odd_row, axis=3)], axis=2)
    return tf.reshape(rows, [-1, 2 * height, 2 * width, channels])
