"""A face's identity: everything that no attribute changes. Lengths are fractions of the image's side.

The eyes, nose tip and mouth corners of the average face are where ELEGANT's alignment of CelebA puts them: pupils
70/256 apart and at 1/2.42 of the height. (A smile lifts the corners of the mouth, so `MOUTH_Y` is below their average.)
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass

import numpy as np

from elegant_tf.synthetic.colour import WHITE, Colour, luminance, mix, shade
from elegant_tf.synthetic.dice import Dice

EYE_X, EYE_Y = 0.1367, 0.4132
NOSE_Y = 0.598
MOUTH_Y = 0.757


@dataclass(frozen=True)
class Pose:
    """A small similarity transform of the whole figure, and a slight turn of the head (-1 to 1)."""

    shift: tuple[float, float]
    scale: float
    angle: float
    turn: float

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrix `[2, 2]` and shift `[2]` that map points of the upright figure to points of the image."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        matrix, middle = np.array(((cos, sin), (-sin, cos))), np.array((0.5, 0.55))
        return matrix, middle + self.shift - middle @ matrix


@dataclass(frozen=True)
class Head:
    skin: Colour
    blush: Colour
    width: float
    jaw: float
    chin: float
    chin_width: float
    cheek: float
    freckles: bool
    ear: float
    earring: Colour | None


@dataclass(frozen=True)
class Eyes:
    iris: Colour
    width: float
    opening: float
    tilt: float
    iris_size: float
    lash: float
    shadow: Colour | None


@dataclass(frozen=True)
class Brows:
    colour: Colour
    thickness: float
    arch: float
    slope: float
    height: float


@dataclass(frozen=True)
class Nose:
    width: float
    length: float
    bridge: float


@dataclass(frozen=True)
class Mouth:
    """The mouth when it does not smile."""

    lips: Colour
    width: float
    lift: float
    upper: float
    lower: float
    lipstick: bool


@dataclass(frozen=True)
class Hair:
    cut: str
    name: str
    colour: Colour
    volume: float
    part: float
    length: float
    hairline: float
    seed: int


@dataclass(frozen=True)
class Clothes:
    kind: str
    colour: Colour
    second: Colour
    shoulder: float


@dataclass(frozen=True)
class Backdrop:
    kind: str
    first: Colour
    second: Colour
    angle: float
    seed: int


@dataclass(frozen=True)
class Light:
    """The light's direction (radians, clockwise from the viewer's right), fall-off and warmth."""

    angle: float
    strength: float
    warmth: float

    @property
    def side(self) -> int:
        """-1 if the light comes from the viewer's left, 1 if from the right."""
        return 1 if math.cos(self.angle) >= 0 else -1


@dataclass(frozen=True)
class Identity:
    pose: Pose
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    hair: Hair
    clothes: Clothes
    backdrop: Backdrop
    light: Light

    @property
    def nose_x(self) -> float:
        return 0.5 + 0.016 * self.pose.turn

    @property
    def mouth_x(self) -> float:
        return 0.5 + 0.009 * self.pose.turn

    @property
    def eye_x(self) -> tuple[float, float]:
        """The pupils' x, the viewer's left first."""
        middle = 0.5 + 0.004 * self.pose.turn
        return middle - EYE_X, middle + EYE_X


SKINS = (
    (255, 228, 210), (250, 214, 190), (240, 196, 166), (226, 176, 142), (204, 150, 114), (170, 116, 84),
    (142, 96, 72), (116, 78, 60),
)  # fmt: skip
HAIRS = {
    "black": ((28, 24, 26), 4),
    "dark_brown": ((58, 38, 28), 4),
    "brown": ((104, 66, 40), 4),
    "auburn": ((128, 54, 32), 2),
    "ginger": ((196, 98, 40), 2),
    "blond": ((222, 178, 104), 3),
    "platinum": ((238, 220, 176), 1.5),
    "gray": ((146, 146, 150), 1.5),
    "white": ((226, 226, 228), 0.7),
    "pink": ((226, 112, 150), 0.5),
    "blue": ((62, 98, 176), 0.5),
    "teal": ((44, 140, 138), 0.5),
    "purple": ((122, 74, 160), 0.5),
}
"""Hair colours and how common each is."""
CUTS = ("crop", "side_part", "slick", "pixie", "bob", "long", "wavy", "curly", "afro", "bun")
IRISES = (
    (78, 48, 28),
    (104, 70, 38),
    (72, 108, 160),
    (92, 142, 170),
    (86, 124, 84),
    (120, 118, 70),
    (96, 104, 112),
)
CLOTHES = (
    (52, 70, 110), (150, 52, 58), (64, 106, 88), (44, 44, 52), (226, 222, 214), (196, 148, 70),
    (112, 84, 138), (84, 132, 164), (206, 128, 110), (120, 124, 132), (230, 190, 90), (36, 88, 96),
)  # fmt: skip
BACKDROPS = (
    (178, 206, 222), (232, 214, 190), (204, 186, 214), (188, 212, 186), (236, 194, 180), (120, 142, 168),
    (96, 112, 120), (214, 218, 222), (240, 218, 140), (150, 184, 176), (168, 120, 112), (74, 86, 110),
    (226, 160, 120),
)  # fmt: skip


