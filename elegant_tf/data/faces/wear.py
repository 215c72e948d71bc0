"""What a face wears: moustache, eyeglasses and hats, each with the shadow it casts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from elegant_tf.data.faces.canvas import Canvas
from elegant_tf.data.faces.shapes import Shape, box, curve, ellipse, ribbon, smooth, symmetric
from elegant_tf.data.faces.colour import BLACK, WHITE, Colour, luminance, mix, shade
from elegant_tf.data.faces.dice import Dice
from elegant_tf.data.faces.features import nose_tip, shadow_of
from elegant_tf.data.faces.identity import EYE_Y, MOUTH_Y, Identity
from elegant_tf.data.faces.styles import Eyeglasses, Mustache, WearingHat


def _mustache_half(style: Mustache) -> list[tuple[float, float]]:
    """The right half, as (x / half width, y): y = 0 under the nose, 1 at the mouth's height."""
    return {
        "chevron": [(0, 0.12), (0.35, 0.02), (0.72, 0.30), (1.0, 0.98), (0.72, 0.92), (0.35, 0.74), (0, 0.72)],
        "handlebar": [(0, 0.22), (0.3, 0.08), (0.7, 0.44), (1.08, 0.30), (1.22, -0.22), (1.34, -0.02), (1.20, 0.58), (0.85, 0.88), (0.35, 0.74), (0, 0.58)],
        "walrus": [(0, 0.05), (0.4, -0.05), (0.85, 0.34), (1.04, 1.06), (0.84, 1.18), (0.42, 0.98), (0, 0.92)],
        "pencil": [(0, 0.42), (0.4, 0.30), (0.8, 0.52), (1.05, 0.86), (0.78, 0.84), (0.4, 0.66), (0, 0.72)],
        "horseshoe": [(0, 0.14), (0.5, 0.04), (0.96, 0.36), (1.22, 1.1), (1.20, 2.1), (0.98, 2.1), (0.94, 1.1), (0.62, 0.76), (0, 0.72)],
    }[style.shape]  # fmt: skip


def draw_mustache(canvas: Canvas, who: Identity, style: Mustache) -> None:
    _, nose_y = nose_tip(who)
    x, top = (who.nose_x + who.mouth_x) / 2, nose_y + 0.034
    span = MOUTH_Y - 0.006 - top
    half = [(u * style.width, 0.5 * span + (v - 0.5) * span * style.thickness + top) for u, v in _mustache_half(style)]
    shape = smooth(symmetric(half, x))
    canvas.soft([shape + (-0.003 * who.light.side, 0.012)], shadow_of(who.head.skin), 0.5, 0.018)
    canvas.inside([shape], style.colour, lambda inner: _paint_mustache(inner, style, x, top, span))


def _paint_mustache(canvas: Canvas, style: Mustache, x: float, top: float, span: float) -> None:
    dark = shade(style.colour, 0.62)
    light = mix(shade(style.colour, 1.3), WHITE, 0.16)
    dice = Dice("mustache", style.shape, style.width)
    f = np.linspace(-0.95, 0.95, 18)
    ends = [top + span * dice.uniform(1.1, 1.5) for _ in f]
    hairs = np.stack([x + 0.35 * f * style.width, np.full(18, top - 0.02), x + 1.3 * f * style.width, ends], axis=1)
    tones = [mix(style.colour, dice.pick((dark, light)), 0.6) for _ in f]
    canvas.lines(hairs.reshape(-1, 2, 2), [0.005] * 18, tones)
    canvas.glow(x, top + 0.30 * span, style.width * 0.8, 0.018, light, 0.35)
    canvas.glow(x, top + 0.9 * span, style.width, 0.025, dark, 0.6)


_ANGLES = np.arange(32) * (math.tau / 32)


