"""Trains a generator on dressed photographs: people in accessories that are drawn on them, and the exact exchanges.

    python recipes/portraits.py --photos photos --leave_out worn.csv --run_dir=runs/portraits --minutes=180
    elegant-tf pack --run runs/portraits --out portraits

`photos` is a folder of photographs of faces; `worn.csv` says which of them wear an accessory already, see
docs/dress.md. Run the first command again after an interruption: at most five minutes of training are lost.

Every photograph is drawn in many variations: shifted, turned, scaled and mirrored a little, in another light. The two
that exchange vary independently, so that the run takes photographs that are not aligned to the pixel. Its
discriminators are untrained.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np
from targets import Exchanges, add_options, choose_exchanges, train_on

from elegant_tf.cli.options import files_of
from elegant_tf.data.parallel import Progress, cpus, map_in_order
from elegant_tf.presets import preset
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.dressing import WEARABLE, DressedPhoto, make_dressed
from elegant_tf.synthetic.photo_base import PhotoBase, load_photos
from elegant_tf.synthetic.photo_list import list_photos
from elegant_tf.synthetic.styles import make_style


def make_exchanges(photos: Sequence[PhotoBase], count: int, seed: int) -> tuple[list[list[DressedPhoto]], np.ndarray]:
    """A, B, C and D of each exchange, and what is exchanged: float32 `[M, n]`."""
    random = np.random.default_rng([seed, 1])
    attribute, both, exchanged = choose_exchanges(np.ones(len(WEARABLE)), count, random)
    made = []
    for row, (index, restyles) in enumerate(zip(attribute, both, strict=True)):
        first, second = random.choice(len(photos), 2, replace=False)
        name, dice = WEARABLE[index], Dice("exchange", seed, row)
        a, b = (make_dressed(photos[place], seed, 2 * row + side) for side, place in enumerate((first, second)))
        a = a.with_styles({name: make_style(name, dice)})
        b = b.with_styles({name: make_style(name, dice) if restyles else None})
        names = [name for name, one in zip(WEARABLE, exchanged[row], strict=True) if one]
        made.append([a, b, a.wearing(b, names), b.wearing(a, names)])
    return made, exchanged


def draw_exchanges(photos: Sequence[PhotoBase], size: int, count: int, seed: int) -> Exchanges:
    """Draws dressed photographs that exchange accessories, and the results."""
    made, exchanged = make_exchanges(photos, count, seed)
    images, progress = np.empty((count, 4, size, size, 3), np.uint8), Progress("exchanges", count)
    drawn = map_in_order(lambda photos: [photo.draw(size) for photo in photos], made, cpus())
    for row, four in enumerate(drawn):
        images[row] = four
        progress.add()
    progress.close()
    return Exchanges(images, exchanged)


def add_photo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", nargs="+", required=True, help="photographs, or folders of them")
    parser.add_argument("--landmarks", help="file of their landmarks (default: faces are found)")
    parser.add_argument("--leave_out", help="list or table of photographs that wear something already")


def read_photos(options: argparse.Namespace, size: int) -> list[PhotoBase]:
    listed = list_photos(files_of(options.photos), WEARABLE, options.landmarks, options.leave_out)
    print(f"{len(listed.paths)} photographs; {len(listed.left_out)} are left out", flush=True)
    return load_photos(listed.paths, listed.landmarks, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, minutes=180.0, count=16_000, width=40, batch_size=8, learning_rate=3e-3)
    add_photo_options(parser)
    parser.add_argument("--image_size", type=int, default=128)
    options = parser.parse_args()
    size = options.image_size
    config = preset("modern", attributes=WEARABLE, image_size=size, width=options.width, ema_half_life=300.0)
    config = config.replace(precision=options.precision, seed=options.seed, batch_size=options.batch_size)
    # What `elegant-tf dress` writes, in CelebA's layout, is like the images of this training.
    config = config.replace(data="celeba", data_dir="dressed")

    def draw() -> Exchanges:
        return draw_exchanges(read_photos(options, size), size, options.count, options.seed)

    train_on(draw, config, options)


if __name__ == "__main__":
    main()
