"""Every kind of damaged or odd image file that people have."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

Pixels = np.ndarray


def _encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _random(width: int = 40, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_random(), "JPEG", exif=exif)


# Files that can still be read: name -> bytes.
ODD = {
    "wrong extension.jpg": lambda: _encoded(_random(), "PNG"),
    "cmyk.jpg": lambda: _encoded(_random().convert("CMYK"), "JPEG"),
    "sixteen bits.png": lambda: _encoded(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)), "PNG"),
    "moving.gif": lambda: _encoded(_random(), "GIF", save_all=True, append_images=[_random()]),
    "moving.webp": lambda: _encoded(_random(), "WEBP", save_all=True, append_images=[_random(), _random()]),
    "turned.jpg": _turned,
    "three megapixels.jpg": lambda: _encoded(_random(2000, 1500), "JPEG"),
    "dot.png": lambda: _encoded(_random(1, 1), "PNG"),
    "grey, with commas, and an ä.PNG": lambda: _encoded(_random().convert("L"), "PNG"),
    "see through.png": lambda: _encoded(_random().convert("RGBA"), "PNG"),
}

# Files that cannot be read: name -> bytes.
BAD = {
    "truncated.jpg": lambda: _encoded(_random(), "JPEG")[:400],
    "page.jpg": lambda: b"<!DOCTYPE html><html><body>Quota exceeded</body></html>",
    "empty.jpg": lambda: b"",
    "half.png": lambda: _encoded(_random(), "PNG")[:700],
    "zeros.png": lambda: bytes(3000),
}
BAD_LINKS = ("loop.jpg", "nowhere.jpg")


def write(folder: Path) -> tuple[list[str], list[str]]:
    """Writes all of them; returns the names of those that can be read, and of those that cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in {**ODD, **BAD}.items():
        (folder / name).write_bytes(make())
    os.symlink("loop.jpg", folder / "loop.jpg")
    os.symlink("not there.jpg", folder / "nowhere.jpg")
    return list(ODD), [*BAD, *BAD_LINKS]