def _lens(style: Eyeglasses, x: float, side: int) -> Shape:
    """The edge of the lens around the eye at `x`; `side` is -1 for the picture's left one."""
    power = {"round": 1.0, "square": 0.45, "wayfarer": 0.6, "narrow": 0.55, "aviator": 0.8, "cat_eye": 0.75}[style.shape]
    cos, sin = np.cos(_ANGLES), np.sin(_ANGLES)
    u = np.sign(cos) * np.abs(cos) ** power
    v = np.sign(sin) * np.abs(sin) ** power
    outwards = u * side
    if style.shape == "aviator":
        u, v = u * (1 - 0.16 * v) + side * 0.05 * v, v + 0.10 * outwards * (v > 0) + 0.08
    elif style.shape == "cat_eye":
        v = v - 0.42 * np.clip(outwards, 0, 1) ** 2 * (v < 0.3)
        u = u + side * 0.12 * np.clip(-v, 0, 1) * (outwards > 0)
    elif style.shape == "wayfarer":
        u = u * (1 - 0.10 * v)
    return np.stack([x + side * 0.004 + style.width * u, EYE_Y + 0.008 + style.height * v], axis=1)


def draw_eyeglasses(canvas: Canvas, who: Identity, style: Eyeglasses) -> None:
    lenses = [_lens(style, x, side) for side, x in zip((-1, 1), who.eye_x)]
    centres = [lens.mean(axis=0) for lens in lenses]
    t = style.thickness
    grow = (1 + t / style.width, 1 + t / style.height)
    rims = [(lens - centre) * grow + centre for lens, centre in zip(lenses, centres)]
    left_x, right_x = who.eye_x[0] + style.width, who.eye_x[1] - style.width
    middle = (left_x + right_x) / 2
    bridge = ribbon(curve([(left_x - 0.006, EYE_Y - 0.006), (middle, EYE_Y - 0.024), (right_x + 0.006, EYE_Y - 0.006)], 4), t * 0.55)
    arms = [
        ribbon(np.array([(x + side * style.width, EYE_Y - 0.015), (0.5 + side * (who.head.width + 0.012), EYE_Y - 0.006)]), t * 0.6)
        for side, x in zip((-1, 1), who.eye_x)
    ]  # fmt: skip
    shadow = [part + (-0.006 * who.light.side, 0.016) for part in (*rims, bridge)]
    canvas.soft(shadow, shadow_of(who.head.skin), 0.30, 0.016)
    canvas.blend(lenses, style.tint, [style.tint_opacity] * 2)
    _reflections(canvas, who, style)
    parts = [*arms, *rims, *lenses, bridge]
    canvas.blend(parts, style.frame, [1] * 4 + [0] * 2 + [1])
    shine = mix(style.frame, WHITE, 0.55)
    for lens, centre in zip(lenses, centres):
        edge = (lens[19:26] - centre) * ((grow[0] + 1) / 2, (grow[1] + 1) / 2) + centre
        canvas.line(edge, t * 0.3, shine)


def _reflections(canvas: Canvas, who: Identity, style: Eyeglasses) -> None:
    """A streak of light on each lens, and the light from below on dark ones."""
    a, h = style.width, style.height
    for x in who.eye_x:
        if style.tint_opacity > 0.6:
            canvas.glow(x, EYE_Y + 0.5 * h, a * 0.8, h * 0.6, mix(style.tint, WHITE, 0.55), 0.5)
        streak = [(-0.70 * a, 0.1 * h), (-0.40 * a, 0.5 * h), (0.35 * a, -0.7 * h), (0.0, -0.7 * h)]
        canvas.blend([np.array(streak) + (x, EYE_Y + 0.008)], WHITE, [0.18])


def draw_hat(canvas: Canvas, who: Identity, hat: WearingHat) -> None:
    width = who.head.width + 0.038 + (0.02 if who.hair.cut in ("afro", "curly") else 0)
    {
        "beanie": _beanie, "cap": _cap, "fedora": _fedora, "top_hat": _top_hat, "beret": _beret, "cowboy": _cowboy,
    }[hat.kind](canvas, who, hat, width)  # fmt: skip


