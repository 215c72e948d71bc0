"""The bare face: ears, skin, brows, eyes, nose and mouth."""

from __future__ import annotations

import numpy as np

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.colour import BLACK, WHITE, Colour, luminance, mix, shade
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.identity import EYE_Y, MOUTH_Y, NOSE_Y, Eyes, Identity
from elegant_tf.synthetic.shapes import Shape, curve, ellipse, ribbon, smooth, symmetric
from elegant_tf.synthetic.styles import Smiling

_U = np.linspace(-1, 1, 13)
_ARC = 1 - _U**2


def shadow_of(skin: Colour) -> Colour:
    """The skin in shadow: darker and warmer."""
    return mix(shade(skin, 0.62), (120, 36, 30), 0.14)


def _lit_skin(skin: Colour) -> Colour:
    """The skin in the light: pale skin becomes nearly white, dark skin only warmer."""
    return mix(skin, (255, 240, 220), 0.18 + 0.34 * luminance(skin) / 230)


def head_outline(who: Identity) -> Shape:
    head = who.head
    w, jaw = head.width, head.jaw
    half = [
        (0, 0.06), (w * 0.56, 0.085), (w * 0.90, 0.185), (w, 0.31), (w * 0.99, 0.44), (w * 0.955, 0.56),
        ((w + jaw) / 2 * 0.96, 0.68), (jaw * 0.94, 0.77), ((jaw + head.chin_width) / 2, 0.862),
        (head.chin_width * 0.62, head.chin - 0.008), (0, head.chin),
    ]  # fmt: skip
    points = symmetric(half)
    points[:, 0] += 0.008 * who.pose.turn * (points[:, 1] - 0.4) / 0.5
    return smooth(points)


def draw_ears(canvas: Canvas, who: Identity) -> None:
    head = who.head
    for side in (-1, 1):
        x, size = 0.5 + side * head.width, head.ear
        ear = ellipse(x, 0.475, 0.040 * size, 0.075 * size)
        canvas.fill(ear, shade(head.skin, 0.92))
        canvas.fill(ellipse(x + side * 0.006, 0.475, 0.022 * size, 0.05 * size), shadow_of(head.skin))
        if head.earring:
            canvas.fill(ellipse(x + side * 0.012, 0.475 + 0.088 * size, 0.016, 0.02, 12), head.earring)
            canvas.fill(
                ellipse(x + side * 0.008, 0.468 + 0.088 * size, 0.006, 0.007, 8),
                mix(head.earring, WHITE, 0.7),
            )


def draw_skin(canvas: Canvas, who: Identity) -> None:
    """Draws the head, shaded on the side away from the light."""
    canvas.inside([head_outline(who)], who.head.skin, lambda inner: _paint_skin(inner, who))


def _paint_skin(canvas: Canvas, who: Identity) -> None:
    head, side = who.head, who.light.side
    dark, pale = shadow_of(head.skin), _lit_skin(head.skin)
    strength = 1.2 * who.light.strength
    canvas.glow(0.5 - side * 0.34, 0.52, 0.24, 0.62, dark, 0.35 + strength)
    canvas.glow(0.5 + side * 0.33, 0.60, 0.13, 0.5, dark, 0.30)
    canvas.glow(0.5, 0.96, 0.22, 0.13, dark, 0.5)
    canvas.glow(0.5 + side * 0.06, 0.24, 0.22, 0.14, pale, 0.45)
    for each in (-1, 1):
        canvas.glow(0.5 + each * 0.175, 0.60, 0.12, 0.10, head.blush, 0.5 * head.cheek)
        canvas.glow(0.5 + each * 0.165 + side * 0.015, 0.535, 0.085, 0.06, pale, 0.38)
        canvas.glow(who.eye_x[each > 0], EYE_Y - 0.012, 0.095, 0.058, dark, 0.42)
    canvas.glow(0.5, head.chin - 0.06, 0.07, 0.045, pale, 0.3)
    if head.freckles:
        dice = Dice("freckles", who.hair.seed)
        for _ in range(26):
            x, y = dice.around(0.24), dice.around(0.085)
            canvas.fill(ellipse(0.5 + x, 0.575 + y, 0.0055, corners=8), mix(head.skin, (140, 70, 30), 0.5))


