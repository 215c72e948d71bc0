"""What is lost without any edit: pictures decoded from their own, unchanged codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from elegant_tf.editor import Editor
from elegant_tf.evaluation.bootstrap import confidence_interval


@dataclass(frozen=True)
class Reconstruction:
    """How like the originals reconstructed pictures are, mean over `count` of them.

    `psnr`: decibels, and the `psnr_interval` of its bootstrap (95 %); `ssim`: structural similarity, 1 is perfect.
    """

    psnr: float
    psnr_interval: tuple[float, float]
    ssim: float
    count: int


def evaluate_reconstruction(editor: Editor, images: np.ndarray) -> Reconstruction:
    """Reconstructs images uint8 `[M, S, S, 3]`."""
    nothing = np.zeros((len(images), 1, len(editor.attributes)))
    made = editor.edit(images, images[:, None], nothing)
    psnr = np.asarray(tf.image.psnr(made, images, 255), np.float64)
    psnr = np.minimum(psnr, 100.0)  # Not infinity, of a picture that comes back to the bit.
    return Reconstruction(
        float(psnr.mean()),
        confidence_interval(len(psnr), lambda rows: float(psnr[rows].mean())),
        float(tf.reduce_mean(tf.image.ssim(tf.constant(made), tf.constant(images), 255))),
        len(images),
    )
