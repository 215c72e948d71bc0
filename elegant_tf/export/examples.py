"""Images that an exported file is compared with its run on, and calibrated with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elegant_tf.config import DataConfig
from elegant_tf.data.source import Source
from elegant_tf.errors import UserError
from elegant_tf.images import read_image, resize
from elegant_tf.scoring import Sums, mean_over_kinds
from elegant_tf.sources import open_source

PAIRS = 100
CALIBRATION_IMAGES = 32


@dataclass(frozen=True)
class Examples:
    """M edits to compare on, and further images, all of side S.

    Attributes:
        inputs, exemplars: uint8 `[M, S, S, 3]`.
        attribute: index of the attribute that each edit takes from its exemplar, int `[M]`.
        kind: the same number for edits that are alike, int `[M]`; means are taken over kinds.
        targets: the results of perfect edits, uint8 `[M, S, S, 3]`; None: those of the run stand for them.
        calibration: images like those that the run was trained on, uint8 `[C, S, S, 3]`.
    """

    inputs: np.ndarray
    exemplars: np.ndarray
    attribute: np.ndarray
    kind: np.ndarray
    targets: np.ndarray | None
    calibration: np.ndarray

    def quality(self, edited: np.ndarray, by_run: np.ndarray) -> tuple[float, float]:
        """Realised change and leak of edits, uint8 `[M, S, S, 3]`; `by_run`: the run's own edits of the same inputs."""
        sums = Sums.of(self.inputs, by_run if self.targets is None else self.targets, edited)
        return mean_over_kinds(sums, self.kind)


def drawn_examples(attributes: int, size: int, pairs: int = PAIRS) -> Examples:
    """Drawn faces: held-out ones to compare on, and others to calibrate with."""
    held_out, training = (
        open_source(DataConfig(faces_count=max(count, 16)), ("Smiling",), size, split)
        for count, split in ((2 * pairs, "test"), (CALIBRATION_IMAGES, "train"))
    )
    images = np.stack([held_out.load(index) for index in range(2 * pairs)])
    return _pairs_of(images, load_some(training), attributes)


def examples_of_files(files: Sequence[str | os.PathLike[str]], attributes: int, size: int) -> Examples:
    """Every other image file to compare on, and the rest to calibrate with; at most as many as for drawn faces.

    Raises:
        UserError: there are fewer than four files, or one cannot be read.
    """
    if len(files) < 4:
        raise UserError(f"--input: {len(files)} images; give four or more: half to compare on, half to calibrate with")
    compared, rest = files[0::2][: 2 * PAIRS], files[1::2][:CALIBRATION_IMAGES]
    images, calibration = (
        np.stack([resize(read_image(Path(file)), size) for file in part]) for part in (compared, rest)
    )
    return _pairs_of(images, calibration, attributes)


def load_some(source: Source) -> np.ndarray:
    """Images of a source to calibrate with, spread over it: uint8 `[C, S, S, 3]`."""
    rows = np.linspace(0, len(source.labels) - 1, min(len(source.labels), CALIBRATION_IMAGES)).astype(int)
    return np.stack([source.load(index) for index in rows.tolist()])


def _pairs_of(images: np.ndarray, calibration: np.ndarray, attributes: int) -> Examples:
    """Images with an even index as inputs, each with the next one as its exemplar; attributes take turns."""
    inputs, exemplars = images[0::2][: len(images) // 2], images[1::2]
    attribute = np.arange(len(inputs)) % attributes
    return Examples(inputs, exemplars, attribute, attribute, None, calibration)