def draw_brows(canvas: Canvas, who: Identity) -> None:
    brows = who.brows
    t = np.array((0, 0.3, 0.62, 1.0))
    for side, x in zip((-1, 1), who.eye_x, strict=True):
        xs = x + side * (-0.072 + 0.152 * t)
        ys = EYE_Y - brows.height - brows.arch * np.array((0.1, 0.7, 1.0, 0.0)) + brows.slope * (t - 0.5)
        centre = curve(np.stack([xs, ys], axis=1), 4)
        widths = (
            brows.thickness / 2 * np.interp(np.linspace(0, 1, len(centre)), (0, 0.25, 0.6, 1), (0.8, 1.1, 0.95, 0.25))
        )
        canvas.fill(ribbon(centre, widths), brows.colour)


def eye_outline(eyes: Eyes, x: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The upper and the lower lid, from left to right."""
    tilt = -side * eyes.tilt * _U
    xs = x + eyes.width * _U
    upper = np.stack([xs, EYE_Y + tilt - eyes.opening * _ARC * (1 + 0.12 * side * _U)], axis=1)
    lower = np.stack([xs, EYE_Y + tilt + 0.72 * eyes.opening * _ARC], axis=1)
    return upper, lower


def draw_eyes(canvas: Canvas, who: Identity) -> None:
    eyes, dark = who.eyes, shadow_of(who.head.skin)
    lids = [eye_outline(eyes, x, side) for side, x in zip((-1, 1), who.eye_x, strict=True)]
    for (upper, _), x in zip(lids, who.eye_x, strict=True):
        if eyes.shadow:
            canvas.glow(x, EYE_Y - 0.035, eyes.width * 1.35, 0.05, eyes.shadow, 0.65)
        canvas.line(upper - (0, 0.017), 0.006, mix(dark, who.head.skin, 0.25))
    outlines = [np.concatenate([upper, lower[::-1]]) for upper, lower in lids]
    canvas.inside(outlines, (246, 243, 238), lambda inner: _eyeballs(inner, who))
    lash = mix(BLACK, (60, 34, 24), 0.5)
    for (upper, lower), side in zip(lids, (-1, 1), strict=True):
        widths = eyes.lash / 2 * (0.75 + 0.5 * (1 + side * _U) / 2)
        canvas.fill(ribbon(upper, widths), lash)
        canvas.line(lower, 0.0035, mix(dark, BLACK, 0.15))
        if eyes.lash > 0.0095:
            corner = upper[-1 if side > 0 else 0]
            canvas.line(np.array([corner, corner + (side * 0.014, -0.012)]), 0.007, lash)


def _eyeballs(canvas: Canvas, who: Identity) -> None:
    eyes = who.eyes
    for x in who.eye_x:
        x += 0.004 * who.pose.turn
        canvas.glow(x, EYE_Y - eyes.opening, 0.085, 0.028, (120, 110, 120), 0.6)
        y, r = EYE_Y - 0.003, eyes.iris_size
        canvas.fill(ellipse(x, y, r), shade(eyes.iris, 0.55))
        canvas.fill(ellipse(x, y, r * 0.84), eyes.iris)
        canvas.glow(x, y + 0.5 * r, r * 0.9, r * 0.7, mix(eyes.iris, WHITE, 0.5), 0.6)
        canvas.fill(ellipse(x, y, r * 0.46, corners=16), (14, 12, 14))
        canvas.fill(ellipse(x + who.light.side * 0.010, y - 0.010, 0.0075, corners=12), WHITE)


def nose_tip(who: Identity) -> tuple[float, float]:
    return who.nose_x, NOSE_Y + who.nose.length


def draw_nose(canvas: Canvas, who: Identity) -> None:
    skin, w, away = who.head.skin, who.nose.width, -who.light.side
    dark, pale = shadow_of(skin), mix(_lit_skin(skin), (255, 250, 240), 0.2)
    x, y = nose_tip(who)
    bridge = smooth(
        [
            (0.5 + away * 0.022, 0.38),
            (x + away * 0.020, 0.50),
            (x + away * w * 0.9, y - 0.005),
            (x + away * 0.012, y + 0.02),
            (x + away * 0.004, 0.47),
        ]
    )
    canvas.soft([bridge], dark, 0.30 + 0.35 * who.nose.bridge, 0.022)
    canvas.glow(x, y + 0.040, w * 1.25, 0.030, dark, 0.6)
    canvas.glow(x + away * w * 0.6, y + 0.004, w * 0.62, 0.036, dark, 0.5)
    canvas.glow(x, y, w * 0.75, 0.038, mix(skin, who.head.blush, 0.5), 0.6)
    canvas.glow(x - away * 0.006, 0.49, 0.020, 0.11, pale, 0.6)
    canvas.glow(x - away * 0.010, y - 0.008, 0.030, 0.027, pale, 0.9)
    for side in (-1, 1):
        wing = curve(
            [
                (x + side * w * 0.84, y - 0.016),
                (x + side * w * 0.98, y + 0.004),
                (x + side * w * 0.80, y + 0.021),
            ],
            4,
        )
        canvas.line(wing, 0.0065, mix(dark, skin, 0.2))
        canvas.fill(ellipse(x + side * w * 0.42, y + 0.023, w * 0.24, 0.0092, 12), mix(dark, (50, 16, 14), 0.5))


def mouth_corners(who: Identity, smile: Smiling | None) -> np.ndarray:
    """The corners of the mouth, `[2, 2]`, the viewer's left first."""
    width, lift = (smile.width, smile.lift) if smile else (who.mouth.width, who.mouth.lift)
    return np.array([(who.mouth_x - width, MOUTH_Y - lift * 0.7), (who.mouth_x + width, MOUTH_Y - lift * 0.7)])


def draw_mouth(canvas: Canvas, who: Identity, smile: Smiling | None) -> None:
    """Draws the mouth. A smile also lifts and folds the cheeks."""
    mouth, skin = who.mouth, who.head.skin
    (left, corner_y), (right, _) = mouth_corners(who, smile)
    lift, opening = (smile.lift, smile.opening) if smile else (mouth.lift, 0.0)
    thin = 0.8 if smile else 1.0
    xs = np.linspace(left, right, len(_U))
    line = corner_y + lift * _ARC
    upper = line - thin * mouth.upper * _ARC**0.7 + 0.3 * mouth.upper * np.exp(-((_U / 0.16) ** 2))
    inner = line + opening * _ARC**0.8
    lower = inner + thin * mouth.lower * _ARC**0.85
    if smile:
        _smile_folds(canvas, who, smile)
    canvas.glow(who.mouth_x, lower.max() + 0.016, 0.085, 0.026, shadow_of(skin), 0.5)
    ys = [np.stack([xs, y], axis=1) for y in (upper, line, inner, lower)]
    lips = mouth.lips
    canvas.fill(np.concatenate([ys[0], ys[3][::-1]]), lips)
    canvas.fill(np.concatenate([ys[0], ys[1][::-1]]), shade(lips, 0.82))
    shine = mix(lips, WHITE, 0.6 if mouth.lipstick else 0.4)
    canvas.glow(who.mouth_x, (inner[6] + lower[6]) / 2, 0.045, mouth.lower * 0.42, shine, 0.6)
    if smile and opening:
        canvas.inside(
            [np.concatenate([ys[1], ys[2][::-1]])],
            (74, 18, 26),
            lambda deep: _mouth_inside(deep, who, smile, ys),
        )
    canvas.line(ys[1], 0.006, mix(shade(lips, 0.42), (50, 10, 14), 0.4))
    if opening:
        canvas.line(ys[2], 0.004, shade(lips, 0.6))
    for x in (left, right):
        canvas.glow(x, corner_y, 0.018, 0.014, shadow_of(skin), 0.9)


def _mouth_inside(canvas: Canvas, who: Identity, smile: Smiling, ys: list[np.ndarray]) -> None:
    line, inner = ys[1], ys[2]
    if smile.teeth == "laugh":
        canvas.fill(ellipse(who.mouth_x, inner[6, 1] + 0.004, smile.width * 0.52, 0.032), (206, 92, 96))
    depth = {"upper": 0.86, "both": 1.0, "laugh": 0.46}[smile.teeth]
    teeth = np.concatenate([line, (line + (inner - line) * depth)[::-1]])
    canvas.fill(teeth, (250, 247, 240))
    canvas.glow(who.mouth_x, line[6, 1] - 0.004, smile.width, 0.018, (150, 120, 120), 0.45)
    if smile.teeth == "both":
        canvas.line(line + (inner - line) * 0.55, 0.004, (196, 186, 182))


def _smile_folds(canvas: Canvas, who: Identity, smile: Smiling) -> None:
    dark, x = shadow_of(who.head.skin), who.mouth_x
    for side in (-1, 1):
        corner = x + side * (smile.width + 0.032)
        points = [
            (x + side * 0.088, 0.610),
            (x + side * 0.135, 0.655),
            (corner, MOUTH_Y - smile.lift),
            (corner, MOUTH_Y + 0.015),
        ]
        centre = curve(points, 4)
        canvas.soft([ribbon(centre, 0.011 * np.sin(np.linspace(0.2, 3.0, len(centre))))], dark, 0.62, 0.014)
        canvas.glow(x + side * 0.192, 0.605, 0.085, 0.062, who.head.blush, 0.6)
        canvas.glow(x + side * 0.185, 0.582, 0.062, 0.040, _lit_skin(who.head.skin), 0.6)
