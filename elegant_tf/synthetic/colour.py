"""Colours of drawn faces, (red, green, blue) of 0 to 255 each, and how to mix them."""

from __future__ import annotations

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """Interpolates from `first` at amount 0 to `second` at amount 1."""
    (r, g, b), (red, green, blue) = first, second
    return (
        int(r + (red - r) * amount + 0.5),
        int(g + (green - g) * amount + 0.5),
        int(b + (blue - b) * amount + 0.5),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """The colour multiplied by `factor`, clipped at 255."""
    r, g, b = colour
    return min(255, int(r * factor + 0.5)), min(255, int(g * factor + 0.5)), min(255, int(b * factor + 0.5))


def luminance(colour: Colour) -> float:
    """Rec. 601 luma, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
