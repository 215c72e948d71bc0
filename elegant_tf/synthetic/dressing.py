"""Photos dressed in the accessories of drawn faces, and the exact target of every edit of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from elegant_tf.names import find_attributes
from elegant_tf.synthetic.accessories import dress
from elegant_tf.synthetic.canvas import Affine
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.drawing import SMALLEST_CANVAS
from elegant_tf.synthetic.photo_base import DETAIL, MARGIN, PhotoBase
from elegant_tf.synthetic.styles import PRESENCE, Style, Styles, make_style

WEARABLE: tuple[str, ...] = ("Eyeglasses", "Wearing_Hat", "Mustache")
"""The attributes that a photo can be dressed in."""

DIRECTIONS = {"add": (False, True), "remove": (True, False), "restyle": (True, True)}
"""Whether the input and the exemplar of a counterfactual have the attribute."""

_MIDDLE = np.array((0.5, 0.55))


@dataclass(frozen=True)
class Variation:
    """What makes another image of the same photo: a small similarity, a mirror, light and colour.

    `shift` in fractions of the side; `scale`; `angle` in radians, clockwise; `mirror`; `gain` of red, green and blue;
    `saturation`; `gamma`.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    angle: float = 0.0
    mirror: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    gamma: float = 1.0

    def affine(self) -> Affine:
        """Maps points of the frame to points of the image; the mirror comes before it."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        matrix = np.array(((cos, sin), (-sin, cos)))
        return matrix, _MIDDLE + self.shift - _MIDDLE @ matrix


UNVARIED = Variation()
UNDRESSED = Styles()


def make_variation(dice: Dice) -> Variation:
    """Chooses a variation at random."""
    light, warmth = dice.around(0.22), dice.around(0.08)
    return Variation(
        shift=(dice.around(0.035), dice.around(0.035)),
        scale=1 + dice.around(0.09),
        angle=dice.around(0.11),
        mirror=dice.chance(0.5),
        gain=(1 + light + warmth, 1 + light, 1 + light - warmth),
        saturation=1 + dice.around(0.35),
        gamma=1 + dice.around(0.25),
    )


@dataclass(frozen=True)
class DressedPhoto:
    """A photo in one variation, and the style of each accessory that it is dressed in.

    `styles`: as those of a `Face`; only `WEARABLE` ones are drawn.
    """

    base: PhotoBase
    variation: Variation = UNVARIED
    styles: Styles = UNDRESSED

    def labels(self, attributes: Sequence[str] = WEARABLE) -> np.ndarray:
        """int8 `[n]`, 1 where the photo is dressed in the attribute."""
        return np.array([getattr(self.styles, name) is not None for name in attributes], np.int8)

    def landmarks(self, size: int) -> np.ndarray:
        """float32 `[5, 2]`, x and y in pixels, in the order of `landmarks.POINTS`."""
        matrix, shift = self.variation.affine()
        return ((self._seen.points @ matrix + shift) * size - 0.5).astype(np.float32)

    def wearing(self, exemplar: DressedPhoto, attributes: Sequence[str]) -> DressedPhoto:
        """This photo with the exemplar's style of each of `attributes`, or without those that the exemplar lacks.

        Raises `UserError` for a name that is not in `WEARABLE`.
        """
        if attributes:
            find_attributes(attributes, WEARABLE)
        return self.with_styles({name: getattr(exemplar.styles, name) for name in attributes})

    def with_styles(self, styles: dict[str, Style | None]) -> DressedPhoto:
        """This photo with other styles of some attributes, by name; None removes the accessory."""
        return DressedPhoto(self.base, self.variation, self.styles._replace(**dict[str, Any](styles)))

    def draw(self, size: int) -> np.ndarray:
        """uint8 `[size, size, 3]` RGB."""
        factor = max(DETAIL, math.ceil(SMALLEST_CANVAS / size))
        seen, moved = self._seen, self.variation.affine()
        image = _placed(seen, moved, size * factor)
        dress(image, seen, self.styles, moved)
        return np.asarray(_coloured(image.reduce(factor), self.variation))

    @property
    def _seen(self) -> PhotoBase:
        return self.base.mirrored() if self.variation.mirror else self.base


def make_dressed(base: PhotoBase, seed: int, index: int, attributes: Sequence[str] = WEARABLE) -> DressedPhoto:
    """Dressed photo number `index` of a seed: its variation and styles are a function of the two numbers alone.

    Each of `attributes` is present with probability `PRESENCE`, independently of the others. Raises `UserError` for a
    name that is not in `WEARABLE`.
    """
    if attributes:
        find_attributes(attributes, WEARABLE)
    dice = Dice("dressed", seed, index)
    return DressedPhoto(base, make_variation(dice), _styles(dice, attributes))


@dataclass(frozen=True)
class DressedCounterfactual:
    """An edit of a photo with its known target: `input` wearing the `exemplar`'s `attributes`.

    `direction`: whether the attribute is added, removed or restyled.
    """

    input: DressedPhoto
    exemplar: DressedPhoto
    attributes: tuple[str, ...]
    direction: str

    @property
    def target(self) -> DressedPhoto:
        """The photo that a perfect edit shows."""
        return self.input.wearing(self.exemplar, self.attributes)


def make_dressed_counterfactuals(
    bases: Sequence[PhotoBase], seed: int, count: int, attributes: Sequence[str] = WEARABLE
) -> Iterator[DressedCounterfactual]:
    """Edits of photos, `count` for each attribute and each of `DIRECTIONS`. The photos take turns.

    Input and exemplar are different photos, if there are two. Their variations and styles are a function of `seed` and
    the edit's place alone, and differ from those of `make_dressed`. Raises `UserError` for an unknown name.
    """
    find_attributes(attributes, WEARABLE)
    for name in attributes:
        for direction, present in DIRECTIONS.items():
            for index in range(count):
                places = _two_of(len(bases), index)
                dice = Dice("dressed, held out", seed, name, direction, index)
                photos = [
                    DressedPhoto(bases[place], make_variation(dice), _styles(dice, attributes)).with_styles(
                        {name: make_style(name, dice) if has else None}
                    )
                    for place, has in zip(places, present, strict=True)
                ]
                yield DressedCounterfactual(photos[0], photos[1], (name,), direction)


def _two_of(count: int, index: int) -> tuple[int, int]:
    """Pair number `index` of two of `count` photos; each is first in turn."""
    apart = 1 + index // count % max(1, count - 1)
    return index % count, (index + apart) % count


def _styles(dice: Dice, attributes: Sequence[str]) -> Styles:
    """Chooses independently for each attribute whether it is present, and in which style."""
    chosen = {name: make_style(name, dice) if dice.chance(PRESENCE) else None for name in attributes}
    return UNDRESSED._replace(**dict[str, Any](chosen))


def _placed(base: PhotoBase, moved: Affine, side: int) -> Image.Image:
    """The frame of a base, moved, as an image of this side in pixels."""
    matrix, shift = moved
    unit = base.image.width / (1 + 2 * MARGIN)
    back = np.linalg.inv(matrix)
    # From pixels of the image to those of the base; Pillow's coordinates are those of their edges.
    (xx, xy), (yx, yy) = (back * unit / side).tolist()
    x, y = ((MARGIN - shift @ back) * unit).tolist()
    return base.image.transform((side, side), Image.Transform.AFFINE, (xx, yx, x, xy, yy, y), Image.Resampling.BILINEAR)


def _coloured(image: Image.Image, variation: Variation) -> Image.Image:
    """The image in the variation's light and colour."""
    if variation.saturation != 1:
        grey, own = 1 - variation.saturation, variation.saturation
        r, g, b = 0.299 * grey, 0.587 * grey, 0.114 * grey
        image = image.convert("RGB", (r + own, g, b, 0, r, g + own, b, 0, r, g, b + own, 0))
    if variation.gamma != 1 or variation.gain != (1, 1, 1):
        image = image.point(_curves(variation.gain, variation.gamma))
    return image


@lru_cache(maxsize=256)
def _curves(gain: tuple[float, float, float], gamma: float) -> list[int]:
    """Three tables of 256 values. Gains are in linear light; bright parts are compressed, not clipped."""
    value = (np.arange(256) / 255) ** gamma
    tables = []
    for factor in gain:
        lit = value * factor / (1 + max(0.0, factor - 1) * value)
        tables.append(np.clip(np.rint(255 * lit), 0, 255))
    return [int(one) for one in np.concatenate(tables)]
