"""Correlated attributes: editing one of them will change the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elegant_tf.data.matching import Matcher

# Pixels of the heat map: a cell's side, the margin, the size of letters.
CELL, MARGIN, LETTERS = 28, 12, 14

# The number of images per attribute that are matched at most: enough to see differences of a few per cent.
MATCHED = 500

_NOTHING = np.array(np.nan)
_RED, _BLUE, _WHITE, _INK, _GREY = (178, 24, 43), (33, 102, 172), (255, 255, 255), (32, 33, 36), (205, 205, 205)


def correlations(labels: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the columns of labels `[M, n]`: float64 `[n, n]`, NaN where a column is constant."""
    centred = labels - labels.mean(axis=0, dtype=np.float64)
    products = centred.T @ centred
    deviations = np.sqrt(np.diag(products))
    scale = np.outer(deviations, deviations)
    return np.divide(products, scale, out=np.full_like(products, np.nan), where=scale > 0)


def pair_differences(labels: np.ndarray, match: bool) -> np.ndarray:
    """The mean difference of labels in the pairs that train each attribute: float64 `[n, n]` in [-1, 1].

    Row i is about pairs of an image A with attribute i and an image B without it: the mean of A's labels minus B's.
    It is 1 at i; 0 elsewhere if A and B differ in nothing but i; NaN throughout if all images have i or none has.

    Args:
        labels: int8 `[M, n]` in {0, 1}.
        match: whether B is as similar to A as possible in all other attributes (`--match_attributes=all`).
    """
    varying = labels.min(axis=0) < labels.max(axis=0)
    matcher = Matcher(labels) if match and varying.any() else None
    rows = [_differences(labels, i, matcher) if varies else _NOTHING for i, varies in enumerate(varying)]
    return np.array(np.broadcast_arrays(*rows, np.empty(labels.shape[1]))[:-1], np.float64)


def _differences(labels: np.ndarray, attribute: int, matcher: Matcher | None) -> np.ndarray:
    has = np.flatnonzero(labels[:, attribute])
    if matcher is None:
        without = labels[labels[:, attribute] == 0]
    else:
        has = has[:: -(-len(has) // MATCHED)]
        chances = (np.arange(len(has)) + 0.5) / len(has)
        without = labels[matcher.match(has, np.full(len(has), attribute), chances)]
    return labels[has].mean(axis=0, dtype=np.float64) - without.mean(axis=0, dtype=np.float64)


def draw_heat_map(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws a matrix `[n, n]` of values in [-1, 1] as uint8 `[H, W, 3]`: red 1, white 0, blue -1, grey NaN."""
    font = ImageFont.load_default(LETTERS)
    room = 2 * MARGIN + int(max(font.getlength(name) for name in names))
    side = len(names) * CELL
    image = Image.new("RGB", (room + side + MARGIN, room + side + MARGIN), _WHITE)
    draw = ImageDraw.Draw(image)
    for place, name in enumerate(names):
        middle = room + place * CELL + CELL // 2
        draw.text((room - MARGIN, middle), name, _INK, font, anchor="rm")
        _paste_upwards(image, name, font, middle, room - MARGIN)
    for row, column in np.ndindex(matrix.shape):
        left, top = room + column * CELL, room + row * CELL
        draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), _colour(float(matrix[row, column])))
    return np.asarray(image)


def _paste_upwards(
    image: Image.Image, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, middle: int, bottom: int
) -> None:
    label = Image.new("RGB", (int(font.getlength(text)) + 2, CELL), _WHITE)
    ImageDraw.Draw(label).text((0, CELL // 2), text, _INK, font, anchor="lm")
    label = label.transpose(Image.Transpose.ROTATE_90)
    image.paste(label, (middle - CELL // 2, bottom - label.height))


def _colour(value: float) -> tuple[int, ...]:
    if np.isnan(value):
        return _GREY
    end = np.array(_RED if value > 0 else _BLUE)
    return tuple(np.rint(255 + min(abs(value), 1.0) * (end - 255)).astype(int).tolist())
