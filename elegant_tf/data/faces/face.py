"""Faces: an identity and its styles, and exact counterfactuals of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from elegant_tf.data.faces.dice import Dice
from elegant_tf.data.faces.drawing import draw
from elegant_tf.data.faces.features import mouth_corners, nose_tip
from elegant_tf.data.faces.identity import EYE_Y, Identity, make_identity
from elegant_tf.data.faces.styles import ATTRIBUTES, Styles, make_style, make_styles
from elegant_tf.errors import UserError


def check_attributes(names: Iterable[str]) -> tuple[str, ...]:
    """The names, or a `UserError` that lists what a drawn face can have."""
    names = tuple(names)
    for name in names:
        if name not in ATTRIBUTES:
            raise UserError(f"drawn faces have no attribute {name!r}; they have {', '.join(ATTRIBUTES)}")
    return names


@dataclass(frozen=True)
class Face:
    """Somebody, and the style of each attribute that they have.

    `styles` is a named tuple: a style by attribute name, None where the face lacks the attribute.
    """

    identity: Identity
    styles: Styles

    @property
    def labels(self) -> np.ndarray:
        """int8 `[5]`, 1 where the face has the attribute; the order is that of `ATTRIBUTES`."""
        return np.array([style is not None for style in self.styles], np.int8)

    def landmarks(self, size: int) -> np.ndarray:
        """float32 `[5, 2]`, x and y in pixels: left and right pupil, nose tip, left and right mouth corner.

        Left is the picture's left, as in CelebA's tables.
        """
        who = self.identity
        pupils = [(x, EYE_Y) for x in who.eye_x]
        points = np.array([*pupils, nose_tip(who), *mouth_corners(who, self.styles.Smiling)])
        matrix, shift = who.pose.affine()
        return ((points @ matrix + shift) * size).astype(np.float32)

    def wearing(self, exemplar: Face, attributes: Iterable[str]) -> Face:
        """This identity with the exemplar's style, or absence, of those attributes.

        Raises `UserError` for a name that is not in `ATTRIBUTES`.
        """
        names = check_attributes(attributes)
        return Face(self.identity, self.styles._replace(**{name: getattr(exemplar.styles, name) for name in names}))

    def draw(self, size: int) -> np.ndarray:
        """uint8 `[size, size, 3]` RGB."""
        return draw(self.identity, self.styles, size)


def make_face(seed: int, index: int) -> Face:
    """The index-th face of that seed; it depends on the two numbers alone."""
    dice = Dice("face", seed, index)
    return Face(make_identity(dice), make_styles(dice))


@dataclass(frozen=True)
class Counterfactual:
    """An edit with its right answer: `input` wearing the `exemplar`'s `attributes`."""

    input: Face
    exemplar: Face
    attributes: tuple[str, ...]

    @property
    def truth(self) -> Face:
        return self.input.wearing(self.exemplar, self.attributes)


def make_counterfactuals(seed: int, count: int, attributes: Sequence[str] = ATTRIBUTES) -> list[Counterfactual]:
    """Pairs of held-out people that differ in one attribute; which one takes turns.

    Pair j is about attribute j mod n; ⌊j / n⌋ even: the exemplar has it and the input lacks it (adding), odd:
    the reverse (removing). No identity is one of `make_face`'s. Raises `UserError` for an unknown name.
    """
    names = check_attributes(attributes)
    pairs = []
    for j in range(count):
        name, removing = names[j % len(names)], j // len(names) % 2 == 1
        dice = Dice("held out", seed, j)
        first, second = (Face(make_identity(dice), make_styles(dice)) for _ in range(2))
        with_it, without = {name: make_style(name, dice)}, {name: None}
        first = Face(first.identity, first.styles._replace(**(with_it if removing else without)))
        second = Face(second.identity, second.styles._replace(**(without if removing else with_it)))
        pairs.append(Counterfactual(first, second, (name,)))
    return pairs


def make_restyles(seed: int, count: int, attributes: Sequence[str] = ATTRIBUTES) -> list[Counterfactual]:
    """Pairs of held-out people who both have an attribute, each in a style of their own; which one takes turns.

    Identities are neither `make_face`'s nor `make_counterfactuals`'. Raises `UserError` for an unknown name.
    """
    names = check_attributes(attributes)
    pairs = []
    for j in range(count):
        name = names[j % len(names)]
        dice = Dice("held out, restyled", seed, j)
        people = [Face(make_identity(dice), make_styles(dice)) for _ in range(2)]
        first, second = (Face(face.identity, face.styles._replace(**{name: make_style(name, dice)})) for face in people)
        pairs.append(Counterfactual(first, second, (name,)))
    return pairs


def make_combinations(seed: int, count: int, size: int, attributes: Sequence[str] = ATTRIBUTES) -> list[Counterfactual]:
    """Pairs of held-out people that differ in `size` attributes to be exchanged at once; which ones takes turns.

    Each is added, removed or restyled, as it comes. Raises `UserError` for an unknown name.
    """
    choices = list(itertools.combinations(check_attributes(attributes), size))
    pairs = []
    for j in range(count):
        names = choices[j % len(choices)]
        dice = Dice("held out, combined", seed, size, j)
        first, second = (Face(make_identity(dice), make_styles(dice)) for _ in range(2))
        lacking = [
            name for name in names if getattr(first.styles, name) is None and getattr(second.styles, name) is None
        ]
        given = {name: make_style(name, dice) for name in lacking}
        pairs.append(Counterfactual(first, Face(second.identity, second.styles._replace(**given)), names))
    return pairs
