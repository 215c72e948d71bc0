"""The commands of `elegant-tf` that are about data."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
import time
from argparse import Namespace

import numpy as np

from elegant_tf import launch
from elegant_tf.data.parallel import cpus
from elegant_tf.data.preparation import Settings
from elegant_tf.data.sources import open_collection
from elegant_tf.errors import UserError
from elegant_tf.images import check_output, write_image

SHOWN = 5  # pictures left out that are printed

UNHEALTHY_STATUS = 1
TIMED_BATCHES = 20


def prepare(options: Namespace) -> None:
    """`elegant-tf prepare`."""
    names = ("image_size", "alignment", "encoding", "quality", "shard_images")
    settings = Settings(**{name: getattr(options, name) for name in names})
    launch.prepare_tensorflow()
    from elegant_tf.data.prepare import prepare as write_records

    collection = open_collection(options.data, options.data_dir, options.labels_file)
    detect = None
    if options.detect:
        from elegant_tf.data.align import find_largest, make_detector

        detect = functools.partial(find_largest, detect=make_detector())
        collection = dataclasses.replace(collection, landmarks=None)
    manifest = write_records(collection, options.out, settings, detect, options.workers)
    dropped = manifest["dropped"]
    print(f"{options.out}: {manifest['images']} pictures, {len(dropped)} left out")
    for entry in dropped[:SHOWN]:
        print(f"  {entry['reason']}")
    if len(dropped) > SHOWN:
        print(f"  and {len(dropped) - SHOWN} more, in manifest.json")


def doctor(options: Namespace) -> int:
    """`elegant-tf doctor`; the exit status: 1 if something would stop or spoil a training."""
    for name in ("image_size", "batch_size"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name}={getattr(options, name)}: expected 1 or more")
    if options.most < 0 or options.needed < 0:
        raise UserError(f"--most={options.most}, --needed={options.needed:g}: expected 0 or more")
    if options.heat_map:
        check_output(options.heat_map, overwrite=True)
    launch.prepare_tensorflow()
    from elegant_tf.data.correlation import draw_heat_map
    from elegant_tf.data.doctor import examine, with_pipeline_speed

    collection = open_collection(options.data, options.data_dir, options.labels_file)
    diagnosis = examine(collection, options.attributes, options.image_size, options.batch_size, options.most, cpus())
    try:
        diagnosis = with_pipeline_speed(diagnosis, _pipeline_speed(options, list(diagnosis.attributes)), options.needed)
    except UserError as error:
        print(f"the pipeline was not timed: {str(error).splitlines()[0]}", file=sys.stderr)
    if options.heat_map:
        matrix = np.array(diagnosis.correlation, float)
        write_image(options.heat_map, draw_heat_map(matrix, list(diagnosis.attributes)), overwrite=True)
    print(json.dumps(diagnosis.as_dict(), indent=2) if options.json else diagnosis)
    return 0 if diagnosis.healthy else UNHEALTHY_STATUS


def _pipeline_speed(options: Namespace, attributes: list[str]) -> float:
    """Images a second that reach training. Raises UserError if the data cannot be trained on."""
    import tensorflow as tf

    from elegant_tf.data.pairs import BadImages, pair_dataset
    from elegant_tf.data.sampler import PairSampler
    from elegant_tf.data.sources import open_source

    source = open_source(
        options.data, options.data_dir, attributes, options.image_size, labels_file=options.labels_file
    )
    bad_images = BadImages(len(source.labels))
    batches = iter(pair_dataset(source, PairSampler(source.labels, options.batch_size, "mixed", 0), 0, bad_images))
    try:
        next(batches)
        begin = time.perf_counter()
        for _ in range(TIMED_BATCHES):
            next(batches)
    except tf.errors.OpError as error:
        raise UserError(bad_images.failure or str(error)) from error
    return TIMED_BATCHES * 2 * options.batch_size / (time.perf_counter() - begin)


def align(options: Namespace) -> None:
    """`elegant-tf align`."""
    photos = [file for path in options.input for file in list_files(path)]
    launch.prepare_tensorflow()
    from elegant_tf.data.align import align_photos

    faces = align_photos(photos, options.out, options.image_size, options.faces)
    print(f"{options.out}: {len(faces)} faces from {len(photos)} photos")


def list_files(path: str) -> list[str]:
    """The path itself, or the files of a folder, by name, but hidden ones. Raises UserError if the folder is empty."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    if not names:
        raise UserError(f"{path}: is an empty folder; expected pictures in it")
    return [os.path.join(path, name) for name in names]
