"""Hats, and the shadow that they cast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.colour import BLACK, WHITE, Colour, luminance, mix, shade
from elegant_tf.synthetic.features import shadow_of
from elegant_tf.synthetic.hair import CURLY
from elegant_tf.synthetic.identity import Identity
from elegant_tf.synthetic.shapes import Shape, curve, ellipse, smooth, symmetric
from elegant_tf.synthetic.styles import WearingHat

# Right halves of symmetric outlines, from top to bottom. (k, d, y) is the point k · w + d to the right of the middle
# and y below the top, where w is half the width of the head under the hat.
BEANIE = ((0, 0, -0.04), (0.55, 0, -0.01), (0.92, 0, 0.09), (1, 0, 0.22), (0.6, 0, 0.245), (0, 0, 0.25))
CUFF = (
    (0, 0, 0.142), (0.6, 0, 0.132), (1, 0, 0.112), (1, 0.014, 0.18), (1, 0.004, 0.258), (0.6, 0, 0.278),
    (0, 0, 0.288),
)  # fmt: skip
CAP = ((0, 0, -0.015), (0.55, 0, 0.01), (0.93, 0, 0.10), (1, 0.004, 0.24), (0.5, 0, 0.215), (0, 0, 0.21))
PEAK = (
    (0, 0, 0.172), (0.6, 0, 0.18), (0.98, 0, 0.228), (1.04, 0, 0.276), (0.8, 0, 0.272), (0.4, 0, 0.258),
    (0, 0, 0.254),
)  # fmt: skip
FEDORA = (
    (0, 0, 0.005), (0.3, 0, -0.028), (0.66, 0, -0.01), (0.82, 0, 0.08), (0.93, 0, 0.205), (0.5, 0, 0.23),
    (0, 0, 0.236),
)  # fmt: skip
FEDORA_BRIM = (
    (0, 0, 0.175), (0.9, 0, 0.165), (1, 0.115, 0.15), (1, 0.13, 0.185), (0.95, 0, 0.245), (0.5, 0, 0.268),
    (0, 0, 0.275),
)  # fmt: skip
TOP_HAT = (
    (0, 0, -0.12), (0.9, 0, -0.12), (0.99, 0, -0.10), (0.92, 0, 0.03), (0.85, 0, 0.18), (0.82, 0, 0.205),
    (0.5, 0, 0.22), (0, 0, 0.23),
)  # fmt: skip
TOP_HAT_BRIM = (
    (0, 0, 0.185), (0.9, 0, 0.175), (1, 0.075, 0.15), (1, 0.09, 0.19), (0.95, 0, 0.24), (0.5, 0, 0.258),
    (0, 0, 0.264),
)  # fmt: skip
COWBOY = (
    (0, 0, 0.03), (0.26, 0, -0.02), (0.6, 0, -0.03), (0.78, 0, 0.06), (0.88, 0, 0.2), (0.5, 0, 0.236),
    (0, 0, 0.246),
)  # fmt: skip
COWBOY_BRIM = (
    (0, 0, 0.19), (0.8, 0, 0.17), (1, 0.08, 0.09), (1, 0.15, 0.045), (1, 0.15, 0.11), (1.08, 0, 0.215),
    (0.6, 0, 0.268), (0, 0, 0.282),
)  # fmt: skip
BERET_BAND = (
    (0, 0, 0.218), (0.6, 0, 0.212), (0.985, 0, 0.205), (0.99, 0, 0.25), (0.6, 0, 0.266),
    (0, 0, 0.272),
)  # fmt: skip
BERET = (
    (0, -0.10, -0.02), (0, 0.14, -0.035), (1, 0.05, 0.02), (1, 0.10, 0.12), (1, 0.01, 0.22), (0, 0.10, 0.235),
    (-0.7, 0, 0.225), (-1, -0.004, 0.235), (-1, -0.008, 0.15), (-0.66, 0, 0.03),
)  # fmt: skip
"""The whole outline of a beret that hangs to the right."""

HAT_ROOM = 0.038
"""How much wider than a head a hat is, on each side."""

Trim = Callable[[Canvas], None]


def _outline(half: tuple[tuple[float, float, float], ...], w: float, x: float = 0.5) -> Shape:
    return smooth(symmetric([(k * w + d, y) for k, d, y in half], x), 5)


def draw_hat(canvas: Canvas, who: Identity, hat: WearingHat) -> None:
    w = who.head.width + HAT_ROOM + (0.02 if who.hair.cut in CURLY else 0)
    if hat.kind == "beanie":
        _draw_beanie(canvas, who, hat, w)
    elif hat.kind == "cap":
        _draw_cap(canvas, who, hat, w)
    elif hat.kind == "beret":
        _draw_beret(canvas, who, hat, w)
    else:
        crown, brim, ribbon = {
            "fedora": (FEDORA, FEDORA_BRIM, (0.125, 0.195)),
            "top_hat": (TOP_HAT, TOP_HAT_BRIM, (0.10, 0.185)),
            "cowboy": (COWBOY, COWBOY_BRIM, (0.165, 0.205)),
        }[hat.kind]
        _cast(canvas, who, _outline(brim, w), 0.03)
        _felt(canvas, who, hat.colour, _outline(brim, w))
        _felt(canvas, who, hat.colour, _outline(crown, w), lambda inner: _ribbon(inner, hat, *ribbon))


def _cast(canvas: Canvas, who: Identity, edge: Shape, depth: float) -> None:
    """Draws the hat's shadow on the head."""
    shadow = mix(shadow_of(who.head.skin), BLACK, 0.35)
    canvas.soft([edge + (-0.004 * who.light.side, depth)], shadow, 0.55, 0.026)


