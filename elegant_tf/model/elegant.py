"""The generator that edits images, and the pair of discriminators that trains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from elegant_tf.model.latent import exchange
from elegant_tf.model.networks import Decoder, Discriminator, Encoder


@keras.saving.register_keras_serializable(package="elegant_tf")
class Elegant(keras.Model):
    """ELEGANT's generator: encodes images, exchanges attributes between codes, decodes residuals.

    Runs on any image size that is a multiple of `2 ** depth`, whatever it was trained at.

    Args:
        attributes: names, in the order of the code's blocks.
        width: channels of the first encoder block.
        depth: number of halvings.
        flip_tta: flip test-time augmentation: outside training, an edit is the mean of the image's edit and the
            mirrored edit of its mirror image. Their codes and skips then lie one below the other, twice as high as
            those of one image.
        mask: whether the decoder has a mask: an edit is then `image + mask * residual`.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        width: int = 64,
        depth: int = 5,
        flip_tta: bool = False,
        mask: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.attributes = tuple(attributes)
        self.width = width
        self.depth = depth
        self.flip_tta = flip_tta
        self.mask = mask
        self.encoder = Encoder(width, depth, dtype=self.dtype_policy, name="encoder")
        self.decoder = Decoder(width, depth, mask, dtype=self.dtype_policy, name="decoder")
        self.built = True

    def get_config(self) -> dict[str, Any]:
        arguments = {
            "attributes": list(self.attributes),
            "width": self.width,
            "depth": self.depth,
            "flip_tta": self.flip_tta,
            "mask": self.mask,
        }
        return {**keras.layers.Layer.get_config(self), **arguments}

    def code_shape(self, image_size: int) -> tuple[int, int, int]:
        """`(h, w, C)` of the codes to edit with, of images of that side."""
        places = image_size // 2**self.depth
        return places * (2 if self.flip_tta else 1), places, self.encoder.channels[-1]

    def encode(self, images: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Code `[N, h, w, C]`, see `code_shape`, and skips of images `[N, S, S, 3]` in [-1, 1]."""
        if training or not self.flip_tta:
            return self.encoder(images, training=training)
        code, skips = self.encoder(tf.concat([images, _mirrored(images)], axis=0))
        return _below(code), [_below(skip) for skip in skips]

    def decode(
        self, code: tf.Tensor, source_code: tf.Tensor, skips: Sequence[tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """Residual `[N, S, S, 3]` in (-2, 2) for an edited code of the image that owns `source_code` and `skips`."""
        if training:
            return self.decode_with_mask(code, source_code, skips)[0]
        return self._decode_by(self.decoder, code, source_code, skips)

    def decode_with_mask(
        self, code: tf.Tensor, source_code: tf.Tensor, skips: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """`decode` in training, and the mask `[N, S, S, 1]` in (0, 1) that weights the residual; None without one."""
        return self.decoder(code, source_code, skips, training=True)

    def _decode_by(
        self, decode: Callable[..., tf.Tensor], codes: tf.Tensor, source_code: tf.Tensor, skips: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        if not self.flip_tta:
            return decode(codes, source_code, skips)[0]
        residuals, _ = decode(_apart(codes), _apart(source_code), [_apart(skip) for skip in skips])
        own, mirrored = tf.split(residuals, 2)
        return (own + _mirrored(mirrored)) / 2.0

    def edit(self, images: tf.Tensor, exemplars: tf.Tensor, coefficients: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Moves attributes from exemplars to images.

        Args:
            images: `[N, S, S, 3]` in [-1, 1].
            exemplars: `[N, K, S, S, 3]` in [-1, 1].
            coefficients: `[N, K, n]`, see `latent.exchange`.

        Returns:
            The edited images `[N, S, S, 3]` in [-1, 1] and the residuals, alike, in (-2, 2).
        """
        shape = tf.shape(exemplars)
        code, skips = self.encode(images)
        exemplar_codes, _ = self.encode(tf.reshape(exemplars, [-1, shape[2], shape[3], 3]))
        exemplar_codes = tf.reshape(exemplar_codes, tf.concat([shape[:2], tf.shape(code)[1:3], [code.shape[-1]]], 0))
        exemplar_codes = tf.ensure_shape(exemplar_codes, [None, None, None, None, code.shape[-1]])
        return self.edit_encoded(images, code, skips, exemplar_codes, coefficients)

    def edit_encoded(
        self,
        images: tf.Tensor,
        code: tf.Tensor,
        skips: Sequence[tf.Tensor],
        exemplar_codes: tf.Tensor,
        coefficients: tf.Tensor,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`edit` for images whose code and skips are known, and exemplar codes `[N, K, h, w, C]`."""
        changed = exchange(code, tf.cast(exemplar_codes, code.dtype), coefficients)
        residual = self.decode(changed, code, skips, training)
        return apply_residual(images, residual), residual

    def edit_with_each(self, images: tf.Tensor, exemplar_codes: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
        """Edits each image with each of M exemplar codes by itself; images `[N, M, S, S, 3]`.

        Args:
            images: `[N, S, S, 3]` in [-1, 1].
            exemplar_codes: `[N, M, h, w, C]`.
            coefficients: `[N, M, n]`.
        """
        code, skips = self.encode(images)
        many = tf.shape(exemplar_codes)[1]
        flat_codes = tf.reshape(exemplar_codes, [-1, 1, *exemplar_codes.shape[2:]])
        flat_coefficients = tf.reshape(coefficients, [-1, 1, coefficients.shape[2]])
        changed = exchange(tf.repeat(code, many, axis=0), tf.cast(flat_codes, code.dtype), flat_coefficients)
        residuals = self._decode_by(self.decoder.each, changed, code, skips)
        edited = apply_residual(tf.repeat(images, many, axis=0), residuals)
        return tf.reshape(edited, tf.concat([tf.shape(exemplar_codes)[:2], tf.shape(images)[1:]], 0))

    def call(self, images: tf.Tensor, exemplars: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
        """The edited images of `edit`."""
        return self.edit(images, exemplars, coefficients)[0]


@keras.saving.register_keras_serializable(package="elegant_tf")
class MultiScaleDiscriminator(keras.Model):
    """Two discriminators: one sees the images, the other sees them at half size.

    Args:
        image_size: side S of the images.
        labels: number n of labels.
        width: channels of each one's first block.
        conditioning: how they take labels in, `planes` or `projection`; see `networks.Discriminator`.
        norm: `l2`, `instance` or `spectral`; see there.
        normalization: a layer to follow convolutions instead; see there.
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
        super().__init__(**kwargs)
        alike: dict[str, Any] = {
            "labels": labels,
            "width": width,
            "conditioning": conditioning,
            "norm": norm,
            "normalization": normalization,
        }
        self.full = Discriminator(image_size, **alike, dtype=self.dtype_policy, name="full")
        self.half = Discriminator(image_size // 2, **alike, dtype=self.dtype_policy, name="half")
        self.built = True

    def get_config(self) -> dict[str, Any]:
        arguments = ("image_size", "labels", "width", "conditioning", "norm", "normalization")
        whole = self.full.get_config()
        return {**keras.layers.Layer.get_config(self), **{name: whole[name] for name in arguments}}

    def call(self, images: tf.Tensor, labels: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Logits `[N, L]` at full and at half scale of images `[N, S, S, 3]` in [-1, 1] under labels `[N, L, n]`."""
        return [self.scale(name)(images, labels, training=training) for name in ("full", "half")]

    def iterate(self) -> None:
        """What a discriminator of either scale does once before each update, see `networks.Discriminator`."""
        self.full.iterate()
        self.half.iterate()

    def scale(self, name: str) -> Callable[..., tf.Tensor]:
        """The discriminator at `full` or `half` scale, a function of full-size images and labels as in a call."""
        return self.full if name == "full" else self._score_half

    def _score_half(self, images: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.half(tf.nn.avg_pool2d(images, 2, 2, "VALID"), labels, training=training)


def apply_residual(images: tf.Tensor, residual: tf.Tensor) -> tf.Tensor:
    """`clip(image + residual, -1, 1)`, all `[N, S, S, 3]`."""
    return tf.clip_by_value(images + residual, -1.0, 1.0)


def _mirrored(images: tf.Tensor) -> tf.Tensor:
    return tf.reverse(images, [2])


def _below(both: tf.Tensor) -> tf.Tensor:
    """`[2N, h, w, C]`, of images and then of their mirror images, to `[N, 2h, w, C]`."""
    return tf.concat(tf.split(both, 2, axis=0), axis=1)


def _apart(both: tf.Tensor) -> tf.Tensor:
    """The inverse of `_below`."""
    return tf.concat(tf.split(both, 2, axis=1), axis=0)
