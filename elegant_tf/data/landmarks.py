"""The five landmarks of a face: their names, the reader of CelebA's landmark files, and other conventions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from elegant_tf.data.attributes import check_unique, read_lines
from elegant_tf.data.listing import first_names, match_names
from elegant_tf.data.similarity import target_points
from elegant_tf.errors import UserError

# Left and right as the viewer sees them.
POINTS: tuple[str, ...] = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
COLUMNS: tuple[str, ...] = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")

# The share of the points' variance that no rotation, scale and shift to the mean face explains. Faces from the front
# have less than 0.1, profiles up to 0.55, mirrored faces 0.85 and more, exchanged mouth corners 0.4 to 0.6.
_ABSURD, _SENSIBLE = 0.35, 0.25
_TURNED = 60.0  # degrees
_ENOUGH = 8  # images that show where faces are
_MIDDLE = 0.33  # of the width: no data set has the median of its faces nearer to an edge
_SMALLEST_FACE = 1 / 32  # of an image's shorter side
_MEAN_SPREAD = float(np.linalg.norm(target_points(1) - target_points(1).mean(axis=0)))

_ORDERS = tuple(itertools.permutations(range(len(POINTS))))


def read_landmarks(path: str | Path, files: Sequence[str]) -> np.ndarray:
    """Reads a file in the format of CelebA's list_landmarks_align_celeba.txt: float32 `[M, 5, 2]`, x and y in pixels.

    Row m belongs to `files[m]`. Line 1 is the number of images, line 2 the names of the columns in any order, every
    other line a file name and ten numbers. Raises UserError, with file and line, on anything else, or if a file has no
    line.
    """
    lines = read_lines(path)
    header = [name.lower() for name in lines[1].split()] if len(lines) > 1 else []
    if sorted(header) != sorted(COLUMNS):
        raise UserError(f"{path}, line 2: expected the columns {' '.join(COLUMNS)}; found {' '.join(header)[:160]!r}")
    names, rows = [], []
    for number, line in enumerate(lines[2:], 3):
        name, *words = line.strip().rsplit(None, len(COLUMNS)) or [""]
        try:
            rows.append(list(map(float, words)))
        except ValueError:
            words = []
        if len(words) < len(COLUMNS):
            raise UserError(f"{path}, line {number}: expected a file name and ten numbers; found {line[:80]!r}")
        names.append(name)
    check_unique(path, names, itertools.count(3))
    numbers = np.array(rows, np.float32).reshape(-1, len(COLUMNS))[:, [header.index(name) for name in COLUMNS]]
    return select_points(path, names, numbers.reshape(-1, len(POINTS), 2), files)


def select_points(path: str | Path, names: Sequence[str], points: np.ndarray, files: Sequence[str]) -> np.ndarray:
    """The landmarks of `files`, of those of `names`. Raises UserError if a file has none."""
    pairs = match_names(files, names)
    absent = [file for file in files if file not in pairs]
    if absent:
        raise UserError(f"{path}: has no line for {len(absent)} of the {len(files)} images ({first_names(absent)})")
    positions = {name: position for position, name in enumerate(names)}
    return points[[positions[pairs[file]] for file in files]]


def check_convention(points: np.ndarray, sizes: Sequence[tuple[int, int]]) -> None:
    """Checks that the landmarks of many images follow the convention of this module.

    Args:
        points: `[M, 5, 2]`; images whose points are NaN are passed over.
        sizes: the width and height of the images, if they are known.

    Raises:
        UserError: they follow another one; the text names the one that they look like.
    """
    known = np.isfinite(points).all(axis=(1, 2))
    problem = _convention(points[known].astype(np.float64))
    if not problem and len(sizes) == len(points):
        problem = _place(points[known], np.array(sizes, np.float64).reshape(-1, 2)[known])
    if problem:
        raise UserError(
            f"the landmarks {problem}; expected {', '.join(POINTS)}, left and right as the viewer sees them, each by x "
            "to the right and y down in pixels of the image"
        )


def check_points(points: np.ndarray, size: tuple[int, int]) -> None:
    """Checks the landmarks of one image, `[5, 2]`. Raises UserError if they cannot be a face in it."""
    if not np.isfinite(points).all():
        raise UserError("it has no landmarks")
    if not ((points >= 0) & (points < size)).all():
        raise UserError(
            f"its landmarks {points.tolist()} lie outside its {size[0]} x {size[1]} pixels: "
            "are they of another variant of the images?"
        )
    problem = _convention(points[None].astype(np.float64), may_be_turned=True)
    if problem:
        raise UserError(f"its landmarks {np.round(points, 1).tolist()} {problem}")


def _convention(points: np.ndarray, may_be_turned: bool = False) -> str:
    """What is odd about the shape that most of the faces have, as a predicate of "the landmarks"; or nothing."""
    if not len(points):
        return ""
    if abs(points).max() <= 2:
        return "are divided by the size of the image, or in a single pixel"
    centred = points - points.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    apart = spread[:, 0, 0] > 1e-3
    if not apart.any():
        return "coincide"
    face = np.median(centred[apart] / spread[apart], axis=0)
    odd, turn = _misfit(face)
    if odd > _ABSURD:
        return _looks_like(face, odd)
    if abs(turn) > _TURNED and not may_be_turned:
        return f"are turned by {turn:.0f} degrees, like those of images that were turned upright later"
    return ""


def _misfit(face: np.ndarray) -> tuple[float, float]:
    """How far a face `[5, 2]` is from the mean face, as for `_ABSURD`, and its turn in degrees."""
    z, mean = (points[:, 0] + 1j * points[:, 1] for points in (face, target_points(1)))
    z, mean = z - z.mean(), mean - mean.mean()
    fit = np.vdot(mean, z)
    odd = 1 - abs(fit) ** 2 / max((abs(z) ** 2).sum() * (abs(mean) ** 2).sum(), 1e-12)
    return float(odd), float(np.degrees(np.angle(fit)))


def _looks_like(face: np.ndarray, odd: float) -> str:
    """The convention under which a face is a sensible one."""
    swap_sides = (1, 0, 2, 4, 3)
    simple = {
        "have left and right exchanged": face[list(swap_sides)],
        "have y upwards": face * [1, -1],
        "have x and y exchanged": face[:, ::-1],
        "have the eyes exchanged": face[[1, 0, 2, 3, 4]],
        "have the corners of the mouth exchanged": face[[0, 1, 2, 4, 3]],
        "have left and right exchanged, and y upwards": face[list(swap_sides)] * [1, -1],
        "have left and right, and x and y exchanged": face[list(swap_sides)][:, ::-1],
    }
    for text, changed in simple.items():
        if _is_upright(changed):
            return text
    orders = [order for order in _ORDERS if _is_upright(face[list(order)])]
    if orders:
        best = min(orders, key=lambda order: _misfit(face[list(order)])[0])
        given = [POINTS[best.index(place)] for place in range(len(POINTS))]
        return f"are in another order: they look like {', '.join(given)}"
    return "are not those of a face" if odd > 2 * _ABSURD else ""


def _is_upright(face: np.ndarray) -> bool:
    odd, turn = _misfit(face)
    return odd < _SENSIBLE and abs(turn) < _TURNED


def _place(points: np.ndarray, sizes: np.ndarray) -> str:
    """What is odd about where the faces are in their images, as a predicate of "the landmarks"; or nothing."""
    if not len(points):
        return ""
    inside = ((points >= 0) & (points < sizes[:, None])).all(axis=(1, 2))
    if inside.mean() < 0.5:
        return "lie outside most images, like those of larger images or of another variant"
    spread = np.sqrt(((points - points.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2)))
    side = np.median(spread / sizes.min(axis=1)) / _MEAN_SPREAD
    if side < _SMALLEST_FACE:
        return f"are those of tiny faces, {side:.1%} of the images: are they in another unit?"
    if len(points) < _ENOUGH:
        return ""
    places = points / sizes[:, None]
    if (places < 0.5).all(axis=(1, 2)).mean() > 0.9:
        return "lie in the top left quarter, like those of smaller images, in per cent, or relative to a bounding box"
    middle = float(np.median(places[..., 0].mean(axis=1)))
    if not _MIDDLE < middle < 1 - _MIDDLE:
        edge = "left" if middle < 0.5 else "right"
        return f"lie on the {edge}, like those of images of another size or relative to a bounding box"
    return ""
