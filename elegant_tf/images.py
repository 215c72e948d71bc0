"""Images: reading, writing, resizing, tiling, and the one conversion between uint8 and [-1, 1]."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from elegant_tf.errors import UserError
from elegant_tf.files import whole_file

# 89.5 megapixels, a quarter of a gigabyte of RGB: from there Pillow itself suspects a decompression bomb.
MAX_PIXELS = 2**30 // 4 // 3

READ_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# File name extension -> Pillow format and its options.
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95}),
}

_ORIENTATION_TAG = 0x0112
# EXIF 2.3, tag 274: the turn that makes a picture stored with this orientation upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(UserError):
    """A file that cannot be read as a picture."""


def read_image(path: str | Path) -> np.ndarray:
    """The picture in a PNG, JPEG, WebP, GIF, BMP or TIFF file, upright, as uint8 RGB `[H, W, 3]`.

    Grey, palette, CMYK and 16-bit pictures are converted, transparent ones laid on white; of an animation the
    first frame is taken. Raises BadImage, a UserError that names the file, if it is missing, no picture,
    damaged, or larger than `MAX_PIXELS` (refused from its header, before anything is decoded).
    """
    path = Path(path)
    _check_file(path)
    return _decode(path, path)


def decode_image(data: bytes, name: str | Path) -> np.ndarray:
    """The picture in a file's bytes, as `read_image` reads files; errors call it `name`."""
    if not data:
        raise BadImage(f"{name}: is empty (0 bytes): replace it with an intact copy")
    return _decode(io.BytesIO(data), name)


def _decode(file: Path | io.BytesIO, name: str | Path) -> np.ndarray:
    try:
        with Image.open(file, formats=READ_FORMATS) as image:
            _check_size(name, *image.size)
            image.load()
            # Orientation after load: Pillow turns TIFFs itself while loading and then drops the tag.
            return np.array(_upright(_to_rgb(name, image), _orientation(image)))
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(f"{name}: is not a picture in a known format: use {_known_formats()}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(f"{name}: {_too_large()}") from None
    except Exception as error:  # Pillow's decoders answer damaged files with almost any exception
        raise BadImage(f"{name}: is damaged, truncated or of an unsupported kind ({error}): replace it") from error


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise BadImage(f"{path}: is a directory; expected a picture file")
        if not path.exists():
            raise BadImage(f"{path}: no such file: check the path")
        if not path.is_file():
            raise BadImage(f"{path}: is not a regular file; expected a picture file")
        if path.stat().st_size == 0:
            raise BadImage(f"{path}: is empty (0 bytes): replace it with an intact copy")
        path.open("rb").close()
    except BadImage:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise BadImage(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def _check_size(name: str | Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(f"{name}: claims {width} x {height} pixels; {_too_large()}")


def _too_large() -> str:
    return f"more than {MAX_PIXELS / 1e6:.0f} megapixels are refused: scale the picture down first"


def _known_formats() -> str:
    return f"{', '.join(READ_FORMATS[:-1])} or {READ_FORMATS[-1]}"


def _to_rgb(name: str | Path, image: Image.Image) -> Image.Image:
    if image.mode in ("F", "I") and image.format != "PNG":
        raise BadImage(f"{name}: has 32-bit pixels of unknown range: save it with 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        return _grey16_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit grey, which Pillow's own conversion to 8 bits would clip at 255."""
    levels = np.asarray(image)
    grey = np.rint(levels / 257).astype(np.uint8)  # 65535 / 255 = 257
    if "transparency" in image.info:
        grey[levels == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - a picture with broken metadata is still a picture
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of a uint8 `[H, W, 3]` picture, resampled to uint8 `[size, size, 3]`.

    Nothing is squashed: what does not fit the square is cut off.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UserError(f"an image must be uint8 [H, W, 3] in RGB; received {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = image[top : top + edge, left : left + edge]
    if edge == size:
        return square.copy()
    # Without reducing_gap, Pillow's faster way with large pictures: exported models resample in the same way.
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.LANCZOS))


def check_image_size(size: int, multiple: int) -> None:
    """Raises UserError unless `size` is a `multiple`, as the networks need it, within `MAX_PIXELS`."""
    if size < multiple or size % multiple or size**2 > MAX_PIXELS:
        largest = math.isqrt(MAX_PIXELS) // multiple * multiple
        raise UserError(f"--image_size={size}: must be a multiple of {multiple} (2**depth), {largest} at most")


def to_float(images: Any) -> Any:
    """Pixels 0…255 to [-1, 1], any shape: float32 from NumPy uint8.

    A TensorFlow tensor must be cast to a floating dtype by the caller, and keeps it.
    """
    if isinstance(images, np.ndarray):
        images = images.astype(np.float32)
    return images / 127.5 - 1.0


def to_uint8(images: Any) -> np.ndarray:
    """[-1, 1] to pixels 0…255, any shape: rounded to the nearest and clipped, uint8 in NumPy.

    Takes NumPy arrays and eager TensorFlow tensors; the inverse of `to_float`.
    """
    pixels = np.rint((np.asarray(images, np.float32) + 1.0) * 127.5)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_image(path: str | Path, image: np.ndarray, overwrite: bool = False) -> None:
    """Writes uint8 `[H, W, 3]` to a .png, .jpg, .jpeg or .webp file, whole or not at all.

    Missing directories are made. Raises UserError on another extension, on an existing file unless
    `overwrite`, and if the file cannot be written.
    """
    check_output(path, overwrite)
    path = Path(path)
    image_format, options = _WRITERS[path.suffix.lower()]
    with whole_file(path) as aside:
        Image.fromarray(image).save(aside, image_format, **options)


def check_output(path: str | Path, overwrite: bool = False) -> None:
    """Raises the UserErrors of `write_image` that can be told beforehand."""
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise UserError(f"{path}: cannot write {path.suffix!r} images: end the name in one of {', '.join(_WRITERS)}")
    # os.path, which answers False for names that no file can have; opening them then says why.
    if os.path.isdir(path):
        raise UserError(f"{path}: is a directory; expected a file name")
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{path}: exists already: choose another name, or ask to overwrite it")


def grid(images: np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Tiles uint8 `[R, C, S, S, 3]`, or `[N, S, S, 3]` in rows of `columns` (about square if None), on white.

    `pad` pixels of white run around and between the tiles. Returns uint8
    `[R·(S + pad) + pad, C·(S + pad) + pad, 3]`.
    """
    images = np.asarray(images)
    if images.ndim == 5:
        rows, columns = images.shape[:2]
        images = images.reshape(-1, *images.shape[2:])
    else:
        columns = columns or math.ceil(math.sqrt(len(images)))
        rows = math.ceil(len(images) / columns)
    height, width = images.shape[1] + pad, images.shape[2] + pad
    canvas = np.full((rows * height + pad, columns * width + pad, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = pad + index // columns * height, pad + index % columns * width
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas
