"""Every kind of damaged or odd picture file that people have."""

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


def _picture(width: int = 40, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_picture(), "JPEG", exif=exif)


# What can be read all the same: file name -> its bytes.
ODD = {
    "wrong extension.jpg": lambda: _encoded(_picture(), "PNG"),
    "cmyk.jpg": lambda: _encoded(_picture().convert("CMYK"), "JPEG"),
    "sixteen bits.png": lambda: _encoded(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40)), "PNG"),
    "moving.gif": lambda: _encoded(_picture(), "GIF", save_all=True, append_images=[_picture()]),
    "moving.webp": lambda: _encoded(_picture(), "WEBP", save_all=True, append_images=[_picture(), _picture()]),
    "turned.jpg": _turned,
    "three megapixels.jpg": lambda: _encoded(_picture(2000, 1500), "JPEG"),
    "dot.png": lambda: _encoded(_picture(1, 1), "PNG"),
    "grey, with commas, and an ä.PNG": lambda: _encoded(_picture().convert("L"), "PNG"),
    "see through.png": lambda: _encoded(_picture().convert("RGBA"), "PNG"),
}

# What cannot: file name -> its bytes.
BAD = {
    "truncated.jpg": lambda: _encoded(_picture(), "JPEG")[:400],
    "page.jpg": lambda: b"<!DOCTYPE html><html><body>Quota exceeded</body></html>",
    "empty.jpg": lambda: b"",
    "half.png": lambda: _encoded(_picture(), "PNG")[:700],
    "zeros.png": lambda: bytes(3000),
}
BAD_LINKS = ("loop.jpg", "nowhere.jpg")


def write(folder: Path) -> tuple[list[str], list[str]]:
    """Writes all of them; the names of those that can be read, and of those that cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in {**ODD, **BAD}.items():
        (folder / name).write_bytes(make())
    os.symlink("loop.jpg", folder / "loop.jpg")
    os.symlink("not there.jpg", folder / "nowhere.jpg")
    return list(ODD), [*BAD, *BAD_LINKS]
