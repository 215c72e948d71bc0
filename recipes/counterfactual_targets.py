"""Trains a generator on counterfactual targets: drawn people wearing what others wear, which only a drawing can give.

    python recipes/counterfactual_targets.py --run_dir=runs/targets --minutes=120
    elegant-tf pack --run runs/targets --out targets --flip_tta
    python train.py --preset=modern --width=56 --start_from=runs/targets --run_dir=runs/more

Run the first command again after an interruption: at most five minutes of training are lost.

The shipped model `faces` learned in this way. Every command takes the run that this writes; its discriminators are
untrained.
"""

from __future__ import annotations

import argparse

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np
from targets import Exchanges, add_options, choose_exchanges, train_on

from elegant_tf.presets import preset
from elegant_tf.synthetic import draw_faces
from elegant_tf.synthetic.source import FacesSource

# Restyled bangs are learned last: two thirds of the exchanges are about them.
SHARES = {"Eyeglasses": 1, "Bangs": 8, "Mustache": 1, "Smiling": 1, "Wearing_Hat": 1}


def draw_exchanges(people: FacesSource, count: int, seed: int) -> Exchanges:
    """Draws people who exchange attributes, and the results."""
    random = np.random.default_rng([seed, 1])
    shares = np.array([SHARES[name] for name in people.attributes], float)
    attribute, both, exchanged = choose_exchanges(shares, count, random)
    a, b = (np.empty(count, int) for _ in range(2))
    for row, (index, restyles) in enumerate(zip(attribute, both, strict=True)):
        has = people.labels[:, index]
        a[row] = random.choice(np.flatnonzero(has == 1))
        b[row] = random.choice(np.flatnonzero(has == int(restyles)))
    names = [[name for name, one in zip(people.attributes, row, strict=True) if one] for row in exchanged]
    wearers = [people.faces[i].wearing(people.faces[j], given) for i, j, given in zip(a, b, names, strict=True)]
    wearers += [people.faces[j].wearing(people.faces[i], given) for i, j, given in zip(a, b, names, strict=True)]
    c, d = np.split(draw_faces(wearers, people.image_size, workers=None), 2)
    return Exchanges(np.stack([people.images[a], people.images[b], c, d], axis=1), exchanged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, minutes=120.0, count=40_000, width=56, batch_size=16, learning_rate=4e-3)
    parser.add_argument("--people", type=int, default=16_000, help="faces to draw")
    options = parser.parse_args()
    config = preset("modern", width=options.width, faces_count=options.people, ema_half_life=300.0, seed=options.seed)
    config = config.replace(precision=options.precision)
    attributes, size = config.model.attributes, config.model.image_size

    def draw() -> Exchanges:
        people = FacesSource(attributes, size, options.seed, options.people, workers=None)
        return draw_exchanges(people, options.count, options.seed)

    train_on(draw, config, options)


if __name__ == "__main__":
    main()
