"""Trains a narrow generator on the edits of a wider one, its teacher: for phones, and on images without targets.

    python recipes/distill.py --teacher portraits --data_dir=dressed --width=24 --run_dir=runs/mobile --minutes=60
    elegant-tf tflite --run runs/mobile --out phone --data_dir dressed

The teacher edits pairs of training images, which takes a while; the student learns to make the same edits. Run the
first command again after an interruption: at most five minutes of training are lost. The run's discriminators are
untrained.
"""

from __future__ import annotations

import argparse
import dataclasses

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np
from targets import Exchanges, add_options, choose_exchanges, train_on

from elegant_tf.cli.options import add_other_data
from elegant_tf.data.parallel import Progress
from elegant_tf.data.source import Source
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.evaluate import evaluated_on
from elegant_tf.presets import preset
from elegant_tf.rundir import read_config
from elegant_tf.sources import open_source

AT_ONCE = 64  # exchanges that the teacher makes between two lines of progress


def choose_pairs(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of A and of B, int `[M]` each, and what they exchange, float32 `[M, n]`; `labels`: int `[N, n]`."""
    random = np.random.default_rng([seed, 1])
    attribute, both, exchanged = choose_exchanges(np.ones(labels.shape[1]), count, random)
    a, b = (np.empty(count, int) for _ in range(2))
    for row, (index, restyles) in enumerate(zip(attribute, both, strict=True)):
        has, lacks = (np.flatnonzero(labels[:, index] == value) for value in (1, 0))
        if len(has) < 2 or not len(lacks):
            raise UserError("every attribute must be present in two training images or more, and absent in others")
        a[row] = random.choice(has)
        b[row] = random.choice(has[has != a[row]] if restyles else lacks)
    return a, b, exchanged


def teach(teacher: Editor, source: Source, count: int, seed: int) -> Exchanges:
    """Exchanges of the source's images as the teacher makes them."""
    a, b, exchanged = choose_pairs(source.labels, count, seed)
    loaded = {row: source.load(row) for row in np.unique([a, b]).tolist()}
    images = np.empty((count, 4, teacher.image_size, teacher.image_size, 3), np.uint8)
    images[:, :2] = [[loaded[first], loaded[second]] for first, second in zip(a.tolist(), b.tolist(), strict=True)]
    progress = Progress("exchanges", count)
    for start in range(0, count, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        for own, other, place in ((0, 1, 2), (1, 0, 3)):
            exemplars = images[part, other][:, None]
            images[part, place] = teacher.edit(images[part, own], exemplars, exchanged[part][:, None])
        progress.add(len(images[part]))
    progress.close()
    return Exchanges(images, exchanged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, minutes=60.0, count=4000, width=24, batch_size=8, learning_rate=3e-3)
    parser.add_argument("--teacher", required=True, help="run directory, or the name of a shipped model")
    add_other_data(parser, "to learn on")
    options = parser.parse_args()
    own = read_config(options.teacher)
    config, targets_dir = evaluated_on(own, options.data, options.data_dir, options.labels_file)
    if targets_dir:  # in the layout of CelebA
        config = config.replace(data="celeba", data_dir=targets_dir)
    model = own.model
    kept = {"attributes": model.attributes, "image_size": model.image_size, "depth": model.depth}
    student = preset("mobile", **kept, width=options.width, seed=options.seed)
    student = dataclasses.replace(student, data=config.data)
    student = student.replace(precision=options.precision, batch_size=options.batch_size)

    def draw() -> Exchanges:
        source = open_source(student.data, model.attributes, model.image_size, "train", options.seed)
        return teach(Editor.load(options.teacher), source, options.count, options.seed)

    train_on(draw, student, options)


if __name__ == "__main__":
    main()
