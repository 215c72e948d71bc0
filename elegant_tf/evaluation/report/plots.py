"""Line plots as SVG."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

# Of a plot, in pixels.
_WIDTH, _HEIGHT, _MARGIN = 420, 220, 40


@dataclass(frozen=True)
class Plot:
    """A line through points.

    title: above the line.
    x, y: the points, from left to right.
    ticks: places on the x-axis, from left to right, and their labels.
    span: the ends of the y-axis; None: the smallest and the largest y.
    dots: whether to mark the points.
    """

    title: str
    x: Sequence[float]
    y: Sequence[float]
    ticks: Sequence[tuple[float, str]]
    span: tuple[float, float] | None = None
    dots: bool = False

    def as_svg(self) -> str:
        """The line over its ticks, beside the ends of its y-axis."""
        low, high = self.span or (min(self.y), max(self.y))
        rise = (_HEIGHT - 2 * _MARGIN) / max(high - low, 1e-9)
        places = [(self._across(x), _HEIGHT - _MARGIN - (y - low) * rise) for x, y in zip(self.x, self.y, strict=True)]
        texts: list[tuple[float, float, str, str]] = [
            (_MARGIN, 24, self.title, "start"),
            (_MARGIN - 6, _MARGIN + 4, f"{high:.3g}", "end"),
            (_MARGIN - 6, _HEIGHT - _MARGIN + 4, f"{low:.3g}", "end"),
        ]
        anchors = ["start", *["middle"] * (len(self.ticks) - 2), "end"]
        for (place, label), anchor in zip(self.ticks, anchors, strict=True):
            texts.append((self._across(place), _HEIGHT - 14, label, anchor))
        labels = "".join(
            f'<text x="{left:g}" y="{top:g}" text-anchor="{anchor}">{html.escape(text)}</text>'
            for left, top, text, anchor in texts
        )
        points = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        line = f'<polyline points="{points}" fill="none" stroke="#1a73e8" stroke-width="2"/>'
        if self.dots:
            line += "".join(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3.5" fill="#1a73e8"/>' for left, top in places)
        return f'<svg width="{_WIDTH}" height="{_HEIGHT}" font-size="12">{line}{labels}</svg>\n'

    def _across(self, x: float) -> float:
        """Pixels from the left."""
        return _MARGIN + (x - self.x[0]) / max(self.x[-1] - self.x[0], 1e-9) * (_WIDTH - 2 * _MARGIN)
