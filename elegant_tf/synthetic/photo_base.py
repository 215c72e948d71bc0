"""What dressing needs of a photo: the aligned face with some margin, its pose, the skin's colour and the light.

Lengths and points are fractions of the side of the aligned frame, in which `data.similarity` places the mean face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from elegant_tf.data.similarity import fit, target_points, warp
from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.synthetic.canvas import Affine
from elegant_tf.synthetic.colour import Colour
from elegant_tf.synthetic.identity import EYE_X, EYE_Y

DETAIL = 2
"""Pixels of a base per pixel of the images that are drawn from it, along a side."""

MARGIN = 0.125
"""What a base holds beyond the frame on each side, for turns, shifts and scales."""

NOSE_DEPTH = 0.117
"""How far the tip of the nose stands before the pupils, when the pupils are 2 · EYE_X apart: 27 of 63 mm."""

SKULL_DEPTH = 0.24
"""How far the pupils stand before the middle of the head, likewise; less than it is, since turns are estimates."""

MOST_TURNED, TOO_TURNED = 0.7, 0.65
"""The largest turn of a head, in radians, that is believed, and that with which accessories still look right."""

_CHEEK = (0.165, 0.565)
_SWAPPED = [1, 0, 2, 4, 3]
_GREY = np.array((0.299, 0.587, 0.114))


@dataclass(frozen=True, eq=False)
class PhotoBase:
    """An aligned photo, and what was measured on it.

    Attributes:
        name: the file's, for messages.
        image: RGB; the frame and `MARGIN` around it, `DETAIL` pixels per pixel of an image of side `size`.
        size: side of the images that it is made for, in pixels.
        points: the five landmarks, float64 `[5, 2]`.
        cheeks: the skin's colour on the left and right cheek, as the viewer sees them.
        exposure: how bright white is in the photo, for red, green and blue: 1 is full white.
        temples: how far skin extends to the left and right of the middle of the eyes at their height, in `eyes_frame`.
        head: how far the head with its hair extends to the left and right of its middle under a hat, in `skull_frame`.
    """

    name: str
    image: Image.Image
    size: int
    points: np.ndarray
    cheeks: tuple[Colour, Colour]
    exposure: tuple[float, float, float]
    temples: tuple[float, float]
    head: tuple[float, float]

    @property
    def skin(self) -> Colour:
        """The mean of the cheeks."""
        left, right = self.cheeks
        return (left[0] + right[0]) // 2, (left[1] + right[1]) // 2, (left[2] + right[2]) // 2

    @property
    def light(self) -> float:
        """Where the light comes from: the logarithm of the ratio of the cheeks' luminance, positive from the right."""
        left, right = (max(1.0, float(np.dot(cheek, _GREY))) for cheek in self.cheeks)
        return math.log(right / left)

    @cached_property
    def turn(self) -> float:
        """The angle in radians by which the head turns to the viewer's right."""
        return turn_of(self.points)

    def mirrored(self) -> PhotoBase:
        """The mirror image."""
        points = (self.points * (-1, 1) + (1, 0))[_SWAPPED]
        image = self.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return replace(
            self,
            image=image,
            points=points,
            cheeks=self.cheeks[::-1],
            temples=self.temples[::-1],
            head=self.head[::-1],
        )


def load_photos(paths: Sequence[str | Path], landmarks: np.ndarray, size: int) -> list[PhotoBase]:
    """Reads, aligns and measures photos.

    Args:
        paths: P image files.
        landmarks: x and y in pixels of the photos, `[P, 5, 2]`, in the order of `landmarks.POINTS`.
        size: side of the images to draw from them.

    Raises:
        UserError: a photo cannot be read, or has no landmarks of a face.
    """
    return [load_photo(path, points, size) for path, points in zip(paths, landmarks, strict=True)]


def load_photo(path: str | Path, points: np.ndarray, size: int) -> PhotoBase:
    """Reads, aligns and measures one photo, see `load_photos`."""
    try:
        return make_base(read_image(path), points, size, str(path))
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def make_base(image: np.ndarray, points: np.ndarray, size: int, name: str = "photo") -> PhotoBase:
    """Aligns and measures a photo, uint8 RGB `[H, W, 3]`, by its five points `[5, 2]`.

    Raises:
        UserError: the points cannot be the five points of a face.
    """
    frame, margin = DETAIL * size, round(MARGIN * DETAIL * size)
    # Points are given at centres of pixels; those of the frame lie between four pixels of the base.
    targets = target_points(size) * DETAIL + (DETAIL - 1) / 2 + margin
    similarity = fit(points, targets)
    side = frame + 2 * margin
    aligned = _Aligned(warp(image, similarity, side, side), frame, margin)
    places = (similarity.points(points) + 0.5 - margin) / frame
    cheeks = _cheeks(aligned, places)
    return PhotoBase(
        name=name,
        image=Image.fromarray(aligned.image),
        size=size,
        points=places,
        cheeks=cheeks,
        exposure=_exposure(aligned.image),
        temples=_temples(aligned, places, cheeks),
        head=_head(aligned, places),
    )


def turn_of(points: np.ndarray) -> float:
    """The angle in radians by which a head turns to the viewer's right, by how far its nose is beside its eyes."""
    left, right, nose = points[:3]
    across = (right - left) / (2 * EYE_X)
    beside = float(np.dot(nose - (left + right) / 2, across) / np.dot(across, across))
    return float(np.clip(math.atan(beside / NOSE_DEPTH), -MOST_TURNED, MOST_TURNED))


