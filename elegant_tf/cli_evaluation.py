"""The commands of `elegant-tf` that measure what was learned."""

from __future__ import annotations

import dataclasses
from argparse import Namespace

from elegant_tf import launch
from elegant_tf.config import Config

# Fields of a run's configuration that options of the same names replace.
_REPLACED = ("data", "data_dir", "labels_file", "attributes", "image_size", "seed")

# Faces to test on, for each face to learn from.
_TEST_SHARE = 0.25


def train_classifier(options: Namespace) -> None:
    """`elegant-tf train-classifier`."""
    config = _config(options)
    launch.prepare_tensorflow()
    from elegant_tf.data.sources import open_source
    from elegant_tf.evaluation import classifier as classifiers

    classifiers.check_new(options.out)
    training = classifiers.Training(steps=options.steps, batch_size=options.batch_size, seed=config.seed)
    place = (config.data, config.data_dir, config.attributes, config.image_size, config.seed)
    counts = {"train": config.faces_count, "test": round(config.faces_count * _TEST_SHARE)}
    source, test_source = (
        open_source(*place, count=count, split=split, labels_file=config.labels_file) for split, count in counts.items()
    )
    classifier = classifiers.train_classifier(source, test_source, training)
    classifier.settings = {**classifier.settings, "data": config.data, "images": len(source.labels)}
    classifier.save(options.out)
    print(classifiers.accuracy_table(classifier.accuracies), options.out, sep="\n")


def _config(options: Namespace) -> Config:
    """The run's configuration, or the defaults, with what the options say; its checks are the options' checks."""
    # The least depth: of a classifier's picture only small sides are refused.
    base = Config.load(options.run) if options.run else Config(image_size=64, depth=2)
    given = {name: getattr(options, name) for name in _REPLACED if getattr(options, name) is not None}
    return dataclasses.replace(base, **given)
