"""Eyeglasses, hats and mustaches drawn on a photo: in its pose, its light and the shadow of its skin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from elegant_tf.synthetic.canvas import Affine, Canvas
from elegant_tf.synthetic.colour import Colour
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.eyeglasses import draw_eyeglasses
from elegant_tf.synthetic.hats import HAT_ROOM, draw_hat
from elegant_tf.synthetic.identity import MOUTH_Y, NOSE_Y, Identity, Light, make_identity
from elegant_tf.synthetic.mustache import draw_mustache
from elegant_tf.synthetic.photo_base import PhotoBase, eyes_frame, skull_frame
from elegant_tf.synthetic.shapes import Shape
from elegant_tf.synthetic.styles import Styles

# Photos show more of a head than drawn faces do: a hat sits higher, and is larger.
_HAT_SCALE = 1.16
_HAT_EDGE, _HAT_EDGE_ON_PHOTO = 0.268, 0.25
_HAT_ROOM = 0.02
_NARROWEST, _WIDEST = 0.30, 0.42  # half widths of heads with hair
_MOST_ASIDE = 0.04

# Where the upper lip begins and ends between the tip of the nose and the mouth, on drawn faces and on photos.
_LIP = (0.034 / (MOUTH_Y - NOSE_Y), 1 - 0.006 / (MOUTH_Y - NOSE_Y))
_LIP_ON_PHOTO = (0.36, 0.93)
_NOSE_BASE = 0.5  # how far the base of a turned nose is beside the mouth, of its tip

# Half the width of a face beside the eyes, the outer edge of most lenses, and the length of an arm from there.
_FACE, _LENS_EDGE, _TEMPLE = 0.299, 0.217, 0.35

_COLOURS = ("frame", "tint", "colour", "band")


class PhotoCanvas(Canvas):
    """A canvas on a photo. Soft shapes are shadows: they darken skin to their colour, and all else by as much.

    Shadows fall on the head alone, at most `width` from the middle of the figure.
    """

    def __init__(self, image: Image.Image, figure: Affine, skin: Colour, width: float) -> None:
        super().__init__(image, image.width, figure)
        self._skin, self._width = skin, width

    def soft(self, shapes: Sequence[Shape], colour: Colour, opacity: float, blur: float) -> None:
        edges = np.array((0.5 - self._width, -np.inf)), np.array((0.5 + self._width, np.inf))
        super().soft([np.clip(shape, *edges) for shape in shapes], colour, opacity, blur)

    def _lay_softly(self, colour: Colour, corner: tuple[int, int], mask: Image.Image) -> None:
        red, green, blue = (min(255, 255 * dark // max(lit, 1)) for dark, lit in zip(colour, self._skin, strict=True))
        shadow = Image.composite(
            Image.new("RGB", mask.size, (red, green, blue)), Image.new("RGB", mask.size, (255, 255, 255)), mask
        )
        box = (*corner, corner[0] + mask.width, corner[1] + mask.height)
        self.image.paste(ImageChops.multiply(self.image.crop(box), shadow), corner)


def dress(image: Image.Image, base: PhotoBase, styles: Styles, moved: Affine) -> None:
    """Draws the accessories of `styles` on the square image of a base, moved from its frame by `moved`."""
    who = _wearer(base)

    def canvas(frame: Affine) -> Canvas:
        return PhotoCanvas(image, chain(frame, moved), who.head.skin, who.head.width)

    if styles.Mustache:
        draw_mustache(canvas(mouth_frame(base)), who, _lit(styles.Mustache, base))
    if styles.Eyeglasses:
        draw_eyeglasses(canvas(eyes_frame(base.points)), who, _lit(styles.Eyeglasses, base), _arms(base))
    if styles.Wearing_Hat:
        draw_hat(canvas(hat_frame(base)), who, _lit(styles.Wearing_Hat, base))


def chain(first: Affine, second: Affine) -> Affine:
    """The affine map that does the first, then the second."""
    return first[0] @ second[0], first[1] @ second[0] + second[1]


def mouth_frame(base: PhotoBase) -> Affine:
    """Maps the upper lip of a drawn figure to the photo's."""
    matrix, _ = eyes_frame(base.points)
    nose, mouth = base.points[2], base.points[3:].mean(axis=0)
    along = base.points[4] - base.points[3]
    across = matrix[0] + 0.5 * (along / np.linalg.norm(along) * np.linalg.norm(matrix[0]) - matrix[0])
    unit = np.array((-across[1], across[0])) / np.linalg.norm(across)
    gap = mouth - nose
    beside = gap - unit * np.dot(gap, unit)
    nose = nose + beside * (1 - _NOSE_BASE)
    gap = mouth - nose
    top, bottom = (nose + gap * share for share in _LIP_ON_PHOTO)
    start, end = (NOSE_Y + share * (MOUTH_Y - NOSE_Y) for share in _LIP)
    down = (bottom - top) / (end - start)
    result = np.stack([across, down])
    return result, top - np.array((0.5, start)) @ result


def hat_frame(base: PhotoBase) -> Affine:
    """Maps the head of a drawn figure to the photo's, where a hat is."""
    matrix, shift = skull_frame(base.points)
    aside = float(np.clip((base.head[1] - base.head[0]) / 2, -_MOST_ASIDE, _MOST_ASIDE))
    edge = np.array((0.5 + aside, _HAT_EDGE_ON_PHOTO)) @ matrix + shift
    return matrix * _HAT_SCALE, edge - np.array((0.5, _HAT_EDGE)) @ (matrix * _HAT_SCALE)


def _arms(base: PhotoBase) -> tuple[float, float]:
    """How far the arms of glasses reach: to the ear, or to hair before it."""
    aside = _TEMPLE * math.tan(base.turn)
    ears = (_FACE + aside, _FACE - aside)
    left, right = (max(_LENS_EDGE, min(ear, skin)) for ear, skin in zip(ears, base.temples, strict=True))
    return left, right


def _lit(style: Any, base: PhotoBase) -> Any:
    """A style in the photo's light."""
    colours = {name: getattr(style, name) for name in _COLOURS if hasattr(style, name)}
    return replace(
        style,
        **{
            name: tuple(min(255, round(part * gain)) for part, gain in zip(colour, base.exposure, strict=True))
            for name, colour in colours.items()
        },
    )


_ANYONE = make_identity(Dice("wearer of accessories"))


def _wearer(base: PhotoBase) -> Identity:
    """A drawn person with the photo's skin, light and width of the head under a hat, upright and from the front."""
    return replace(
        _ANYONE,
        pose=replace(_ANYONE.pose, turn=0.0),
        head=replace(_ANYONE.head, skin=base.skin, width=_width(base)),
        nose=replace(_ANYONE.nose, length=0.0),
        hair=replace(_ANYONE.hair, cut="crop"),
        light=Light(angle=0.0 if base.light >= 0 else math.pi, strength=0.15, warmth=0.0),
    )


def _width(base: PhotoBase) -> float:
    """Half the width of the drawn head on which a hat is as wide as it must be on the photo's."""
    width = min(max(sum(base.head) / 2, _NARROWEST), _WIDEST)
    return (width + _HAT_ROOM) / _HAT_SCALE - HAT_ROOM
