"""Eyeglasses: tinted lenses, their reflections, the frame and the shadow it casts."""

from __future__ import annotations

import math

import numpy as np

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.colour import WHITE, mix
from elegant_tf.synthetic.features import shadow_of
from elegant_tf.synthetic.identity import EYE_Y, Identity
from elegant_tf.synthetic.shapes import Shape, curve, ribbon
from elegant_tf.synthetic.styles import Eyeglasses

_ANGLES = np.arange(32) * (math.tau / 32)
_UPPER_EDGE = slice(19, 26)

_POWER = {"round": 1.0, "square": 0.45, "wayfarer": 0.6, "narrow": 0.55, "aviator": 0.8, "cat_eye": 0.75}
"""The shape of a lens, from an ellipse (1) towards a rectangle (0)."""


def _lens(style: Eyeglasses, x: float, side: int) -> Shape:
    """The edge of the lens in front of the eye at `x`; `side`: -1 for the viewer's left, 1 for the right."""
    cos, sin = np.cos(_ANGLES), np.sin(_ANGLES)
    u = np.sign(cos) * np.abs(cos) ** _POWER[style.shape]
    v = np.sign(sin) * np.abs(sin) ** _POWER[style.shape]
    outwards = u * side
    if style.shape == "aviator":
        u, v = u * (1 - 0.16 * v) + side * 0.05 * v, v + 0.10 * outwards * (v > 0) + 0.08
    elif style.shape == "cat_eye":
        v = v - 0.42 * np.clip(outwards, 0, 1) ** 2 * (v < 0.3)
        u = u + side * 0.12 * np.clip(-v, 0, 1) * (outwards > 0)
    elif style.shape == "wayfarer":
        u = u * (1 - 0.10 * v)
    return np.stack([x + side * 0.004 + style.width * u, EYE_Y + 0.008 + style.height * v], axis=1)


def _bridge(who: Identity, style: Eyeglasses) -> Shape:
    left, right = who.eye_x[0] + style.width - 0.006, who.eye_x[1] - style.width + 0.006
    line = [(left, EYE_Y - 0.006), ((left + right) / 2, EYE_Y - 0.024), (right, EYE_Y - 0.006)]
    return ribbon(curve(line), 0.55 * style.thickness)


def _arm(style: Eyeglasses, x: float, side: int, reach: float) -> Shape:
    ends = [(x + side * style.width, EYE_Y - 0.015), (0.5 + side * reach, EYE_Y - 0.006)]
    return ribbon(np.array(ends), 0.6 * style.thickness)


def draw_eyeglasses(
    canvas: Canvas, who: Identity, style: Eyeglasses, reaches: tuple[float, float] | None = None
) -> None:
    """Draws eyeglasses. `reaches`: how far from the middle the left and right arm end; None: beside the head."""
    reaches = reaches or (who.head.width + 0.012,) * 2
    eyes = tuple(zip(who.eye_x, (-1, 1), strict=True))
    lenses = [_lens(style, x, side) for x, side in eyes]
    grow = np.array((1 + style.thickness / style.width, 1 + style.thickness / style.height))
    centres = [lens.mean(axis=0) for lens in lenses]
    rims = [(lens - centre) * grow + centre for lens, centre in zip(lenses, centres, strict=True)]
    arms = [_arm(style, x, side, reach) for (x, side), reach in zip(eyes, reaches, strict=True)]
    bridge = _bridge(who, style)
    shadow = [part + (-0.006 * who.light.side, 0.016) for part in (*rims, bridge)]
    canvas.soft(shadow, shadow_of(who.head.skin), 0.30, 0.016)
    canvas.blend(lenses, style.tint, [style.tint_opacity] * 2)
    _reflections(canvas, who, style)
    canvas.blend([*arms, *rims, *lenses, bridge], style.frame, [1, 1, 1, 1, 0, 0, 1])
    shine = mix(style.frame, WHITE, 0.55)
    for lens, rim in zip(lenses, rims, strict=True):
        canvas.line((lens[_UPPER_EDGE] + rim[_UPPER_EDGE]) / 2, 0.3 * style.thickness, shine)


def _reflections(canvas: Canvas, who: Identity, style: Eyeglasses) -> None:
    """A streak of light on each lens, and light from below on dark ones."""
    a, h = style.width, style.height
    for x in who.eye_x:
        if style.tint_opacity > 0.6:
            canvas.glow(x, EYE_Y + 0.5 * h, 0.8 * a, 0.6 * h, mix(style.tint, WHITE, 0.55), 0.5)
        streak = [(-0.70 * a, 0.1 * h), (-0.40 * a, 0.5 * h), (0.35 * a, -0.7 * h), (0.0, -0.7 * h)]
        canvas.blend([np.array(streak) + (x, EYE_Y + 0.008)], WHITE, [0.18])
