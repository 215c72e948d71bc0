"""Reconstruction: how close images decoded from their own, unchanged codes are to the originals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from elegant_tf.evaluation.bootstrap import Interval, confidence_interval
from elegant_tf.evaluation.edits import Evaluated
from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table, interval_cell

# Images, at most.
COUNT = 400


@dataclass(frozen=True)
class Quality:
    """The mean over `count` reconstructed images.

    `psnr`: decibels, at most 100 an image; `psnr_interval`: its 95 % confidence interval (bootstrap over images);
    `ssim`: structural similarity, 1 is perfect.
    """

    psnr: float
    psnr_interval: Interval
    ssim: float
    count: int


@dataclass(frozen=True)
class Reconstruction(Metric):
    """`reconstruction`: the quality of reconstructed inputs."""

    reconstruction: Quality

    @classmethod
    def measure(cls, context: Context) -> Reconstruction:
        return cls(reconstruct(context.editor, context.edits.at_most(COUNT).inputs))

    def tables(self) -> list[Table]:
        quality = self.reconstruction
        cells = (f"{quality.psnr:.2f}", interval_cell(quality.psnr_interval, 2), f"{quality.ssim:.4f}", quality.count)
        return [
            Table(
                "Reconstruction",
                "Images decoded from their own, unchanged codes, against the originals. PSNR in dB; SSIM 1 is perfect.",
                ("PSNR", "95 %", "SSIM", "n"),
                [tuple(map(str, cells))],
                words=0,
            )
        ]


def reconstruct(editor: Evaluated, images: np.ndarray) -> Quality:
    """Reconstructs images uint8 `[M, S, S, 3]`."""
    nothing = np.zeros((len(images), 1, len(editor.attributes)))
    made = editor.edit(images, images[:, None], nothing)
    psnr = np.asarray(tf.image.psnr(made, images, 255), np.float64)
    psnr = np.minimum(psnr, 100.0)  # The PSNR of an exact reconstruction is infinite.
    return Quality(
        float(psnr.mean()),
        confidence_interval(len(psnr), lambda rows: float(psnr[rows].mean())),
        float(tf.reduce_mean(tf.image.ssim(tf.constant(made), tf.constant(images), 255))),
        len(images),
    )
