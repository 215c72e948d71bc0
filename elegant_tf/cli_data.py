"""The commands of `elegant-tf` that are about data."""

from __future__ import annotations

import dataclasses
import functools
import os
from argparse import Namespace

from elegant_tf import launch
from elegant_tf.data.preparation import Settings
from elegant_tf.data.sources import open_collection
from elegant_tf.errors import UserError

SHOWN = 5  # pictures left out that are printed


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