def _cast(canvas: Canvas, who: Identity, edge: Shape, depth: float = 0.022) -> None:
    """The hat's shadow on the head."""
    canvas.soft([edge + (-0.004 * who.light.side, depth)], mix(shadow_of(who.head.skin), BLACK, 0.35), 0.55, 0.026)


def _felt(
    canvas: Canvas, who: Identity, colour: Colour, shape: Shape, trim: Callable[[Canvas], None] | None = None
) -> None:
    """A part of a hat, rounded by light and shade; `trim` draws on it."""

    def paint(inner: Canvas) -> None:
        if trim:
            trim(inner)
        side, (left, top), (right, bottom) = who.light.side, shape.min(0), shape.max(0)
        x, y, w, h = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
        inner.glow(x - side * w, y, w * 0.8, h * 1.7, shade(colour, 0.45), 0.75)
        inner.glow(x + side * w * 1.05, y, w * 0.35, h * 1.7, shade(colour, 0.5), 0.45)
        lit = mix(colour, WHITE, 0.4 if luminance(colour) < 150 else 0.6)
        inner.glow(x + side * w * 0.35, y - h * 0.1, w * 0.45, h * 1.0, lit, 0.5)

    canvas.inside([shape], colour, paint)


def _band(canvas: Canvas, hat: WearingHat, top: float, bottom: float, sag: float = 0.02) -> None:
    xs = np.linspace(0, 1, 11)
    bend = sag * (1 - (2 * xs - 1) ** 2)
    canvas.fill(np.concatenate([np.stack([xs, top + bend], 1), np.stack([xs, bottom + bend], 1)[::-1]]), hat.band)


