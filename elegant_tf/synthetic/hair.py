"""Hair: behind the head, on it, and the bangs, which have the wearer's hair colour."""

from __future__ import annotations

import math

import numpy as np

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.colour import WHITE, Colour, luminance, mix, shade
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.features import shadow_of
from elegant_tf.synthetic.identity import Hair, Identity
from elegant_tf.synthetic.shapes import Shape, curve, ellipse, smooth, symmetric
from elegant_tf.synthetic.styles import Bangs

CURLY = ("curly", "afro")
LONG = ("bob", "long", "wavy")


def _tones(colour: Colour) -> tuple[Colour, Colour]:
    """The colours of a darker and a lighter strand."""
    light = mix(shade(colour, 1.35), WHITE, 0.10 if luminance(colour) < 150 else 0.3)
    return shade(colour, 0.68), light


def draw_back_hair(canvas: Canvas, who: Identity, hat: bool) -> None:
    """Draws the hair behind head and neck. A hat presses down what is on top."""
    hair = who.hair
    dark, light = _tones(hair.colour)
    if hair.cut in LONG:
        base = mix(hair.colour, dark, 0.55)
        canvas.inside([_mane(who)], base, lambda inner: _paint_mane(inner, who, base, dark))
    if hair.cut in CURLY:
        _draw_curls(canvas, who, _crown_of_curls(who, hat))
    if hair.cut == "bun" and not hat:
        y, r = 0.018 - 0.014 * hair.volume, 0.085 + 0.02 * hair.volume
        canvas.fill(ellipse(0.5, y, r, r * 0.85, 32), hair.colour)
        canvas.glow(0.5 + 0.03 * who.light.side, y, r * 0.6, r * 0.45, light, 0.6)


def _mane(who: Identity) -> Shape:
    """Long hair behind the neck."""
    hair, w = who.hair, who.head.width
    bulge = w + 0.045 + 0.035 * hair.volume
    top = [(0, 0.07), (w * 0.72, 0.11), (w + 0.008, 0.21)]
    if hair.cut == "wavy":
        ys = np.linspace(0.36, 1.1, 9)
        xs = bulge + 0.012 + 0.022 * np.sin(ys * 19 + 6 * hair.length)
        return smooth(symmetric([*top, *zip(xs.tolist(), ys.tolist(), strict=True), (0.1, 1.12)]))
    end, tip = (0.74 + 0.14 * hair.length, 0.86) if hair.cut == "bob" else (1.1, 1.05)
    sides = [(bulge, 0.40), (bulge * 1.04, 0.62), (bulge * tip, end), (0.12, end + 0.02)]
    return smooth(symmetric([*top, *sides]))


def _paint_mane(canvas: Canvas, who: Identity, base: Colour, dark: Colour) -> None:
    dice = Dice("back", who.hair.seed)
    wave = 0.02 if who.hair.cut == "wavy" else 0.004
    ys = np.linspace(0.25, 1.1, 9)
    xs = np.array([(1 if i % 2 else -1) * dice.uniform(0.22, 0.40) for i in range(14)])[:, None]
    waves = 0.5 + xs + wave * np.sin(ys * 19 + 6 * who.hair.length)
    tones = [mix(base, dice.pick((dark, who.hair.colour)), 0.7) for _ in xs]
    widths = [dice.uniform(0.005, 0.012) for _ in xs]
    canvas.lines(np.stack([waves, np.broadcast_to(ys, waves.shape)], axis=2), widths, tones)


def _crown_of_curls(who: Identity, hat: bool) -> list[tuple[float, float, float]]:
    """Round locks around the skull, the outer ones first: x, y and radius of each."""
    hair, w = who.hair, who.head.width
    afro = hair.cut == "afro"
    reach = 1.06 + (0.20 + 0.14 * hair.volume if afro else 0.04 + 0.05 * hair.volume)
    size = 0.060 + 0.022 * hair.volume
    span = 0.66 if afro else 0.60
    curls, dice = [], Dice("crown", hair.seed)
    for ring, count in ((1.0, 19), (0.8, 14)) if afro else ((1.0, 17),):
        for i in range(count):
            angle = math.pi * (0.5 + span * (1 - 2 * (i + dice.around(0.3)) / (count - 1)))
            x = 0.5 + w * reach * ring * math.cos(angle)
            y = 0.37 - 0.31 * reach * ring * math.sin(angle)
            if not (hat and y < 0.24):
                curls.append((x, y, size * dice.uniform(0.85, 1.15)))
    return curls


def _hairline_curls(who: Identity, hat: bool) -> list[tuple[float, float, float]]:
    """Smaller locks along the forehead's edge and in front of the ears."""
    line = 0.145 + 0.05 * who.hair.hairline
    row = [] if hat else [(x, line + 0.42 * x * x - 0.045) for x in np.linspace(-0.27, 0.27, 9).tolist()]
    row += [(side * (who.head.width - 0.002), y) for side in (-1, 1) for y in (0.29, 0.36)]
    return [(0.5 + x, y, 0.048) for x, y in row]


