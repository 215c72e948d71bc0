"""The five attributes and their styles, which an exemplar can pass on to another face.

Lengths are fractions of the image's side; colours are (red, green, blue).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from elegant_tf.synthetic.colour import Colour
from elegant_tf.synthetic.dice import Dice

ATTRIBUTES: tuple[str, ...] = ("Eyeglasses", "Bangs", "Mustache", "Smiling", "Wearing_Hat")

PRESENCE = 0.5
"""The probability that a face has an attribute, independently of the others."""


@dataclass(frozen=True)
class Eyeglasses:
    shape: str
    width: float
    height: float
    thickness: float
    frame: Colour
    tint: Colour
    tint_opacity: float


@dataclass(frozen=True)
class Bangs:
    cut: str
    length: float
    side: int
    seed: int


@dataclass(frozen=True)
class Mustache:
    shape: str
    width: float
    thickness: float
    colour: Colour


@dataclass(frozen=True)
class Smiling:
    width: float
    lift: float
    opening: float
    teeth: str


@dataclass(frozen=True)
class WearingHat:
    kind: str
    colour: Colour
    band: Colour
    side: int


Style = Eyeglasses | Bangs | Mustache | Smiling | WearingHat


class Styles(NamedTuple):
    """The style of every attribute by its name; None where the face lacks it."""

    Eyeglasses: Eyeglasses | None = None
    Bangs: Bangs | None = None
    Mustache: Mustache | None = None
    Smiling: Smiling | None = None
    Wearing_Hat: WearingHat | None = None


FRAMES = (
    (24, 24, 28), (24, 24, 28), (70, 36, 20), (150, 30, 40), (28, 62, 132), (198, 158, 70), (176, 180, 186),
    (240, 238, 232), (22, 104, 84), (120, 64, 150),
)  # fmt: skip
TINTS = ((18, 18, 24), (18, 18, 24), (58, 32, 14), (28, 52, 44), (40, 50, 96))
PALE_TINTS = ((250, 190, 90), (240, 140, 160), (120, 180, 235), (150, 210, 170))
MUSTACHES = (
    (26, 20, 18),
    (56, 36, 24),
    (74, 44, 26),
    (176, 88, 34),
    (204, 160, 96),
    (128, 124, 122),
    (226, 222, 216),
)
HATS = (
    (40, 44, 58), (150, 38, 44), (36, 74, 128), (206, 158, 62), (64, 104, 72), (118, 84, 58), (222, 214, 198),
    (98, 66, 130), (58, 58, 60), (206, 106, 60), (60, 138, 150), (214, 136, 158),
)  # fmt: skip

LENSES = {
    "round": (0.088, 0.088),
    "square": (0.096, 0.072),
    "aviator": (0.098, 0.088),
    "cat_eye": (0.096, 0.070),
}
LENSES |= {"wayfarer": (0.098, 0.078), "narrow": (0.094, 0.050)}
"""Half width and half height of a lens, by shape."""


def _eyeglasses(dice: Dice) -> Eyeglasses:
    shape = dice.pick(tuple(LENSES))
    width, height = LENSES[shape]
    thickness, frame = dice.uniform(0.011, 0.021), dice.pick(FRAMES)
    glass = dice.pick(("clear", "clear", "clear", "sun", "sun", "pale"))
    tint = {"clear": (214, 232, 244), "sun": dice.pick(TINTS), "pale": dice.pick(PALE_TINTS)}[glass]
    opacity = {"clear": 0.10, "sun": dice.uniform(0.80, 0.94), "pale": dice.uniform(0.35, 0.5)}[glass]
    return Eyeglasses(
        shape=shape,
        width=width * dice.uniform(0.92, 1.06),
        height=height * dice.uniform(0.92, 1.08),
        thickness=thickness,
        frame=frame,
        tint=tint,
        tint_opacity=opacity,
    )


def _bangs(dice: Dice) -> Bangs:
    return Bangs(
        cut=dice.pick(("straight", "swept", "curtain", "choppy", "arched")),
        length=dice.uniform(0.325, 0.378),
        side=dice.pick((-1, 1)),
        seed=dice.below(1 << 30),
    )


def _mustache(dice: Dice) -> Mustache:
    return Mustache(
        shape=dice.pick(("chevron", "handlebar", "walrus", "pencil", "horseshoe")),
        width=dice.uniform(0.105, 0.14),
        thickness=dice.uniform(0.85, 1.2),
        colour=dice.pick(MUSTACHES),
    )


def _smiling(dice: Dice) -> Smiling:
    teeth = dice.pick(("closed", "upper", "upper", "both", "laugh"))
    opening = {"closed": (0.0, 0.0), "upper": (0.030, 0.046), "both": (0.036, 0.05), "laugh": (0.055, 0.075)}[teeth]
    return Smiling(
        width=dice.uniform(0.124, 0.150),
        lift=dice.uniform(0.034, 0.052) + (0.012 if teeth == "closed" else 0),
        opening=dice.uniform(*opening),
        teeth=teeth,
    )


def _hat(dice: Dice) -> WearingHat:
    colour = dice.pick(HATS)
    band = dice.pick([other for other in HATS if other != colour])
    kind = dice.pick(("beanie", "cap", "fedora", "top_hat", "beret", "cowboy"))
    return WearingHat(kind=kind, colour=colour, band=band, side=dice.pick((-1, 1)))


_MAKERS = (_eyeglasses, _bangs, _mustache, _smiling, _hat)


def make_styles(dice: Dice) -> Styles:
    """Chooses independently for each attribute whether it is present, and in which style."""
    return Styles._make(maker(dice) if dice.chance(PRESENCE) else None for maker in _MAKERS)


def make_style(attribute: str, dice: Dice) -> Style:
    """Chooses the style of one attribute."""
    return _MAKERS[ATTRIBUTES.index(attribute)](dice)
