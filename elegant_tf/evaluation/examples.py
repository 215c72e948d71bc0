"""Held-out edits on which an exported file is compared with its run, and images to calibrate it with."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from absl import logging

from elegant_tf.config import Config
from elegant_tf.errors import UserError
from elegant_tf.evaluation.counterfactuals import Counterfactuals, has_counterfactuals, load_counterfactuals
from elegant_tf.evaluation.edits import Edits, sample_edits
from elegant_tf.evaluation.evaluate import evaluated_on
from elegant_tf.evaluation.held_out import ReadableSource
from elegant_tf.export.examples import CALIBRATION_IMAGES, Examples, drawn_examples, load_some
from elegant_tf.paths import any_path
from elegant_tf.rundir import read_config
from elegant_tf.sources import open_source

COUNT = 16  # edits per attribute and direction


def load_examples(
    run: str | os.PathLike[str],
    image_size: int | None = None,
    data: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    labels_file: str | os.PathLike[str] | None = None,
    count: int = COUNT,
    calibrates: bool = True,
) -> Examples:
    """Held-out edits, with counterfactual targets where the data has them, and images of the training split.

    Args:
        run: a run directory, packed or not, or the name of a model that comes with the package.
        image_size: S; None: the run's.
        data, data_dir, labels_file: as `evaluate` takes them.
        count: edits per attribute and direction.
        calibrates: whether images to calibrate with are needed. If they are not, the data need no training split, and
            drawn faces stand for data of the run that cannot be read.

    Raises:
        UserError: there is no such run, or the data cannot be read.
    """
    places = {"data_dir": data_dir, "labels_file": labels_file}
    paths = {flag: path if path is None else any_path(path, flag) for flag, path in places.items()}
    config, targets_dir = evaluated_on(read_config(run), data, **paths)
    config = config.replace(image_size=image_size or config.model.image_size)
    try:
        return _examples(config, targets_dir, count, calibrates)
    except UserError as error:
        if calibrates or data or data_dir or labels_file:
            raise UserError(f"{error}. To compare on other data, give --data, --data_dir and --labels_file") from error
        logging.warning("the files are compared on drawn faces, since the run's data cannot be read (%s)", error)
        return drawn_examples(len(config.model.attributes), config.model.image_size)


def _examples(config: Config, targets_dir: str | None, count: int, calibrates: bool) -> Examples:
    model = config.model
    if targets_dir:  # in the layout of CelebA
        config = config.replace(data="celeba", data_dir=targets_dir)
    calibration = np.empty((0, model.image_size, model.image_size, 3), np.uint8)
    if calibrates:
        data = dataclasses.replace(config.data, faces_count=CALIBRATION_IMAGES)
        calibration = load_some(ReadableSource(open_source(data, model.attributes, model.image_size, "train")))
    if has_counterfactuals(config):
        edits: Edits = load_counterfactuals(config, targets_dir, count)
    else:
        source = open_source(config.data, model.attributes, model.image_size, "test")
        edits = sample_edits(ReadableSource(source), count)
    targets = edits.targets if isinstance(edits, Counterfactuals) else None
    return Examples(edits.inputs, edits.exemplars, np.asarray(edits.attribute), edits.kind, targets, calibration)