def _beanie(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    dome = smooth(symmetric([(0, -0.04), (w * 0.55, -0.01), (w * 0.92, 0.09), (w, 0.22), (w * 0.6, 0.245), (0, 0.25)]))
    cuff = smooth(symmetric([(0, 0.142), (w * 0.6, 0.132), (w, 0.112), (w + 0.014, 0.18), (w + 0.004, 0.258), (w * 0.6, 0.278), (0, 0.288)]), 4)

    def knit(inner: Canvas) -> None:
        x = np.linspace(-w, w, 15)
        ribs = np.stack([0.5 + 0.3 * x, 0 * x - 0.05, 0.5 + 0.86 * x, 0 * x + 0.06, 0.5 + x, 0 * x + 0.30], axis=1)
        inner.lines(curve(ribs.reshape(-1, 3, 2), 3), [0.009] * 15, [shade(hat.colour, 0.76)] * 15)

    def ribs(inner: Canvas) -> None:
        x = np.linspace(-w, w, 21)
        ribs = np.stack([0.5 + 0.97 * x, 0 * x + 0.1, 0.5 + x, 0 * x + 0.3], axis=1).reshape(-1, 2, 2)
        inner.lines(ribs, [0.009] * 21, [shade(hat.band, 0.76)] * 21)

    _cast(canvas, who, cuff)
    _felt(canvas, who, hat.colour, dome, knit)
    _felt(canvas, who, hat.band, cuff, ribs)


def _cap(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    x = 0.5 + 0.02 * who.pose.turn
    dome = smooth(symmetric([(0, -0.015), (w * 0.55, 0.01), (w * 0.93, 0.10), (w + 0.004, 0.24), (w * 0.5, 0.215), (0, 0.21)]))
    peak = smooth(symmetric([(0, 0.172), (w * 0.6, 0.180), (w * 0.98, 0.228), (w * 1.04, 0.276), (w * 0.80, 0.272), (w * 0.4, 0.258), (0, 0.254)], x))

    def seams(inner: Canvas) -> None:
        inner.line(curve([(x, -0.05), (x, 0.25)], 2), 0.006, shade(hat.colour, 0.7))
        for side in (-1, 1):
            inner.line(curve([(x, -0.02), (x + side * 0.17, 0.07), (x + side * 0.2, 0.25)], 4), 0.006, shade(hat.colour, 0.7))
        inner.fill(ellipse(x, 0.105, 0.062, 0.055), hat.band)
        inner.fill(ellipse(x, 0.105, 0.036, 0.03, 16), mix(hat.band, WHITE, 0.6))

    def brim(inner: Canvas) -> None:
        inner.line(peak, 0.008, shade(hat.band, 0.6))

    _cast(canvas, who, peak, 0.03)
    _felt(canvas, who, hat.colour, dome, seams)
    _felt(canvas, who, hat.band, peak, brim)


def _brimmed(canvas: Canvas, who: Identity, hat: WearingHat, crown: Shape, brim: Shape, band: tuple[float, float]) -> None:
    _cast(canvas, who, brim, 0.03)
    _felt(canvas, who, hat.colour, brim)
    _felt(canvas, who, hat.colour, crown, lambda inner: _band(inner, hat, *band))


def _fedora(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    brim = smooth(symmetric([(0, 0.175), (w * 0.9, 0.165), (w + 0.115, 0.150), (w + 0.13, 0.185), (w * 0.95, 0.245), (w * 0.5, 0.268), (0, 0.275)]))
    crown = smooth(symmetric([(0, 0.005), (w * 0.30, -0.028), (w * 0.66, -0.01), (w * 0.82, 0.08), (w * 0.93, 0.205), (w * 0.5, 0.230), (0, 0.236)]))
    _brimmed(canvas, who, hat, crown, brim, (0.125, 0.195))


def _top_hat(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    brim = smooth(symmetric([(0, 0.185), (w * 0.9, 0.175), (w + 0.075, 0.150), (w + 0.09, 0.190), (w * 0.95, 0.240), (w * 0.5, 0.258), (0, 0.264)]))
    crown = np.concatenate([[(0.5 - w * 0.98, -0.1), (0.5 + w * 0.98, -0.1)], [(0.5 + w * 0.84 * u, 0.195 + 0.035 * (1 - u * u)) for u in np.linspace(1, -1, 9)]])
    _brimmed(canvas, who, hat, crown, brim, (0.10, 0.185))


def _cowboy(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    brim = smooth(symmetric([(0, 0.19), (w * 0.8, 0.170), (w + 0.08, 0.09), (w + 0.15, 0.045), (w + 0.15, 0.11), (w * 1.08, 0.215), (w * 0.6, 0.268), (0, 0.282)]))
    crown = smooth(symmetric([(0, 0.03), (w * 0.26, -0.02), (w * 0.60, -0.03), (w * 0.78, 0.06), (w * 0.88, 0.20), (w * 0.5, 0.236), (0, 0.246)]))
    _brimmed(canvas, who, hat, crown, brim, (0.165, 0.205))


def _beret(canvas: Canvas, who: Identity, hat: WearingHat, w: float) -> None:
    s = hat.side
    outline = [(-0.10, -0.02), (0.14, -0.035), (w + 0.05, 0.02), (w + 0.10, 0.12), (w + 0.01, 0.22), (0.1, 0.235), (-w * 0.7, 0.225), (-w - 0.004, 0.235), (-w - 0.008, 0.15), (-w * 0.66, 0.03)]
    soft = smooth(np.array(outline) * (s, 1) + (0.5, 0))
    band = smooth(symmetric([(0, 0.218), (w * 0.6, 0.212), (w * 0.985, 0.205), (w * 0.99, 0.25), (w * 0.6, 0.266), (0, 0.272)]), 4)

    _cast(canvas, who, band)
    _felt(canvas, who, hat.colour, soft)
    _felt(canvas, who, hat.band, band)
    canvas.fill(box(0.49 + s * 0.04, -0.06, 0.51 + s * 0.04, -0.02), shade(hat.colour, 0.7))
