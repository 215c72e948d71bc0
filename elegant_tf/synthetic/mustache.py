"""The mustache, and the shadow that it casts."""

from __future__ import annotations

import numpy as np

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.colour import WHITE, mix, shade
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.features import nose_tip, shadow_of
from elegant_tf.synthetic.identity import MOUTH_Y, Identity
from elegant_tf.synthetic.shapes import smooth, symmetric
from elegant_tf.synthetic.styles import Mustache

_RIGHT_HALVES = {
    "chevron": ((0, 0.12), (0.35, 0.02), (0.72, 0.30), (1.0, 0.98), (0.72, 0.92), (0.35, 0.74), (0, 0.72)),
    "handlebar": (
        (0, 0.22), (0.3, 0.08), (0.7, 0.44), (1.08, 0.30), (1.22, -0.22), (1.34, -0.02), (1.20, 0.58),
        (0.85, 0.88), (0.35, 0.74), (0, 0.58),
    ),
    "walrus": ((0, 0.05), (0.4, -0.05), (0.85, 0.34), (1.04, 1.06), (0.84, 1.18), (0.42, 0.98), (0, 0.92)),
    "pencil": ((0, 0.42), (0.4, 0.30), (0.8, 0.52), (1.05, 0.86), (0.78, 0.84), (0.4, 0.66), (0, 0.72)),
    "horseshoe": (
        (0, 0.14), (0.5, 0.04), (0.96, 0.36), (1.22, 1.1), (1.20, 2.1), (0.98, 2.1), (0.94, 1.1),
        (0.62, 0.76), (0, 0.72),
    ),
}  # fmt: skip
"""Outlines: x in half widths, y from 0 below the nose to 1 at the mouth."""

HAIRS = 18


def draw_mustache(canvas: Canvas, who: Identity, style: Mustache) -> None:
    x, top = (who.nose_x + who.mouth_x) / 2, nose_tip(who)[1] + 0.034
    span = MOUTH_Y - 0.006 - top
    half = [(u * style.width, top + span * (0.5 + (v - 0.5) * style.thickness)) for u, v in _RIGHT_HALVES[style.shape]]
    shape = smooth(symmetric(half, x))
    canvas.soft([shape + (-0.003 * who.light.side, 0.012)], shadow_of(who.head.skin), 0.5, 0.018)
    canvas.inside([shape], style.colour, lambda inner: _comb(inner, style, x, top, span))


def _comb(canvas: Canvas, style: Mustache, x: float, top: float, span: float) -> None:
    """Draws single hairs that fan out from below the nose, light above and dark below."""
    dark, light = shade(style.colour, 0.62), mix(shade(style.colour, 1.3), WHITE, 0.16)
    dice = Dice("mustache", style.shape, style.width)
    f = np.linspace(-0.95, 0.95, HAIRS)
    ends = [top + span * dice.uniform(1.1, 1.5) for _ in f]
    hairs = np.stack([x + 0.35 * f * style.width, np.full(HAIRS, top - 0.02), x + 1.3 * f * style.width, ends], 1)
    tones = [mix(style.colour, dice.pick((dark, light)), 0.6) for _ in f]
    canvas.lines(hairs.reshape(-1, 2, 2), [0.005] * HAIRS, tones)
    canvas.glow(x, top + 0.30 * span, style.width * 0.8, 0.018, light, 0.35)
    canvas.glow(x, top + 0.9 * span, style.width, 0.025, dark, 0.6)