def _draw_curls(canvas: Canvas, who: Identity, curls: list[tuple[float, float, float]]) -> None:
    """Draws each lock as a ball: dark at its rim, lit from the light's side, with a wisp on it."""
    hair, side, dice = who.hair, who.light.side, Dice("curls", who.hair.seed)
    dark, light = _tones(hair.colour)
    rim, body, wisp = mix(hair.colour, dark, 0.75), hair.colour, mix(hair.colour, light, 0.5)
    for x, y, radius in curls:
        canvas.fill(ellipse(x, y, radius), rim)
        canvas.fill(ellipse(x + 0.006 * side, y - 0.008, radius * 0.88), body)
    wisps = np.stack([ellipse(x, y - 0.006, radius * 0.52) for x, y, radius in curls])
    wisps = np.stack([np.roll(lock, dice.below(16), axis=0)[:8] for lock in wisps])
    canvas.lines(wisps, [0.009] * len(curls), [mix(wisp, rim, 0.8 * dice.below(2)) for _ in curls])


def draw_hair(canvas: Canvas, who: Identity, hat: bool) -> None:
    """Draws the hair on the head, with its shadow on the skin."""
    cap = _cap(who, hat)
    canvas.soft([cap + (-0.006 * who.light.side, 0.014)], shadow_of(who.head.skin), 0.5, 0.022)
    if who.hair.cut in CURLY:
        canvas.fill(cap, mix(who.hair.colour, _tones(who.hair.colour)[0], 0.4))
        _draw_curls(canvas, who, _hairline_curls(who, hat))
    else:
        canvas.inside([cap], who.hair.colour, lambda inner: _paint_cap(inner, who))


_LIFT = {"crop": 0.024, "side_part": 0.034, "slick": 0.008, "afro": 0.01, "bun": 0.0}
_SIDEBURN = {
    "crop": 0.40,
    "side_part": 0.44,
    "slick": 0.42,
    "afro": 0.40,
    "curly": 0.43,
    "bun": 0.40,
    "pixie": 0.56,
}


def _cap(who: Identity, hat: bool) -> Shape:
    """The outline of the hair on the skull: over the top from side to side, and back along the hairline."""
    hair, w = who.hair, who.head.width
    lift = 0.0 if hat else _LIFT.get(hair.cut, 0.022) + 0.03 * hair.volume
    wide = w + 0.012 + (0.018 if hair.cut in (*LONG, "pixie") else 0) + 0.012 * hair.volume
    line = 0.150 + 0.05 * hair.hairline - (0.02 if hair.cut == "slick" else 0)
    top = [(0, 0.045 - lift), (w * 0.60, 0.066 - lift), (w * 0.95, 0.15 - 0.6 * lift), (wide, 0.28)]
    edge = [(w - 0.045, 0.30), (w * 0.70, line + 0.045), (w * 0.36, line + 0.006), (0, line)]
    half = [*top, *_side_locks(hair, w, wide), *edge]
    points = symmetric(half)
    lean = hair.part * (2.0 if hair.cut == "side_part" else 1.0)
    inner = slice(len(half) - 3, len(half) + 2)
    points[inner, 1] += 0.045 * lean * (points[inner, 0] - 0.5) / w
    if not hat:
        outer = np.r_[0:3, len(points) - 2 : len(points)]
        points[outer, 1] += 0.022 * lean * (points[outer, 0] - 0.5) / w
    return smooth(points)


def _side_locks(hair: Hair, w: float, wide: float) -> list[tuple[float, float]]:
    """The outline's right side, down on the outside and up again beside the face."""
    if hair.cut in LONG:
        end = 0.72 + 0.13 * hair.length if hair.cut == "bob" else 1.1
        middle = end * 0.6 + 0.19
        outside = [(wide + 0.012, 0.45), (wide + 0.014, middle), (wide - 0.004, end)]
        return [*outside, (wide - 0.045, end - 0.012), (w - 0.026, middle - 0.02), (w - 0.052, 0.42)]
    end = _SIDEBURN[hair.cut]
    if hair.cut == "pixie":
        return [(wide + 0.004, 0.40), (w + 0.012, 0.50), (w - 0.010, end), (w - 0.030, 0.45)]
    return [(w + 0.014, end - 0.03), (w - 0.002, end), (w - 0.03, end - 0.05)]


def _paint_cap(canvas: Canvas, who: Identity) -> None:
    """Draws fine strands from the parting down both sides, and a band of light across the crown."""
    hair, dice = who.hair, Dice("strands", who.hair.seed)
    dark, light = _tones(hair.colour)
    part, end, reach = 0.5 + 0.12 * hair.part, 1.1 if hair.cut in LONG else 0.5, who.head.width + 0.05
    f = np.array([-1 + 2 * (i + dice.uniform(0, 0.9)) / 24 for i in range(24)])
    xs = np.stack([part + 0.03 * f, part / 2 + 0.25 + 0.62 * reach * f, 0.5 + reach * f, 0.5 + 1.06 * reach * f], 1)
    ys = np.stack([0.02 + 0 * f, 0.09 + 0.07 * f * f, 0.30 + 0 * f, end + 0 * f], 1)
    widths = [dice.uniform(0.004, 0.011) for _ in f]
    tones = [mix(hair.colour, dice.pick((dark, light)), dice.uniform(0.2, 0.6)) for _ in f]
    canvas.lines(curve(np.stack([xs, ys], 2), 4), widths, tones)
    canvas.glow(0.5 + 0.10 * who.light.side, 0.105, 0.19, 0.045, light, 0.62)
    canvas.glow(0.5 - 0.30 * who.light.side, 0.32, 0.14, 0.34, dark, 0.55)


