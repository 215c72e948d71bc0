"""Makes a catalogue of two dozen styles for a run that was trained by `recipes/portraits.py`.

    elegant-tf pack --run runs/portraits --out portraits
    python recipes/portraits_catalogue.py --run portraits --photos photos --leave_out worn.csv \
        --out portraits/exemplars.npz

Each style is drawn on several photographs. The mean of their codes is its exemplar: a code of nobody's face. Thumbnails
are drawn faces in the same style, so that the catalogue holds no picture of a person.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np
from portraits import add_photo_options, read_photos

from elegant_tf.catalogue import Catalogue, Exemplar
from elegant_tf.editor import THUMBNAIL_SIZE, Editor
from elegant_tf.synthetic import make_face
from elegant_tf.synthetic.dressing import WEARABLE, DressedPhoto
from elegant_tf.synthetic.photo_base import PhotoBase
from elegant_tf.synthetic.styles import LENSES, Eyeglasses, Mustache, Style, WearingHat

BLACK, BROWN, GOLD, SILVER, RED = (24, 24, 28), (70, 36, 20), (198, 158, 70), (176, 180, 186), (150, 30, 40)
CLEAR, DARK, ROSE = ((214, 232, 244), 0.10), ((18, 18, 24), 0.9), ((240, 140, 160), 0.45)


def glasses(shape: str, frame: tuple[int, int, int], glass=CLEAR, thickness: float = 0.015) -> Eyeglasses:
    width, height = LENSES[shape]
    return Eyeglasses(shape, width, height, thickness, frame, *glass)


def mustache(shape: str, colour: tuple[int, int, int]) -> Mustache:
    return Mustache(shape, width=0.125, thickness=1.05, colour=colour)


def hat(kind: str, colour: tuple[int, int, int], band: tuple[int, int, int] = (40, 44, 58)) -> WearingHat:
    return WearingHat(kind, colour, band, side=1)


STYLES: dict[str, Style] = {
    "aviator": glasses("aviator", GOLD, thickness=0.012),
    "aviator_dark": glasses("aviator", GOLD, DARK, thickness=0.012),
    "round": glasses("round", BLACK, thickness=0.013),
    "round_gold": glasses("round", GOLD, thickness=0.012),
    "square": glasses("square", BROWN, thickness=0.018),
    "wayfarer": glasses("wayfarer", BLACK, thickness=0.020),
    "sunglasses": glasses("wayfarer", BLACK, DARK, thickness=0.020),
    "cat_eye": glasses("cat_eye", RED, thickness=0.017),
    "rose": glasses("round", SILVER, ROSE, thickness=0.012),
    "reading": glasses("narrow", SILVER, thickness=0.012),
    "chevron": mustache("chevron", (56, 36, 24)),
    "handlebar": mustache("handlebar", (26, 20, 18)),
    "walrus": mustache("walrus", (74, 44, 26)),
    "walrus_grey": mustache("walrus", (128, 124, 122)),
    "pencil": mustache("pencil", (26, 20, 18)),
    "horseshoe": mustache("horseshoe", (176, 88, 34)),
    "beanie": hat("beanie", (36, 74, 128), (206, 158, 62)),
    "beanie_red": hat("beanie", (150, 38, 44), (222, 214, 198)),
    "cap": hat("cap", (150, 38, 44)),
    "fedora": hat("fedora", (118, 84, 58)),
    "straw": hat("fedora", (222, 214, 198), (150, 38, 44)),
    "top_hat": hat("top_hat", (58, 58, 60), (150, 38, 44)),
    "beret": hat("beret", (40, 44, 58), (150, 38, 44)),
    "cowboy": hat("cowboy", (206, 158, 62), (118, 84, 58)),
}


def attribute_of(style: Style) -> str:
    return dict(zip((Eyeglasses, WearingHat, Mustache), WEARABLE, strict=True))[type(style)]


def make_exemplar(editor: Editor, name: str, style: Style, photos: Sequence[PhotoBase]) -> Exemplar:
    """The mean code of photographs in a style, with a drawn face in it as the thumbnail."""
    worn = {attribute_of(style): style}
    codes = editor.encode([DressedPhoto(photo).with_styles(worn).draw(editor.image_size) for photo in photos])
    drawn = make_face(0, 18).with_styles({**dict.fromkeys(WEARABLE), **worn}).draw(THUMBNAIL_SIZE)
    return Exemplar(codes.mean(0), name, editor.model, tuple(worn), drawn)


def make_catalogue(editor: Editor, photos: Sequence[PhotoBase]) -> Catalogue:
    return editor.collect([make_exemplar(editor, name, style, photos) for name, style in STYLES.items()], WEARABLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run directory, packed: its catalogue fits no other weights")
    add_photo_options(parser)
    parser.add_argument("--count", type=int, default=8, help="photographs for each style")
    parser.add_argument("--out", required=True, help="file to write")
    options = parser.parse_args()
    editor = Editor.load(options.run)
    photos = read_photos(options, editor.image_size)
    chosen = np.linspace(0, len(photos) - 1, min(options.count, len(photos))).round().astype(int)
    make_catalogue(editor, [photos[place] for place in chosen]).write(options.out)
    print(f"{options.out}: {len(STYLES)} styles")


if __name__ == "__main__":
    main()
