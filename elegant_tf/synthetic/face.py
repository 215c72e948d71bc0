"""Faces: an identity and its styles, and their exact counterfactuals."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elegant_tf.names import find_attributes
from elegant_tf.synthetic.dice import Dice
from elegant_tf.synthetic.drawing import draw
from elegant_tf.synthetic.features import mouth_corners, nose_tip
from elegant_tf.synthetic.identity import EYE_Y, Identity, make_identity
from elegant_tf.synthetic.styles import ATTRIBUTES, Style, Styles, make_style, make_styles


@dataclass(frozen=True)
class Face:
    """A person, and the style of each attribute that they have.

    `styles` is a named tuple: a style by attribute name, None where the face lacks the attribute.
    """

    identity: Identity
    styles: Styles

    @property
    def labels(self) -> np.ndarray:
        """int8 `[5]`, 1 where the face has the attribute, in the order of `ATTRIBUTES`."""
        return np.array([style is not None for style in self.styles], np.int8)

    def landmarks(self, size: int) -> np.ndarray:
        """float32 `[5, 2]`, x and y in pixels: left and right pupil, nose tip, left and right mouth corner.

        Left is the viewer's left, as in CelebA's tables.
        """
        who = self.identity
        pupils = [(x, EYE_Y) for x in who.eye_x]
        points = np.array([*pupils, nose_tip(who), *mouth_corners(who, self.styles.Smiling)])
        matrix, shift = who.pose.affine()
        return ((points @ matrix + shift) * size).astype(np.float32)

    def wearing(self, exemplar: Face, attributes: Sequence[str]) -> Face:
        """This identity with the exemplar's style of each of `attributes`, or without those that the exemplar lacks.

        Raises `UserError` for a name that is not in `ATTRIBUTES`.
        """
        if attributes:
            find_attributes(attributes, ATTRIBUTES)
        return self.with_styles({name: getattr(exemplar.styles, name) for name in attributes})

    def with_styles(self, styles: dict[str, Style | None]) -> Face:
        """This identity with other styles of some attributes, by name; None removes the attribute."""
        return Face(self.identity, self.styles._replace(**dict[str, Any](styles)))

    def draw(self, size: int) -> np.ndarray:
        """uint8 `[size, size, 3]` RGB."""
        return draw(self.identity, self.styles, size)


def make_face(seed: int, index: int) -> Face:
    """Face number `index` of a seed, a function of the two numbers alone."""
    return _make_face(Dice("face", seed, index))


@dataclass(frozen=True)
class Counterfactual:
    """An edit with its known target: `input` wearing the `exemplar`'s `attributes`."""

    input: Face
    exemplar: Face
    attributes: tuple[str, ...]

    @property
    def target(self) -> Face:
        """The face that a perfect edit shows."""
        return self.input.wearing(self.exemplar, self.attributes)


def make_counterfactuals(seed: int, count: int, attributes: Sequence[str] = ATTRIBUTES) -> list[Counterfactual]:
    """Pairs of held-out people, one of whom has an attribute that the other lacks; the attributes take turns.

    Pair j is about attribute j mod n. Where ⌊j / n⌋ is even, the exemplar has it (adding), else the input (removing).
    `make_face` makes none of these identities. Raises `UserError` for an unknown name.
    """
    find_attributes(attributes, ATTRIBUTES)
    pairs = []
    for j in range(count):
        name, removing = attributes[j % len(attributes)], j // len(attributes) % 2 == 1
        dice = Dice("held out", seed, j)
        first, second = _make_face(dice), _make_face(dice)
        style = make_style(name, dice)
        first = first.with_styles({name: style if removing else None})
        second = second.with_styles({name: None if removing else style})
        pairs.append(Counterfactual(first, second, (name,)))
    return pairs


def make_restyles(seed: int, count: int, attributes: Sequence[str] = ATTRIBUTES) -> list[Counterfactual]:
    """Pairs of held-out people who both have an attribute, in different styles; the attributes take turns.

    Neither `make_face` nor `make_counterfactuals` makes these identities. Raises `UserError` for an unknown name.
    """
    find_attributes(attributes, ATTRIBUTES)
    pairs = []
    for j in range(count):
        name = attributes[j % len(attributes)]
        dice = Dice("held out, restyled", seed, j)
        people = [_make_face(dice), _make_face(dice)]
        first, second = (face.with_styles({name: make_style(name, dice)}) for face in people)
        pairs.append(Counterfactual(first, second, (name,)))
    return pairs


def make_combinations(seed: int, count: int, size: int, attributes: Sequence[str] = ATTRIBUTES) -> list[Counterfactual]:
    """Pairs of held-out people who exchange `size` attributes at once; the combinations take turns.

    Each attribute is added, removed or restyled, by chance; at least one of the two people has it. Raises
    `UserError` for an unknown name.
    """
    find_attributes(attributes, ATTRIBUTES)
    choices = list(itertools.combinations(attributes, size))
    pairs = []
    for j in range(count):
        names = choices[j % len(choices)]
        dice = Dice("held out, combined", seed, size, j)
        first, second = _make_face(dice), _make_face(dice)
        lacking = [name for name in names if not (getattr(first.styles, name) or getattr(second.styles, name))]
        second = second.with_styles({name: make_style(name, dice) for name in lacking})
        pairs.append(Counterfactual(first, second, names))
    return pairs


def _make_face(dice: Dice) -> Face:
    return Face(make_identity(dice), make_styles(dice))
