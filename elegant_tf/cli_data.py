"""The commands of `elegant-tf` that are about data."""

from __future__ import annotations

from argparse import Namespace

from elegant_tf import launch
from elegant_tf.data.preparation import Settings
from elegant_tf.data.sources import open_collection

SHOWN = 5  # pictures left out that are printed


def prepare(options: Namespace) -> None:
    """`elegant-tf prepare`."""
    names = ("image_size", "alignment", "encoding", "quality", "shard_images")
    settings = Settings(**{name: getattr(options, name) for name in names})
    launch.prepare_tensorflow()
    from elegant_tf.data.prepare import prepare as write_records

    collection = open_collection(options.data, options.data_dir, options.labels_file)
    manifest = write_records(collection, options.out, settings, workers=options.workers)
    dropped = manifest["dropped"]
    print(f"{options.out}: {manifest['images']} pictures, {len(dropped)} left out")
    for entry in dropped[:SHOWN]:
        print(f"  {entry['reason']}")
    if len(dropped) > SHOWN:
        print(f"  and {len(dropped) - SHOWN} more, in manifest.json")
