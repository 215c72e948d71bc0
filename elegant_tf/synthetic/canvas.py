"""A canvas in the unit square: smooth shapes, soft shapes, and shapes that hold other drawings.

Everything is drawn larger than the final image and averaged down, which smooths the edges.
Points have x to the right and y down; a shape is the corners of a polygon, float `[n, 2]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from elegant_tf.synthetic.colour import Colour
from elegant_tf.synthetic.shapes import Shape

Affine = tuple[np.ndarray, np.ndarray]
"""A matrix `[2, 2]` and a shift `[2]`: points `[n, 2]` go to points @ matrix + shift."""

Box = tuple[int, int, int, int]

UNMOVED: Affine = (np.eye(2), np.zeros(2))
SOFT_SIDE = 64
"""Blurred shapes are drawn and blurred in an image of this side in pixels, then enlarged."""


@lru_cache(maxsize=1)
def _round_glow() -> Image.Image:
    """A round spot that fades smoothly to nothing at its rim, `L` of 64 × 64."""
    grid = (np.arange(64) + 0.5) / 32 - 1
    radius = np.minimum(1, np.hypot(grid[:, None], grid[None, :]))
    return Image.fromarray((255 * (1 - radius**2) ** 2).round().astype(np.uint8))


@lru_cache(maxsize=512)
def _glow(width: int, height: int, opacity: int) -> Image.Image:
    spot = _round_glow().resize((width, height), Image.Resampling.BILINEAR)
    return spot.point([value * opacity // 255 for value in range(256)])


class Canvas:
    """An image of `side` × `side` pixels, or a window of it whose corner is at `origin`.

    `figure` maps points of the upright figure to points of the image.
    """

    def __init__(self, image: Image.Image, side: int, figure: Affine, origin: tuple[int, int] = (0, 0)) -> None:
        self.image, self.side, self.figure, self.origin = image, side, figure, origin
        self._pen = ImageDraw.Draw(image)
        matrix, shift = figure
        self._matrix, self._shift = matrix * side, shift * side - 0.5 - origin
        (self._xx, self._xy), (self._yx, self._yy) = self._matrix.tolist()
        self._x, self._y = self._shift.tolist()

    def unmoved(self) -> Canvas:
        """A canvas on the same image, without the figure's pose."""
        return Canvas(self.image, self.side, UNMOVED, self.origin)

    def _pixels(self, points: np.ndarray) -> list[float]:
        return (points @ self._matrix + self._shift).ravel().tolist()

    def fill(self, shape: Shape, colour: Colour) -> None:
        self._pen.polygon(self._pixels(shape), fill=colour)

    def line(self, points: np.ndarray, width: float, colour: Colour) -> None:
        """Draws a line of constant width, at least one pixel of the canvas."""
        self._pen.line(self._pixels(points), fill=colour, width=max(1, round(width * self.side)))

    def lines(self, paths: np.ndarray, widths: Sequence[float], colours: Sequence[Colour]) -> None:
        """Draws many lines of the same number of points, `[m, k, 2]`."""
        rows = (paths @ self._matrix + self._shift).reshape(len(paths), -1).tolist()
        for row, width, colour in zip(rows, widths, colours, strict=True):
            self._pen.line(row, fill=colour, width=max(1, round(width * self.side)))

    def _cut_out(self, shapes: Sequence[Shape], values: Sequence[int]) -> tuple[Box, Image.Image] | None:
        """The smallest box of pixels around the shapes, and their mask; None if all are outside the image."""
        outlines = [self._pixels(shape) for shape in shapes]
        left = max(0, math.floor(min(min(outline[::2]) for outline in outlines)))
        top = max(0, math.floor(min(min(outline[1::2]) for outline in outlines)))
        right = min(self.image.width, math.ceil(max(max(outline[::2]) for outline in outlines)) + 1)
        bottom = min(self.image.height, math.ceil(max(max(outline[1::2]) for outline in outlines)) + 1)
        if left >= right or top >= bottom:
            return None
        mask = Image.new("L", (right - left, bottom - top))
        pen = ImageDraw.Draw(mask)
        for outline, value in zip(outlines, values, strict=True):
            outline[::2] = [x - left for x in outline[::2]]
            outline[1::2] = [y - top for y in outline[1::2]]
            pen.polygon(outline, fill=value)
        return (left, top, right, bottom), mask

    def blend(self, shapes: Sequence[Shape], colour: Colour, opacities: Sequence[float]) -> None:
        """Lays colour over the shapes. Where they overlap, the last one's opacity (0 to 1) counts: 0 cuts holes."""
        cut = self._cut_out(shapes, [round(255 * opacity) for opacity in opacities])
        if cut:
            box, mask = cut
            self._pour(colour, box[:2], mask)

    def _pour(self, colour: Colour, corner: tuple[int, int], mask: Image.Image) -> None:
        """Lays colour through a mask."""
        # Pillow pastes an image twice as fast as a colour.
        self.image.paste(Image.new("RGB", mask.size, colour), corner, mask)

    def inside(self, shapes: Sequence[Shape], colour: Colour, draw: Callable[[Canvas], None]) -> None:
        """Fills the union of the shapes with a colour; what `draw` draws on it stays inside."""
        cut = self._cut_out(shapes, [255] * len(shapes))
        if cut:
            box, mask = cut
            origin = self.origin[0] + box[0], self.origin[1] + box[1]
            window = Canvas(Image.new("RGB", mask.size, colour), self.side, self.figure, origin)
            draw(window)
            self.image.paste(window.image, box, mask)

    def glow(self, x: float, y: float, width: float, height: float, colour: Colour, opacity: float) -> None:
        """Draws a soft elliptic spot of these half sizes; `opacity` (0 to 1) is that of its centre."""
        step = self.side / 64  # few different sizes, so that masks can be cached
        w, h = max(2, round(round(128 * width) * step)), max(2, round(round(128 * height) * step))
        left = round(x * self._xx + y * self._yx + self._x + 0.5 - w / 2)
        top = round(x * self._xy + y * self._yy + self._y + 0.5 - h / 2)
        self._pour(colour, (left, top), _glow(w, h, round(51 * opacity) * 5))

    def soft(self, shapes: Sequence[Shape], colour: Colour, opacity: float, blur: float) -> None:
        """Lays colour over the shapes, their edges blurred over `blur` of the image's side."""
        unit = self.side / SOFT_SIDE
        margin = math.ceil(2 * blur * SOFT_SIDE) + 1
        points = [(shape @ self._matrix + self._shift + 0.5 + self.origin) / unit for shape in shapes]
        extent = np.concatenate(points)
        (left, top), (right, bottom) = extent.min(0).tolist(), extent.max(0).tolist()
        left, top = max(0, math.floor(left) - margin), max(0, math.floor(top) - margin)
        right, bottom = min(SOFT_SIDE, math.ceil(right) + margin), min(SOFT_SIDE, math.ceil(bottom) + margin)
        if left >= right or top >= bottom:
            return
        mask = Image.new("L", (right - left, bottom - top))
        pen = ImageDraw.Draw(mask)
        for outline in points:
            pen.polygon((outline - (left + 0.5, top + 0.5)).ravel().tolist(), fill=round(255 * opacity))
        mask = mask.filter(ImageFilter.BoxBlur(blur * SOFT_SIDE / 2)).filter(ImageFilter.BoxBlur(blur * SOFT_SIDE / 2))
        x0, y0, x1, y1 = (round(edge * unit) for edge in (left, top, right, bottom))
        mask = mask.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR)
        self._lay_softly(colour, (x0 - self.origin[0], y0 - self.origin[1]), mask)

    def _lay_softly(self, colour: Colour, corner: tuple[int, int], mask: Image.Image) -> None:
        """Lays the colour of a soft shape. A canvas on a photo darkens instead."""
        self._pour(colour, corner, mask)
