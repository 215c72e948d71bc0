"""Outlines: curves through points, ellipses, ribbons; all are float `[n, 2]`, x to the right and y down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Shape = np.ndarray
Points = Sequence[tuple[float, float]] | np.ndarray


def _catmull_rom(steps: int) -> np.ndarray:
    """Weights `[steps, 4]` of four successive points along one piece of a uniform Catmull-Rom spline."""
    t = np.arange(steps)[:, None] / steps
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return np.concatenate([t**0, t, t**2, t**3], axis=1) @ basis


@lru_cache(maxsize=256)
def _closed_weights(count: int, steps: int) -> np.ndarray:
    weights = np.zeros((count, steps, count))
    for i in range(count):
        for k in range(4):
            weights[i, :, (i + k - 1) % count] += _catmull_rom(steps)[:, k]
    return weights.reshape(count * steps, count)


@lru_cache(maxsize=256)
def _open_weights(count: int, steps: int) -> np.ndarray:
    """As `_closed_weights`, with one more control point mirrored beyond each end."""
    padded = np.zeros((count + 2, count))
    padded[1:-1] = np.eye(count)
    padded[0, :2], padded[-1, -2:] = (2, -1), (-1, 2)
    pieces = [_catmull_rom(steps) @ padded[i : i + 4] for i in range(count - 1)]
    return np.concatenate([*pieces, padded[-2:-1]])


def smooth(points: Points, steps: int = 4) -> Shape:
    """The closed curve through the points."""
    return _closed_weights(len(points), steps) @ np.asarray(points)


def curve(points: Points, steps: int = 4) -> np.ndarray:
    """The open curve through the points, first to last; `[..., n, 2]` for several curves at once."""
    points = np.asarray(points)
    return _open_weights(points.shape[-2], steps) @ points


def symmetric(half: Sequence[tuple[float, float]], x: float = 0.5) -> np.ndarray:
    """The control points of a symmetric outline. `half` is its right half: offsets from `x`, from top to bottom."""
    left = [(x - dx, y) for dx, y in reversed(half) if dx > 1e-9]
    return np.array([(x + dx, y) for dx, y in half] + left)


@lru_cache(maxsize=8)
def _circle(corners: int) -> np.ndarray:
    angles = np.arange(corners) * (math.tau / corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def ellipse(x: float, y: float, width: float, height: float | None = None, corners: int = 16) -> Shape:
    """An ellipse of half width `width` and half height `height`; None: a circle."""
    return _circle(corners) * (width, width if height is None else height) + (x, y)


def box(left: float, top: float, right: float, bottom: float) -> Shape:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ribbon(centre: np.ndarray, widths: np.ndarray | float) -> Shape:
    """The area within `widths` (one, or one per point) on both sides of a line of points `[n, 2]`."""
    along = np.empty_like(centre)
    along[1:-1] = centre[2:] - centre[:-2]
    along[0], along[-1] = centre[1] - centre[0], centre[-1] - centre[-2]
    across = along[:, ::-1] * (-1, 1)
    across *= (widths / (np.sqrt((across * across).sum(1)) + 1e-9))[:, None]
    return np.concatenate([centre + across, (centre - across)[::-1]])