def _head(dice: Dice) -> Head:
    place = dice.uniform(0, len(SKINS) - 1.001)
    skin = mix(SKINS[int(place)], SKINS[int(place) + 1], place % 1)
    red, green, blue = skin
    skin = min(255, red + dice.below(9) - 4), green + dice.below(7) - 4, blue + dice.below(13) - 6
    return Head(
        skin=skin,
        blush=mix(skin, shade((226, 76, 72), 0.35 + 0.65 * luminance(skin) / 225), dice.uniform(0.25, 0.5)),
        width=0.284 + dice.uniform(-0.022, 0.022),
        jaw=0.216 + dice.uniform(-0.028, 0.034),
        chin=0.930 + dice.uniform(-0.016, 0.016),
        chin_width=0.092 + dice.uniform(-0.03, 0.034),
        cheek=dice.uniform(0.2, 1.0),
        freckles=dice.chance(0.16),
        ear=dice.uniform(0.85, 1.2),
        earring=dice.pick(((232, 190, 90), (214, 218, 224), (180, 50, 70))) if dice.chance(0.28) else None,
    )


def _eyes(dice: Dice) -> Eyes:
    iris = mix(dice.pick(IRISES), dice.pick(IRISES), dice.uniform(0, 0.4))
    return Eyes(
        iris=iris,
        width=0.067 + dice.uniform(-0.007, 0.007),
        opening=0.0345 + dice.uniform(-0.0095, 0.0085),
        tilt=dice.uniform(-0.009, 0.012),
        iris_size=0.0325 + dice.uniform(-0.002, 0.003),
        lash=dice.uniform(0.006, 0.013),
        shadow=dice.pick(((120, 90, 150), (90, 120, 160), (150, 90, 90), (110, 130, 100)))
        if dice.chance(0.2)
        else None,
    )


def _hair_colour(dice: Dice) -> tuple[str, Colour]:
    bounds = list(itertools.accumulate(weight for _, weight in HAIRS.values()))
    place = bisect.bisect_right(bounds, dice.uniform(0, bounds[-1]), hi=len(bounds) - 1)
    name, (colour, _) = list(HAIRS.items())[place]
    return name, shade(colour, dice.uniform(0.88, 1.12))


def _hair(dice: Dice, skin: Colour) -> Hair:
    name, colour = _hair_colour(dice)
    if max(abs(a - b) for a, b in zip(skin, colour, strict=True)) < 50:
        # Bangs in the colour of the skin would be invisible.
        colour = shade(colour, 0.5 if luminance(colour) < 120 else 0.72)
    return Hair(
        cut=dice.pick(CUTS),
        name=name,
        colour=colour,
        volume=dice.uniform(0, 1),
        part=dice.uniform(-1, 1),
        length=dice.uniform(0, 1),
        hairline=dice.uniform(0, 1),
        seed=dice.below(1 << 30),
    )


def _mouth(dice: Dice, skin: Colour) -> Mouth:
    lipstick = dice.chance(0.25)
    paint = dice.pick(((176, 34, 56), (204, 72, 96), (140, 40, 60), (212, 96, 84)))
    natural = mix(skin, (170, 66, 66), dice.uniform(0.4, 0.6))
    return Mouth(
        lips=mix(paint, skin, 0.15) if lipstick else natural,
        width=0.098 + dice.uniform(-0.014, 0.014),
        lift=dice.uniform(-0.010, 0.006),
        upper=0.022 + dice.uniform(-0.007, 0.008),
        lower=0.031 + dice.uniform(-0.009, 0.010),
        lipstick=lipstick,
    )


def make_identity(dice: Dice) -> Identity:
    """Chooses everything about a person at random."""
    head = _head(dice)
    hair = _hair(dice, head.skin)
    ground = dice.pick(BACKDROPS)
    return Identity(
        pose=Pose(
            shift=(dice.around(0.008), dice.around(0.008)),
            scale=1 + dice.around(0.02),
            angle=dice.around(0.035),
            turn=dice.around(1.3),
        ),
        head=head,
        eyes=_eyes(dice),
        brows=Brows(
            colour=mix(shade(hair.colour, 0.62), (70, 48, 38), 0.35),
            thickness=dice.uniform(0.012, 0.031),
            arch=dice.uniform(0.006, 0.028),
            slope=dice.uniform(-0.012, 0.012),
            height=0.080 + dice.uniform(-0.010, 0.012),
        ),
        nose=Nose(
            width=0.063 + dice.uniform(-0.014, 0.014),
            length=dice.uniform(-0.010, 0.010),
            bridge=dice.uniform(0.25, 0.9),
        ),
        mouth=_mouth(dice, head.skin),
        hair=hair,
        clothes=Clothes(
            kind=dice.pick(("crew", "v_neck", "shirt", "turtleneck", "hoodie", "suit", "scoop")),
            colour=shade(dice.pick(CLOTHES), dice.uniform(0.85, 1.1)),
            second=dice.pick(CLOTHES),
            shoulder=dice.uniform(0, 1),
        ),
        backdrop=Backdrop(
            kind=dice.pick(("plain", "gradient", "bokeh", "stripes", "halo", "hills", "wall", "dots")),
            first=shade(mix(ground, WHITE, dice.uniform(0, 0.25)), dice.uniform(0.8, 1.05)),
            second=mix(ground, dice.pick(BACKDROPS), 0.75),
            angle=dice.uniform(0, math.tau),
            seed=dice.below(1 << 30),
        ),
        light=Light(
            angle=dice.pick((0, math.pi)) + dice.uniform(-1.2, 1.2),
            strength=dice.uniform(0.09, 0.23),
            warmth=dice.uniform(-0.02, 0.05),
        ),
    )