def _felt(canvas: Canvas, who: Identity, colour: Colour, shape: Shape, trim: Trim | None = None) -> None:
    """Draws a part of a hat, rounded by light and shade; `trim` draws on it."""
    side, (left, top), (right, bottom) = who.light.side, shape.min(0).tolist(), shape.max(0).tolist()
    x, y, w, h = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    lit = mix(colour, WHITE, 0.4 if luminance(colour) < 150 else 0.6)

    def paint(inner: Canvas) -> None:
        if trim:
            trim(inner)
        inner.glow(x - side * w, y, w * 0.8, h * 1.7, shade(colour, 0.45), 0.75)
        inner.glow(x + side * w * 1.05, y, w * 0.35, h * 1.7, shade(colour, 0.5), 0.45)
        inner.glow(x + side * w * 0.35, y - h * 0.1, w * 0.45, h, lit, 0.5)

    canvas.inside([shape], colour, paint)


def _ribbon(canvas: Canvas, hat: WearingHat, top: float, bottom: float) -> None:
    xs = np.linspace(0, 1, 11)
    sag = 0.02 * (1 - (2 * xs - 1) ** 2)
    upper, lower = np.stack([xs, top + sag], 1), np.stack([xs, bottom + sag], 1)
    canvas.fill(np.concatenate([upper, lower[::-1]]), hat.band)


def _draw_beanie(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    def knit(inner: Canvas) -> None:
        x = np.linspace(-w, w, 15)
        ribs = np.stack([0.5 + 0.3 * x, 0 * x - 0.05, 0.5 + 0.86 * x, 0 * x + 0.06, 0.5 + x, 0 * x + 0.30], axis=1)
        inner.lines(curve(ribs.reshape(-1, 3, 2)), [0.009] * 15, [shade(hat.colour, 0.76)] * 15)

    def rib(inner: Canvas) -> None:
        x = np.linspace(-w, w, 21)
        ribs = np.stack([0.5 + 0.97 * x, 0 * x + 0.1, 0.5 + x, 0 * x + 0.3], axis=1)
        inner.lines(ribs.reshape(-1, 2, 2), [0.009] * 21, [shade(hat.band, 0.76)] * 21)

    _cast(canvas, who, _outline(CUFF, w), 0.022)
    _felt(canvas, who, hat.colour, _outline(BEANIE, w), knit)
    _felt(canvas, who, hat.band, _outline(CUFF, w), rib)


def _draw_cap(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    x = 0.5 + 0.02 * who.pose.turn
    peak = _outline(PEAK, w, x)

    def seams(inner: Canvas) -> None:
        seam = shade(hat.colour, 0.7)
        for lean in (-1, 0, 1):
            path = [(x, -0.02), (x + 0.17 * lean, 0.07), (x + 0.2 * lean, 0.25)]
            inner.line(curve(path), 0.006, seam)
        inner.fill(ellipse(x, 0.105, 0.062, 0.055, 24), hat.band)
        inner.fill(ellipse(x, 0.105, 0.036, 0.030), mix(hat.band, WHITE, 0.6))

    def hem(inner: Canvas) -> None:
        inner.line(peak, 0.008, shade(hat.band, 0.6))

    _cast(canvas, who, peak, 0.03)
    _felt(canvas, who, hat.colour, _outline(CAP, w), seams)
    _felt(canvas, who, hat.band, peak, hem)


def _draw_beret(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    beret = smooth(np.array([(0.5 + hat.side * (k * w + d), y) for k, d, y in BERET]), 6)
    band = _outline(BERET_BAND, w)
    _cast(canvas, who, band, 0.022)
    _felt(canvas, who, hat.colour, beret)
    _felt(canvas, who, hat.band, band)
