"""The three networks: encoder, decoder and discriminator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import keras
import tensorflow as tf

from elegant_tf.model.layers import KERNEL_STDDEV, Downsample, InstanceNormalization, Normalization, Upsample
from elegant_tf.model.recompute import recomputed
from elegant_tf.model.spectral import Spectral, SpectralDense, SpectralDownsample

LEAK = 0.2
DISCRIMINATOR_DEPTH = 4


def channel_counts(width: int, depth: int) -> list[int]:
    """Channels after each halving: width, doubling, at most 8 * width (64, 128, 256, 512, 512)."""
    return [width * min(2**level, 8) for level in range(depth)]


def residual_and_mask(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """A decoder's last channels `[N, S, S, 3 or 4]` as a residual in (-2, 2) and, of the fourth, a mask in (0, 1).

    The residual `[N, S, S, 3]` is weighted by the mask `[N, S, S, 1]`.
    """
    if x.shape[-1] == 3:
        return 2.0 * tf.tanh(x), None
    mask = tf.sigmoid(x[..., 3:])
    return 2.0 * tf.tanh(x[..., :3]) * mask, mask


class _Network(keras.Model):
    """A model whose constructor arguments are its configuration, and whose constructor makes its variables."""

    recompute = False
    """Whether training keeps the inputs of each block alone and computes the rest again, see `recomputed`."""

    def __init__(self, arguments: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._arguments = arguments
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**keras.layers.Layer.get_config(self), **self._arguments}  # with Keras 2, a model's is empty

    def _run(
        self,
        block: Callable[..., tf.Tensor],
        layers: Sequence[keras.layers.Layer],
        inputs: Sequence[tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        return recomputed(block, layers, inputs) if training and self.recompute else block(*inputs)

    def _halve(self, layers: Sequence[keras.layers.Layer], x: tf.Tensor, training: bool) -> tf.Tensor:
        """A block that halves the side: convolution, normalization if there is one, and leaky ReLU."""

        def block(x: tf.Tensor) -> tf.Tensor:
            for layer in layers:
                x = layer(x, training=training) if _knows_training(layer) else layer(x)
            return tf.nn.leaky_relu(x, LEAK)

        return self._run(block, layers, [x], training)


def _knows_training(layer: keras.layers.Layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _downs(
    channels: Sequence[int],
    dtype: keras.mixed_precision.Policy,
    kind: type[Downsample] | type[SpectralDownsample] = Downsample,
) -> list[keras.layers.Layer]:
    """Layers from each number of channels to the next."""
    return [kind(*counts, dtype=dtype, name=f"down{level}") for level, counts in enumerate(pairwise(channels))]


def _normalizations(count: int, dtype: keras.mixed_precision.Policy) -> list[Normalization]:
    return [Normalization(dtype=dtype, name=f"normalization{level}") for level in range(count)]


@keras.saving.register_keras_serializable(package="elegant_tf")
class Encoder(_Network):
    """Images to codes: `depth` blocks of convolution, normalization and leaky ReLU.

    Args:
        width: channels of the first block.
        depth: number of halvings.
    """

    def __init__(self, width: int = 64, depth: int = 5, **kwargs: Any) -> None:
        super().__init__({"width": width, "depth": depth}, **kwargs)
        self.channels = channel_counts(width, depth)
        self.downs = _downs([3, *self.channels], self.dtype_policy)
        self.normalizations = _normalizations(depth, self.dtype_policy)

    def call(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Encodes `[N, S, S, 3]` in [-1, 1]: the code `[N, S/2^depth, S/2^depth, C]` and the skips, largest first."""
        x, outputs = images, []
        for layers in zip(self.downs, self.normalizations, strict=True):
            x = self._halve(layers, x, training)
            outputs.append(x)
        return outputs[-1], outputs[:-1]


