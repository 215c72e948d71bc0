"""Everything behind and below the face: backdrop, neck, shoulders and clothes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.colour import WHITE, Colour, luminance, mix, shade
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.identity import Backdrop, Clothes, Identity
from elegant_tf.synthetic.shapes import box, curve, ellipse, smooth, symmetric


@lru_cache(maxsize=1)
def _ramps() -> tuple[Image.Image, Image.Image]:
    """Masks of 64 × 64 pixels that rise from 0 to 255: one from top to bottom, one from the centre outwards."""
    grid = (np.arange(64) + 0.5) / 64
    linear = np.broadcast_to(255 * grid[:, None], (64, 64))
    radial = 255 * np.minimum(1, np.hypot(grid[:, None] - 0.4, grid[None, :] - 0.5) / 0.75) ** 1.4
    rising, outward = (Image.fromarray(ramp.round().astype(np.uint8)) for ramp in (linear, radial))
    return rising, outward


def _wash(canvas: Canvas, backdrop: Backdrop) -> None:
    """Blends the second colour into the first: from the centre for a halo, else along the angle."""
    linear, radial = _ramps()
    if backdrop.kind == "halo":
        mask = radial
    else:
        mask = linear.rotate(math.degrees(backdrop.angle), Image.Resampling.BILINEAR).crop((10, 10, 54, 54))
    canvas.image.paste(backdrop.second, (0, 0), mask.resize((canvas.side, canvas.side), Image.Resampling.BILINEAR))


def _bokeh(canvas: Canvas, backdrop: Backdrop, dice: Dice) -> None:
    for _ in range(11):
        x, y, radius = dice.uniform(0, 1), dice.uniform(0, 1), dice.uniform(0.03, 0.10)
        colour = mix(mix(backdrop.first, backdrop.second, dice.uniform(0, 1)), WHITE, dice.uniform(0.2, 0.7))
        canvas.blend([ellipse(x, y, radius, corners=32), ellipse(x, y, radius * 0.86, corners=32)], colour, (0.5, 0.34))


def _stripes(canvas: Canvas, backdrop: Backdrop, dice: Dice) -> None:
    width = dice.uniform(0.05, 0.11)
    lean = dice.uniform(-0.5, 0.5)
    colour = mix(backdrop.first, backdrop.second, 0.45)
    for left in np.arange(-0.5, 1.5, 2 * width):
        canvas.fill(np.array([(left, 0), (left + width, 0), (left + width + lean, 1), (left + lean, 1)]), colour)


def _hills(canvas: Canvas, backdrop: Backdrop, dice: Dice) -> None:
    _wash(canvas, backdrop)
    for layer in range(3):
        heights = [dice.uniform(-0.05, 0.05) + 0.42 + 0.15 * layer for _ in range(6)]
        ridge = curve([(i / 5 * 1.2 - 0.1, height) for i, height in enumerate(heights)])
        colour = shade(mix(backdrop.second, (70, 110, 100), 0.45), 1.0 - 0.16 * layer)
        canvas.fill(np.concatenate([ridge, [(1.1, 1.1), (-0.1, 1.1)]]), colour)


def _wall(canvas: Canvas, backdrop: Backdrop, dice: Dice) -> None:
    """Draws a wall with a frame or a window at each side."""
    _wash(canvas, backdrop)
    for side in (0, 1):
        x, y = side + dice.uniform(-0.08, 0.08), dice.uniform(0.1, 0.5)
        w, h = dice.uniform(0.09, 0.2), dice.uniform(0.12, 0.24)
        canvas.fill(box(x - w - 0.02, y - h - 0.02, x + w + 0.02, y + h + 0.02), mix(backdrop.second, WHITE, 0.6))
        canvas.fill(box(x - w, y - h, x + w, y + h), shade(mix(backdrop.first, backdrop.second, 0.6), 0.8))


def _dots(canvas: Canvas, backdrop: Backdrop, dice: Dice) -> None:
    step, radius = dice.uniform(0.1, 0.16), dice.uniform(0.016, 0.034)
    colour = mix(backdrop.first, backdrop.second, 0.5)
    for row, y in enumerate(np.arange(0.03, 1, step)):
        for x in np.arange(0.02 + step / 2 * (row % 2), 1, step):
            if abs(x - 0.5) > 0.22:
                canvas.fill(ellipse(x, y, radius, corners=12), colour)


def draw_backdrop(canvas: Canvas, backdrop: Backdrop) -> None:
    """Draws everything behind the person; it does not move with the pose."""
    canvas = canvas.unmoved()
    dice = Dice("backdrop", backdrop.seed)
    if backdrop.kind in ("gradient", "halo"):
        _wash(canvas, backdrop)
    patterns = {"bokeh": _bokeh, "stripes": _stripes, "hills": _hills, "wall": _wall, "dots": _dots}
    if backdrop.kind in patterns:
        patterns[backdrop.kind](canvas, backdrop, dice)


def draw_body(canvas: Canvas, who: Identity) -> None:
    """Draws neck, its shadow under the chin, shoulders and clothes."""
    head, clothes = who.head, who.clothes
    neck = min(head.jaw * 0.80, 0.175)
    top = 0.955 - 0.02 * clothes.shoulder
    outline = [(neck * 0.9, 0.70), (neck, 0.90), (neck * 1.15, 0.97), (0.42, 1.02), (0.5, 1.12)]
    canvas.fill(smooth(symmetric(outline)), shade(head.skin, 0.90))
    canvas.soft([smooth(symmetric([(neck, 0.70), (neck * 1.1, 0.93), (0, 0.985)]))], _dark(head.skin), 0.62, 0.05)
    shoulders = smooth(
        symmetric([(0, 0.99), (neck * 1.02, top), (neck * 1.5, top - 0.005), (0.40, top + 0.03), (0.56, 1.15)])
    )
    canvas.inside([shoulders], clothes.colour, lambda inner: _cloth(inner, clothes, neck, head.skin))


def _dark(skin: Colour) -> Colour:
    return mix(shade(skin, 0.55), (110, 40, 40), 0.12)


def _cloth(canvas: Canvas, clothes: Clothes, neck: float, skin: Colour) -> None:
    canvas.glow(0.5, 1.02, 0.5, 0.16, shade(clothes.colour, 0.7), 0.6)
    trim = shade(clothes.colour, 0.78 if luminance(clothes.colour) > 90 else 1.35)
    if clothes.kind == "turtleneck":
        canvas.fill(smooth(symmetric([(0, 0.93), (neck * 1.12, 0.92), (neck * 1.25, 1.05), (0, 1.08)])), trim)
    elif clothes.kind in ("v_neck", "scoop"):
        depth = 1.05 if clothes.kind == "v_neck" else 1.01
        canvas.fill(np.array([(0.5 - neck * 1.1, 0.9), (0.5 + neck * 1.1, 0.9), (0.5, depth)]), shade(skin, 0.85))
        canvas.line(np.array([(0.5 - neck * 1.2, 0.93), (0.5, depth), (0.5 + neck * 1.2, 0.93)]), 0.014, trim)
    elif clothes.kind in ("shirt", "suit"):
        if clothes.kind == "suit":
            canvas.fill(np.array([(0.5 - neck, 0.93), (0.5 + neck, 0.93), (0.5, 1.1)]), (240, 240, 240))
            canvas.fill(np.array([(0.475, 0.97), (0.525, 0.97), (0.545, 1.1), (0.455, 1.1)]), clothes.second)
        for side in (-1, 1):
            collar = [
                (0, 0.985),
                (side * neck * 1.15, 0.93),
                (side * neck * 1.35, 0.965),
                (side * 0.07, 1.04),
            ]
            canvas.fill(np.array(collar) + (0.5, 0), trim if clothes.kind == "shirt" else (250, 250, 250))
    elif clothes.kind == "hoodie":
        canvas.line(
            curve(np.array([(-0.3, 0.93), (-0.15, 1.0), (0, 1.03), (0.15, 1.0), (0.3, 0.93)]) + (0.5, 0)),
            0.05,
            trim,
        )
    else:
        canvas.line(
            curve(np.array([(-0.2, 0.93), (-0.12, 0.985), (0, 1.0), (0.12, 0.985), (0.2, 0.93)]) + (0.5, 0)),
            0.02,
            trim,
        )
