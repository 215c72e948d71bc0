"""Features from Keras' InceptionV3, for distances between sets of images."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from elegant_tf.errors import UserError
from elegant_tf.images import to_float
from elegant_tf.model.keras_settings import keras_defaults

FEATURES = 2048

# Keras' published weights, downloaded once (84 MB) into ~/.keras/models.
KERAS = "keras"

# The network's own side in pixels.
_SIDE = 299

# Images that pass the network at once: about 300 MB of activations.
_BATCH = 16


class Inception:
    """InceptionV3 up to its pooled 2048 features: a function of images, for `metrics.distribution.distances`.

    This is Keras' network with Keras' training on ImageNet. Published FIDs use another network, of 2015, in TF-slim:
    distances by this one compare with each other, not with those of papers.

    Args:
        weights: `"keras"`, Keras' own ImageNet weights, from its cache or the internet; or a file: what
            `save_weights` wrote (.weights.h5), or Keras' published
            inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5.

    Raises:
        UserError: the file is missing or holds other weights, or the download failed. Calls raise it on images
            that are not uint8 `[N, S, S, 3]`.
    """

    def __init__(self, weights: str | os.PathLike[str] = KERAS) -> None:
        self._network = _published() if str(weights) == KERAS else _from_file(Path(weights))
        pixels = tf.TensorSpec([None, None, None, 3], tf.uint8)
        self._extract = tf.function(self._graph, input_signature=[pixels], autograph=False)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of images of any size, uint8 RGB `[N, S, S, 3]`: float32 `[N, 2048]`, 0 or more."""
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or 0 in images.shape[1:]:
            raise UserError(f"images must be uint8 [N, S, S, 3] in RGB; received {images.dtype} {list(images.shape)}")
        features = np.empty((len(images), FEATURES), np.float32)
        for start in range(0, len(images), _BATCH):
            features[start : start + _BATCH] = self._extract(images[start : start + _BATCH])
        return features

    def _graph(self, images: tf.Tensor) -> tf.Tensor:
        # Without antialiasing, reduced images would differ from others by their aliases alone (Parmar et al., 2022).
        resized = tf.image.resize(images, [_SIDE, _SIDE], "bilinear", antialias=True)
        return self._network(to_float(resized), training=False)


def _published() -> keras.Model:
    try:
        return _network("imagenet")
    except Exception as error:  # Keras raises plain exceptions when a download fails
        raise UserError(
            f"--inception={KERAS}: Keras could not get its ImageNet weights ({error}): connect to the internet, "
            "or give a file of InceptionV3's weights without its top instead"
        ) from error


def _from_file(path: Path) -> keras.Model:
    if not path.is_file():
        raise UserError(f"--inception={path}: no such file: give a file of InceptionV3's weights, or {KERAS}")
    network = _network(None)
    try:
        network.load_weights(path)
    except Exception as error:  # HDF5 and Keras raise almost any exception on damaged files
        raise UserError(
            f"--inception={path}: holds no weights of Keras' InceptionV3 without its top "
            f"({str(error).splitlines()[0]}): give a .weights.h5 file or Keras' published .h5 file, or {KERAS}"
        ) from error
    return network


@keras_defaults()
def _network(weights: str | None) -> keras.Model:
    return keras.applications.InceptionV3(include_top=False, weights=weights, pooling="avg")