@keras.saving.register_keras_serializable(package="elegant_tf")
class Decoder(_Network):
    """An edited code, the code and the skips of the image being edited to a residual.

    Args:
        width, depth: the encoder's.
        mask: whether a mask weights the residual.
    """

    def __init__(self, width: int = 64, depth: int = 5, mask: bool = False, **kwargs: Any) -> None:
        super().__init__({"width": width, "depth": depth, "mask": mask}, **kwargs)
        self._code_channels, *self.channels = reversed(channel_counts(width, depth))
        self.ups = [
            Upsample(*counts, dtype=self.dtype_policy, name=f"up{level}")
            for level, counts in enumerate(pairwise([2 * self._code_channels, *self.channels, 4 if mask else 3]))
        ]
        self.normalizations = _normalizations(depth - 1, self.dtype_policy)

    def call(
        self, code: tf.Tensor, source_code: tf.Tensor, skips: Sequence[tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Decodes to the residual `[N, S, S, 3]` in (-2, 2) and its mask `[N, S, S, 1]` in (0, 1), float32 at least.

        With a mask, the residual is weighted by it already; without, the mask is None.

        Args:
            code: the edited code, `[N, h, w, C]`.
            source_code: the code of the image being edited, alike.
            skips: that image's skips, largest first, as the encoder gives them.
        """
        x = tf.concat([tf.cast(code, source_code.dtype), source_code], axis=-1)
        return self._go_on(self.ups[0](x, training=training), skips, training)

    def each(
        self, codes: tf.Tensor, source_code: tf.Tensor, skips: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """`call` for M edited codes of each of N images: codes `[N * M, h, w, C]`, residuals `[N * M, S, S, 3]`.

        The source code's half of the first layer, the same for all M, is computed once.
        """
        first, many = self.ups[0], tf.shape(codes)[0] // tf.shape(source_code)[0]
        own = first.share(source_code, self._code_channels) + tf.cast(first.convolution.bias, source_code.dtype)
        own, *skips = (tf.repeat(value, many, axis=0) for value in (own, *skips))
        return self._go_on(first.share(codes, 0) + own, skips, training=False)

    def _go_on(self, x: tf.Tensor, skips: Sequence[tf.Tensor], training: bool) -> tuple[tf.Tensor, tf.Tensor | None]:
        """From the first transposed convolution's result to the residual."""
        for up, normalization, skip in zip(self.ups[1:], self.normalizations, reversed(skips), strict=True):
            x = self._double(up, normalization, x, skip, training)
        return residual_and_mask(tf.cast(x, self.variable_dtype))

    def _double(
        self, up: Upsample, normalization: Normalization, x: tf.Tensor, skip: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """A block that doubles the side: normalization, ReLU, the skip added, transposed convolution."""

        def block(x: tf.Tensor, skip: tf.Tensor) -> tf.Tensor:
            return up(tf.nn.relu(normalization(x, training=training)) + skip, training=training)

        return self._run(block, [normalization, up], [x, skip], training)


@keras.saving.register_keras_serializable(package="elegant_tf")
class Discriminator(_Network):
    """Scores images under attribute labels.

    With `planes` conditioning, the authors', labels are planes beside the image's channels, and it is left to the
    convolutions to find out which goes with what. With `projection` the convolutions see the image alone, and each
    attribute has a score of its own, counted for or against by its label (Miyato and Koyama, cGANs with projection
    discriminator, 2018): quicker to learn, and one pass scores an image under any number of labels.

    Args:
        image_size: side S of the images.
        labels: number n of labels.
        width: channels of the first block.
        conditioning: `planes` or `projection`.
        norm: `l2`: the authors' `Normalization` follows each convolution; `instance`: `InstanceNormalization` follows
            each but the first, where it would take away what constant label planes add; `spectral`: all kernels, the
            dense layer's too, have spectral normalization, and there is no other.
        normalization: a layer; copies of it follow each convolution but the first, instead of the normalization of
            `norm`. Any layer that keeps shapes.
    """

    def __init__(
        self,
        image_size: int,
        labels: int,
        width: int = 64,
        conditioning: str = "planes",
        norm: str = "l2",
        normalization: keras.layers.Layer | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(normalization, Mapping):  # as in a configuration
            normalization = keras.saving.deserialize_keras_object(normalization)
        arguments = {
            "image_size": image_size,
            "labels": labels,
            "width": width,
            "conditioning": conditioning,
            "norm": norm,
            "normalization": keras.saving.serialize_keras_object(normalization) if normalization else None,
        }
        super().__init__(arguments, **kwargs)
        self.channels = channel_counts(width, DISCRIMINATOR_DEPTH)
        self.conditioning = conditioning
        planes = conditioning == "planes"
        channels = [3 + labels if planes else 3, *self.channels]
        self.downs = _downs(channels, self.dtype_policy, SpectralDownsample if norm == "spectral" else Downsample)
        if normalization:
            self.normalizations = self._copies(normalization, image_size)
        else:
            self.normalizations = self._make_normalizations(norm)
        cell = -(-image_size // 2**DISCRIMINATOR_DEPTH)
        self.dense = self._make_dense(norm, cell * cell * self.channels[-1], 1 if planes else 1 + labels)

    def _copies(self, layer: keras.layers.Layer, image_size: int) -> list[keras.layers.Layer]:
        """New layers like this one, for all blocks but the first."""
        copies = []
        for level, count in enumerate(self.channels[1:], 1):
            own = {"name": f"normalization{level}", "dtype": self.dtype_policy}
            copies.append(type(layer).from_config({**layer.get_config(), **own}))
            side = -(-image_size // 2 ** (level + 1))
            copies[-1].build((None, side, side, count))
        return copies

    def _make_normalizations(self, norm: str) -> list[keras.layers.Layer]:
        """Those of the last blocks; the first blocks may have none."""
        if norm == "instance":
            return [
                InstanceNormalization(count, dtype=self.dtype_policy, name=f"normalization{level}")
                for level, count in enumerate(self.channels[1:], 1)
            ]
        return _normalizations(DISCRIMINATOR_DEPTH, self.dtype_policy) if norm == "l2" else []

    def _make_dense(self, norm: str, channels: int, units: int) -> keras.layers.Layer:
        if norm == "spectral":
            return SpectralDense(channels, units, dtype=self.dtype_policy, name="dense")
        weights = keras.initializers.RandomNormal(0.0, KERNEL_STDDEV)
        dense = keras.layers.Dense(units, kernel_initializer=weights, dtype=self.dtype_policy, name="dense")
        dense.build((None, channels))
        return dense

    def iterate(self) -> None:
        """Brings the largest singular values up to date, with spectral normalization: once before each update."""
        for layer in (*self.downs, self.dense):
            if isinstance(layer, Spectral):
                layer.iterate()

    def call(self, images: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits `[N, L]`, float32 at least, of images `[N, S, S, 3]` in [-1, 1] under labels `[N, L, n]` in {0, 1}."""
        if self.conditioning == "planes":
            return self._score_with_planes(images, labels, training)
        scores = self._score(images, training)
        signs = 2.0 * tf.cast(labels, scores.dtype) - 1.0
        return scores[:, :1] + tf.linalg.matvec(signs, scores[:, 1:])

    def _score_with_planes(self, images: tf.Tensor, labels: tf.Tensor, training: bool) -> tf.Tensor:
        count = labels.shape[1]
        images = tf.repeat(images, count, axis=0) if count > 1 else images
        planes = tf.reshape(tf.cast(labels, images.dtype), [-1, 1, 1, labels.shape[2]])
        planes = tf.broadcast_to(planes, tf.concat([tf.shape(images)[:3], [labels.shape[2]]], 0))
        return tf.reshape(self._score(tf.concat([images, planes], axis=-1), training), [-1, count])

    def _score(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        plain = len(self.downs) - len(self.normalizations)
        normalizations = [*([] for _ in range(plain)), *([one] for one in self.normalizations)]
        for down, after in zip(self.downs, normalizations, strict=True):
            x = self._halve([down, *after], x, training)
        x = tf.reshape(x, [tf.shape(x)[0], self.dense.kernel.shape[0]])
        return tf.cast(self.dense(x), self.variable_dtype)