def draw_bangs(canvas: Canvas, who: Identity, bangs: Bangs) -> None:
    """Draws bangs over the forehead, and the shadow that they cast."""
    locks = _bang_locks(who.head.width, bangs)
    canvas.soft([lock + (-0.004 * who.light.side, 0.020) for lock in locks], shadow_of(who.head.skin), 0.6, 0.02)
    base = mix(who.hair.colour, _tones(who.hair.colour)[1], 0.16)
    canvas.inside(locks, base, lambda inner: _paint_bangs(inner, who, bangs, base))


def _bang_locks(w: float, bangs: Bangs) -> list[Shape]:
    """The outlines of bangs, from the crown down over the forehead, on a head of half width `w`."""
    end, temple = bangs.length, w - 0.012
    top = [(0, 0.10), (w * 0.7, 0.15), (temple, 0.25)]
    if bangs.cut == "straight":
        edge = [(temple + 0.006, end + 0.02), (w * 0.8, end + 0.008), (w * 0.4, end + 0.002), (0, end)]
        return [smooth(symmetric([*top, *edge]))]
    if bangs.cut == "arched":
        edge = [
            (temple + 0.004, end + 0.07),
            (w * 0.82, end + 0.04),
            (w * 0.4, end - 0.010),
            (0, end - 0.020),
        ]
        return [smooth(symmetric([*top, *edge]))]
    if bangs.cut == "curtain":
        lock = [(-0.01, 0.10), (0.14, 0.12), (temple, 0.25), (temple + 0.010, end + 0.12)]
        lock += [(w * 0.80, end + 0.075), (w * 0.52, end + 0.010), (0.070, 0.305), (0.008, 0.255)]
        return [smooth(np.array(lock) * (side, 1) + (0.5, 0)) for side in (-1, 1)]
    if bangs.cut == "swept":
        lock = [
            (0.20, 0.10),
            (0.0, 0.08),
            (-temple * 0.8, 0.17),
            (-temple - 0.004, 0.30),
            (-temple + 0.004, end + 0.08),
        ]
        lock += [(-w * 0.72, end + 0.035), (-0.03, end - 0.015), (0.13, 0.285), (0.236, 0.225)]
        return [smooth(np.array(lock) * (bangs.side, 1) + (0.5, 0))]
    return _choppy_locks(w, bangs)


def _choppy_locks(w: float, bangs: Bangs) -> list[Shape]:
    dice, shapes = Dice("choppy", bangs.seed), []
    for x in (w * np.linspace(-0.8, 0.8, 7)).tolist():
        tip, lean = bangs.length + dice.uniform(-0.02, 0.05), bangs.side * 0.035
        lock = [
            (0.8 * x - 0.055, 0.15),
            (0.8 * x + 0.055, 0.15),
            (x + 0.052, tip - 0.06),
            (x + lean, tip),
            (x - 0.052, tip - 0.06),
        ]
        shapes.append(smooth(np.array(lock) + (0.5, 0)))
    return shapes


def _paint_bangs(canvas: Canvas, who: Identity, bangs: Bangs, base: Colour) -> None:
    """Draws strands that fall from the crown, or from the cut's parting; curly hair falls in waves."""
    dark, light = _tones(who.hair.colour)
    dice, w = Dice("bangs", bangs.seed), who.head.width
    f = np.array([-1 + 2 * (i + dice.uniform(0, 0.9)) / 22 for i in range(22)])
    end = 0.5 + 1.04 * w * f
    parting = {"swept": 0.5 + 0.2 * bangs.side, "curtain": 0.5}.get(bangs.cut)
    start = end * 0.7 + 0.15 if parting is None else parting + 0.05 * f
    xs = np.stack([start, (start + end) / 2, end, end], 1)
    paths = curve(np.stack([xs, np.broadcast_to((0.09, 0.17, 0.30, 0.48), xs.shape)], 2), 4)
    if who.hair.cut in (*CURLY, "wavy"):
        paths[..., 0] += 0.010 * np.sin(55 * paths[..., 1])
    widths = [dice.uniform(0.004, 0.010) for _ in f]
    canvas.lines(paths, widths, [mix(base, dice.pick((dark, light)), dice.uniform(0.25, 0.7)) for _ in f])
    canvas.glow(0.5 + 0.06 * who.light.side, 0.215, 0.22, 0.045, light, 0.5)
    canvas.glow(0.5, bangs.length + 0.03, 0.34, 0.05, dark, 0.4)