def eyes_frame(points: np.ndarray) -> Affine:
    """Maps points of a drawn figure so that its pupils go to the first two points; a turned head is narrower."""
    left, right = points[:2]
    across = (right - left) / (2 * EYE_X)
    down = np.array((-across[1], across[0])) / math.cos(turn_of(points))
    matrix = np.stack([across, down])
    return matrix, (left + right) / 2 - np.array((0.5, EYE_Y)) @ matrix


def skull_frame(points: np.ndarray) -> Affine:
    """As `eyes_frame`, with the middle of the skull at x = 0.5, and no narrower if the head turns."""
    down = eyes_frame(points)[0][1]
    matrix = np.array(((down[1], -down[0]), down))
    turned = np.array((0.5 + SKULL_DEPTH * math.sin(turn_of(points)), EYE_Y))
    return matrix, points[:2].mean(axis=0) - turned @ matrix


class _Aligned:
    """The pixels of a base, found by points of the frame."""

    def __init__(self, image: np.ndarray, frame: int, margin: int) -> None:
        self.image, self._frame, self._margin = image, frame, margin

    def at(self, points: np.ndarray, figure: Affine) -> np.ndarray:
        """The colours at points of a figure `[..., 2]`: float64 `[..., 3]`."""
        matrix, shift = figure
        places = ((points @ matrix + shift) * self._frame + self._margin).astype(int).clip(0, len(self.image) - 1)
        return self.image[places[..., 1], places[..., 0]].astype(np.float64)


def _lattice(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Points `[len(ys), len(xs), 2]`; `xs` are distances from the middle."""
    return np.stack(np.meshgrid(0.5 + xs, ys), axis=-1)


def _cheeks(aligned: _Aligned, points: np.ndarray) -> tuple[Colour, Colour]:
    """The median colour of each cheek."""
    eyes, patch = eyes_frame(points), np.linspace(-0.035, 0.035, 9)
    found = []
    for side in (-1, 1):
        # The far cheek of a turned head is narrower than the near one.
        x = side * _CHEEK[0] + 0.1 * math.sin(turn_of(points))
        colours = aligned.at(_lattice(x + patch, _CHEEK[1] + patch), eyes).reshape(-1, 3)
        red, green, blue = np.median(colours, axis=0).astype(int).tolist()
        found.append((red, green, blue))
    return found[0], found[1]


def _exposure(image: np.ndarray) -> tuple[float, float, float]:
    """How bright the brightest parts are; half of a cast of colour is taken for one of the light."""
    white = np.percentile(image[::4, ::4].reshape(-1, 3), 97, axis=0) / 245
    level = float(np.clip(white @ _GREY, 0.7, 1.05))
    tint = np.clip(white / max(float(white @ _GREY), 1e-3), 0.8, 1.2)
    red, green, blue = (level * (1 + 0.5 * (tint - 1))).tolist()
    return red, green, blue


def _temples(aligned: _Aligned, points: np.ndarray, cheeks: tuple[Colour, Colour]) -> tuple[float, float]:
    """How far skin extends to the left and right of the middle of the eyes, at their height."""
    distances, heights = np.arange(0.22, 0.46, 0.008), EYE_Y - 0.008 + np.array((-0.008, 0, 0.008))
    found = []
    for side, cheek in zip((-1, 1), cheeks, strict=True):
        colours = np.median(aligned.at(_lattice(side * distances, heights), eyes_frame(points)), axis=0)
        skin = _like(colours, cheek)
        bare = skin | np.append(skin[1:], False)  # passes over a single hair
        found.append(float(distances[-1] if bare.all() else distances[np.argmin(bare)]))
    return found[0], found[1]


def _like(colours: np.ndarray, skin: Colour) -> np.ndarray:
    """Whether colours `[N, 3]` can be this skin, lit or in shadow: bool `[N]`."""
    grey, own = colours @ _GREY + 1, float(np.dot(skin, _GREY)) + 1
    hues = np.abs(colours / grey[:, None] - np.array(skin) / own).max(axis=1)
    return np.asarray((grey > 0.5 * own) & (grey < 1.45 * own) & (hues < 0.28))


def _head(aligned: _Aligned, points: np.ndarray) -> tuple[float, float]:
    """How far the head, with its hair, extends to the left and right of its middle where a hat is.

    That is where colours become more like those beside the head than like those of forehead and hair.
    """
    skull = skull_frame(points)
    hair = aligned.at(_lattice(np.linspace(-0.2, 0.2, 9), np.linspace(0.02, 0.2, 6)), skull)
    forehead = aligned.at(_lattice(np.linspace(-0.24, 0.24, 9), np.linspace(0.22, 0.3, 4)), skull)
    own = np.concatenate([hair.reshape(-1, 3), forehead.reshape(-1, 3)])
    distances = np.arange(0.25, 0.44, 0.01)
    found = []
    for side in (-1, 1):
        beside = aligned.at(_lattice(side * np.linspace(0.47, 0.56, 4), np.linspace(0.1, 0.32, 8)), skull)
        colours = aligned.at(_lattice(side * distances, np.linspace(0.2, 0.3, 8)), skull)
        inside = (_distance(colours, own) < _distance(colours, beside.reshape(-1, 3))).mean(axis=0) >= 0.5
        found.append(float(distances[-1] if inside.all() else distances[np.argmin(inside)]))
    return found[0], found[1]


def _distance(colours: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The distance of colours `[..., 3]` to the second nearest of the samples `[N, 3]`."""
    apart = np.linalg.norm(colours[..., None, :] - samples, axis=-1)
    return np.asarray(np.partition(apart, 1, axis=-1)[..., 1])
